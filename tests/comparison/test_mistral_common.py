"""Mistral's dialects against mistral-common: its encoders, its generated chat templates and its decoders.

Its own vocabularies are large; one of single bytes does, for only texts count, not tokens.
"""

from __future__ import annotations

import base64
import functools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect, to_json
from tcfuzz.dialects.ministral_3 import (
    DEFAULT_SYSTEM,
    Devstral,
    Ministral3,
    Ministral3Instruct,
    Ministral3Reasoning,
    MistralSmall4,
    MistralSmall32,
    system_turn,
)
from tcfuzz.dialects.mistral_nemo import MistralNemo
from tcfuzz.dialects.mistral_v7 import MistralV7, MistralV7Tekken
from tcfuzz.dialects.plain import Mistral02
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tests.comparison.libraries import library, mutated
from tests.conversations import Maker, Shape

library("mistral_common", "mistral-common")
from mistral_common.exceptions import MistralCommonException  # noqa: E402
from mistral_common.experimental.think import _split_content_and_think_chunks  # noqa: E402
from mistral_common.experimental.tools import _decode_tool_calls, _split_content_and_tool_calls  # noqa: E402
from mistral_common.integrations.chat_templates.chat_templates import generate_chat_template  # noqa: E402
from mistral_common.protocol.instruct import messages as theirs  # noqa: E402
from mistral_common.protocol.instruct import tool_calls as their_calls  # noqa: E402
from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk  # noqa: E402
from mistral_common.protocol.instruct.request import ChatCompletionRequest  # noqa: E402
from mistral_common.protocol.instruct.validator import ValidationMode  # noqa: E402
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy, SpecialTokens, TokenizerVersion  # noqa: E402
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer  # noqa: E402

CASES = 300
ENOUGH = 90
TEXTS = 2000
SPECIAL = [str(token) for token in SpecialTokens]
EFFORTS: Mapping[str, Json] = {"type": "enum", "values": ["none", "high"], "accepts_none": True, "default": "none"}
KEEP, IGNORE = SpecialTokenPolicy.KEEP, SpecialTokenPolicy.IGNORE


@dataclass(frozen=True)
class Format:
    """A dialect and the version of mistral-common's tokenizers that writes it."""

    dialect: Dialect
    version: str
    thinks: bool = False
    spaces: bool = False
    """Whether its tokenizer is one of SentencePiece, whose pieces begin with spaces."""

    def __str__(self) -> str:
        return f"{self.dialect.name}-{self.version}"


NEMO = Format(MistralNemo(), "v3")
SMALL = Format(MistralSmall32(), "v11")
DEVSTRAL = Format(Devstral(), "v13")
MINISTRAL = Format(Ministral3(), "v13", thinks=True)
REASONING = Format(Ministral3Reasoning(), "v13", thinks=True)
INSTRUCT = Format(Ministral3Instruct(), "v13")
SMALL_4 = Format(MistralSmall4(), "v15", thinks=True)
TEKKEN_7 = Format(MistralV7Tekken(), "v7")
LARGE = Format(MistralV7(), "v7", spaces=True)
PLAIN = Format(Mistral02(), "v1", spaces=True)
FORMATS = (NEMO, TEKKEN_7, SMALL, DEVSTRAL, MINISTRAL, REASONING, INSTRUCT, SMALL_4)
formats = pytest.mark.parametrize("form", FORMATS, ids=str)


@functools.cache
def tokenizer(version: str, folder: Path, mode: Any = ValidationMode.test) -> Any:
    """A tokenizer of this version, with a vocabulary of single bytes."""
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(bytes([rank])).decode(), "token_str": None}
        for rank in range(256)
    ]
    special = [{"rank": rank, "token_str": text, "is_control": True} for rank, text in enumerate(SPECIAL)]
    size = {"default_vocab_size": 256 + len(special), "default_num_special_tokens": len(special)}
    config = {"pattern": r"(?s:.)", "num_vocab_tokens": 256, "version": version} | size
    settings = {"model_settings_builder": {"reasoning_effort": EFFORTS}} if version == "v15" else {}
    path = folder / f"tekken-{version}.json"
    path.write_text(json.dumps({"config": config, "vocab": vocabulary, "special_tokens": special} | settings))
    return MistralTokenizer.from_file(path, mode=mode)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


# -- conversations -----------------------------------------------------------------------------------------------------


class MistralMaker(Maker):
    """What mistral-common takes, and what it and the published templates write alike.

    It writes a result as JSON if it is JSON and as a JSON string otherwise, the template of Nemo as it stands; it cuts
    the spaces behind an assistant's text; the published templates show no reasoning.
    """

    def text(self) -> str:
        return re.sub(r"[\ud800]", "", super().text()).rstrip(" ") or "x"

    def reasoning(self) -> str | None:
        return self.text() if self.thinks and self.maybe(0.4) else None

    def call(self) -> ToolCall:
        call = super().call()
        arguments: Any = json.loads(json.dumps(call.arguments).replace(r"\ud800", ""))
        return ToolCall(self.random.choice(("f", "get-time", "Z9_")), arguments, call.id)

    def tool(self, name: str) -> Tool:
        return Tool(name.replace(".", "_"), self.text(), {"type": "object", "properties": self.properties()})

    def properties(self) -> dict[str, Json]:
        names = self.random.sample(("a", "é", "x y", "type"), self.random.randrange(4))
        schemas: Sequence[Json] = ({}, {"type": "string", "enum": ["a", "<b>"]}, {"type": ["null", "integer"]})
        return {name: self.random.choice(schemas) for name in names}

    beside = False
    """Whether calls have texts beside them."""
    thinks = False
    """Whether history shows reasoning."""

    def steps(self) -> Iterator[Message]:
        """The results in the order of their calls, as the encoders write them."""
        for _ in range(self.random.choice((0, 0, 1, 1, 2))):
            calls = tuple(self.call() for _ in range(self.random.randint(1, 3)))
            yield Message("assistant", self.text() if self.beside and self.maybe() else None, self.reasoning(), calls)
            for call in calls:
                yield Message("tool", self.result(), tool_call_id=call.id, name=self.random.choice((call.name, None)))
        if self.shape.alternating or self.maybe(0.8):
            yield Message("assistant", self.text(), self.reasoning())

    def result(self) -> str:
        return to_json(self.random.choice(({"t": 20}, [1, None], "é \n[INST]", True, -0.5, {})))


def conversations(form: Format) -> Iterator[tuple[int, list[Message], list[Tool]]]:
    for seed in range(CASES):
        in_a_row = isinstance(form.dialect, Ministral3Reasoning)
        maker = MistralMaker(seed, Shape(alternating=not in_a_row, roles=("system",), null_content=False))
        maker.beside = form.dialect.traits.content_with_call == "kept"
        maker.thinks = form.thinks and in_a_row
        yield seed, maker.conversation(), maker.tools()


def efforts(form: Format, seed: int) -> dict[str, Json]:
    known = "reasoning_effort" in form.dialect.traits.options
    return {"reasoning_effort": ("none", "high")[seed % 2]} if known and seed % 3 else {}


def as_theirs(message: Message) -> Any:
    content = message.content
    if message.role == "user":
        return theirs.UserMessage(content=content)
    if message.role == "system":
        return theirs.SystemMessage(content=content)
    if message.role == "tool":
        return theirs.ToolMessage(content=content, tool_call_id=message.tool_call_id, name=message.name)
    calls = [
        their_calls.ToolCall(
            id=call.id, function=their_calls.FunctionCall(name=call.name, arguments=to_json(dict(call.arguments)))
        )
        for call in message.tool_calls
    ]
    if message.reasoning_content:
        content = [ThinkChunk(thinking=message.reasoning_content), *([TextChunk(text=content)] if content else [])]
    return theirs.AssistantMessage(content=content, tool_calls=calls or None)


def as_their_tool(tool: Tool) -> Any:
    parameters = dict(tool.parameters or {})
    function = their_calls.Function(name=tool.name, description=tool.description or "", parameters=parameters)
    return their_calls.Tool(function=function)


def encoded(which: Any, messages: Sequence[Message], tools: Sequence[Tool], **options: Json) -> str | None:
    """Their prompt; None where they refuse the conversation."""
    request = ChatCompletionRequest(
        messages=list(map(as_theirs, messages)), tools=list(map(as_their_tool, tools)) or None, **options
    )
    try:
        tokens = which.encode_chat_completion(request).tokens
    except MistralCommonException:
        return None
    return which.decode(tokens, special_token_policy=KEEP)


def rendered(form: Format, messages: Sequence[Message], tools: Sequence[Tool], **options: Json) -> str | None:
    """Our prompt, without our default system text, which the vendor's encoder has not."""
    if form.dialect.template_limit(messages, tools, options) not in (None, *CARRIED):
        return None
    try:
        text = form.dialect.render(messages, tools, **options)
    except OutOfDomain:
        return None
    return text if messages[0].role == "system" else text.replace(system_turn(DEFAULT_SYSTEM), "", 1)


CARRIED = (
    "null content raises, or is written as None",
    "drops the system message where the user does not speak last",
    "declares the tools before every user message that equals the last",
    "writes descriptions unescaped",
    "knows no tools",
)
"""Faults of the published templates that the encoders have not, so that the dialect is compared there, too."""


@formats
def test_prompts_are_the_encoders(form: Format, folder: Path) -> None:
    which, done = tokenizer(form.version, folder), 0
    for seed, messages, tools in conversations(form):
        chosen = efforts(form, seed)
        ours = rendered(form, messages, tools, **chosen)
        expected = None if ours is None else encoded(which, messages, tools, **chosen)
        if expected is not None:
            assert ours == expected, f"seed {seed}"
            done += 1
    assert done > ENOUGH


@pytest.mark.parametrize("form", [*FORMATS, LARGE, PLAIN], ids=str)
def test_prompts_are_the_generated_templates(form: Format) -> None:
    """The templates that mistral-common makes for a tokenizer are the vendor's newest."""
    template, done = generated(form), 0
    for seed, messages, tools in conversations(form):
        declared = tools if form.dialect.traits.declares_tools else []
        chosen = efforts(form, seed)
        ours = rendered(form, messages, declared, **chosen)
        if ours is None or any(to_json(t) != f'"{t}"' for tool in declared for t in (tool.name, tool.description)):
            continue
        shapes = [message.to_openai() for message in messages]
        expected = template.render(
            shapes, [tool.to_openai() for tool in declared], add_generation_prompt=True, **chosen
        )
        assert ours == unlike_the_encoder(form, expected), f"seed {seed}"
        done += 1
    assert done > ENOUGH


def unlike_the_encoder(form: Format, text: str) -> str:
    """Their generated template's text without what it alone has (docs/comparisons.md)."""
    if form is NEMO:
        return re.sub(r'(?<={"content": )"(?:[^"\\]|\\.)*"(?=, "call_id")', lambda found: json.loads(found[0]), text)
    return text


def generated(form: Format) -> ChatTemplate:
    text = generate_chat_template(
        spm=form.spaces,
        tokenizer_version=TokenizerVersion(form.version),
        image_support=False,
        audio_support=False,
        thinking_support=form.thinks,
        default_system_prompt=None,
        plain_thinking_support=False,
        use_special_token_variables=True,
        model_settings_fields=frozenset({"reasoning_effort"}) if form is SMALL_4 else None,
        reasoning_effort_values=("none", "high") if form is SMALL_4 else None,
        reasoning_effort_default="none" if form is SMALL_4 else None,
    )
    return ChatTemplate(text, special_tokens={"bos_token": "<s>", "eos_token": "</s>"})


# -- replies -----------------------------------------------------------------------------------------------------------

Read = tuple[str, str, list[tuple[str, Mapping[str, Json]]]]
"""Content, reasoning, calls."""


def said(form: Format, maker: MistralMaker) -> Message:
    calls = tuple(maker.call() for _ in range(maker.random.randrange(3)))
    text = maker.text() if maker.maybe() or not calls else None
    if form.dialect.traits.content_with_call == "dropped" and calls:
        text = None
    return Message("assistant", text, Maker.text(maker).replace("\ud800", "") if form.thinks else None, calls)


@formats
def test_replies_are_the_encoders(form: Format, folder: Path) -> None:
    which, done = tokenizer(form.version, folder, ValidationMode.agnostic), 0
    for seed in range(CASES):
        reply = said(form, MistralMaker(seed, Shape()))
        try:
            ours = form.dialect.emit(reply, [])
        except OutOfDomain:
            continue
        whole = encoded(which, [Message("user", "Hi."), reply], [])
        assert whole is not None
        assert ours == whole.split("[/INST]", 1)[1].removesuffix("</s>"), f"seed {seed}"
        done += 1
    assert done > ENOUGH


def read_by_them(form: Format, which: Any, tokens: list[int]) -> Read | None:
    """Their reading of a reply; None where they refuse it."""
    inner, instruct = which.instruct_tokenizer.tokenizer, which.instruct_tokenizer
    content, calls = _split_content_and_tool_calls(tokens, inner.get_special_token("[TOOL_CALLS]"))
    parts = [(content, False)]
    if any(map(functools.partial(odd_call, which), calls)):
        return None
    try:
        if form.thinks:
            parts = _split_content_and_think_chunks(content, instruct.BEGIN_THINK, instruct.END_THINK)
            if calls and any(thinks and part[-1] != instruct.END_THINK for part, thinks in parts):
                return None
        decoded = [
            (call.function.name, json.loads(call.function.arguments)) for call in _decode_tool_calls(calls, inner)
        ]
    except ValueError:
        return None
    texts = [(which.decode(part, special_token_policy=KEEP), thinks) for part, thinks in parts]
    said, thought = joined(texts, thinks=False), joined(texts, thinks=True)
    return (said.strip() if calls else said), re.sub(r"\[/?THINK\]", "", thought), decoded


def odd_call(which: Any, tokens: list[int]) -> bool:
    """Whether a call has no name, a list no call, or a text special tokens, which their decoder leaves out."""
    text = which.decode(tokens[1:], special_token_policy=KEEP)
    parts = re.fullmatch(r"(?:(.+?)(?:\[CALL_ID\](.*?))?\[ARGS\])?(.*)", text, re.DOTALL)
    return (
        parts is None
        or parts[3].strip() == "[]"
        or any(token in (part or "") for token in SPECIAL for part in parts.groups())
    )


def joined(texts: Sequence[tuple[str, bool]], *, thinks: bool) -> str:
    return "".join(text for text, is_thought in texts if is_thought == thinks)


def read_by_us(form: Format, text: str) -> Read:
    message = form.dialect.parse(text)
    if message.tool_calls:
        # White space around calls is nobody's.
        message = replace(message, content=(message.content or "").strip())
    calls = [(call.name, call.arguments) for call in message.tool_calls]
    return message.content or "", message.reasoning_content or "", calls


def tokens_of(which: Any, text: str) -> list[int]:
    """The tokens of a text with its special tokens as such."""
    inner = which.instruct_tokenizer.tokenizer
    tokens: list[int] = []
    for piece in re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text):
        tokens += [inner.get_special_token(piece)] if piece in SPECIAL else inner.encode(piece, bos=False, eos=False)
    return tokens


LISTED = ("[TOOL_CALLS]", '[{"name": "f", "arguments": {"a": 1}, "id": "call00001"}]')
PIECES: Mapping[str, Sequence[Sequence[str]]] = {
    "mistral-nemo": (LISTED, ("Hi.", *LISTED), ("Hi.",)),
    "mistral-v7-tekken": (LISTED, ("Hi.", *LISTED), ("Hi.",)),
    "mistral-small-3.2": (
        ("[TOOL_CALLS]", "f", "[CALL_ID]", "call00001", "[ARGS]", '{"a": 1}', "[TOOL_CALLS]", "g", "[ARGS]", "{}"),
        ("Hi.", "[TOOL_CALLS]", "f", "[CALL_ID]", "call00001", "[ARGS]", '{"a": {"b": []}}'),
        ("Hi.",),
    ),
    "devstral": (
        ("Hi.", "[TOOL_CALLS]", "f", "[ARGS]", '{"a": 1}', "[TOOL_CALLS]", "g", "[ARGS]", "{}"),
        ("[TOOL_CALLS]", "f", "[ARGS]", "{}"),
    ),
    "ministral-3": (
        ("[THINK]", "R", "[/THINK]", "Hi.", "[TOOL_CALLS]", "f", "[ARGS]", '{"a": 1}'),
        ("[THINK]", "R", "[/THINK]", "[TOOL_CALLS]", "f", "[ARGS]", '{"a": 1}', "[TOOL_CALLS]", "g", "[ARGS]", "{}"),
        ("Hi.",),
    ),
}
FOREIGN = (
    "[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]", "text", " ", "\n", "f", "{}", '{"a": "x"}', "[]", "1",
    '[{"name": "g", "arguments": {}}]', '[{"name": "g"}]', '{"name": "g", "arguments": {}}', "é", "]",
)  # fmt: skip


@formats
def test_texts_are_read_alike(form: Format, folder: Path) -> None:
    which, rand, done = tokenizer(form.version, folder), random.Random(3), 0
    foreign = [piece for piece in FOREIGN if piece != "[ARGS]" or form not in (NEMO, TEKKEN_7)]
    pieces = PIECES.get(form.dialect.name, PIECES["ministral-3" if form.thinks else "devstral"])
    for _ in range(TEXTS):
        text = "".join(mutated(rand.choice(pieces), foreign, rand))
        expected = read_by_them(form, which, tokens_of(which, text))
        if expected is not None:
            assert read_by_us(form, text) == expected, repr(text)
            done += 1
    assert done > TEXTS // 5


# -- where they differ, and why the dialects stay as they are (docs/comparisons.md) ------------------------------------

CALLS = Message("assistant", None, None, (ToolCall("f", {}, "call00001"), ToolCall("g", {}, "call00002")))
SWAPPED = [
    Message("user", "Hi."),
    CALLS,
    Message("tool", "2", tool_call_id="call00002"),
    Message("tool", "1", tool_call_id="call00001"),
]


@pytest.mark.parametrize("form", [SMALL, DEVSTRAL, MINISTRAL], ids=str)
def test_the_encoder_puts_results_in_the_order_of_the_calls(form: Format, folder: Path) -> None:
    """The published templates do not, although without ids nothing but the order binds them."""
    sorted_by_them = encoded(tokenizer(form.version, folder), SWAPPED, [])
    in_order = [*SWAPPED[:2], SWAPPED[3], SWAPPED[2]]
    assert sorted_by_them == rendered(form, in_order, []) != rendered(form, SWAPPED, [])


def test_the_generated_template_of_v3_quotes_results_that_are_json(folder: Path) -> None:
    history = [Message("user", "Hi."), replace(CALLS, tool_calls=CALLS.tool_calls[:1])]
    history.append(Message("tool", '{"t": 1}', tool_call_id="call00001"))
    assert '{"content": {"t": 1}, ' in (encoded(tokenizer("v3", folder), history, []) or "")
    text = generated(NEMO).render([message.to_openai() for message in history], None, add_generation_prompt=True)
    assert r'{"content": "{\"t\": 1}", ' in text
    assert '{"content": {"t": 1}, ' in NEMO.dialect.render(history, [])


def test_the_decoder_takes_what_is_no_json(folder: Path) -> None:
    which = tokenizer("v13", folder)
    text = '[TOOL_CALLS]f[ARGS]{"a": NaN}'
    read = read_by_them(DEVSTRAL, which, tokens_of(which, text))
    assert read is not None and [name for name, _ in read[2]] == ["f"]
    assert read_by_us(DEVSTRAL, text) == (text, "", [])


def test_the_decoder_has_too_deep_a_recursion_for_many_calls(folder: Path) -> None:
    which = tokenizer("v13", folder)
    text = "[TOOL_CALLS]f[ARGS]{}" * 1500
    with pytest.raises(RecursionError):
        read_by_them(DEVSTRAL, which, tokens_of(which, text))
    assert len(read_by_us(DEVSTRAL, text)[2]) == 1500


def test_a_call_ends_an_open_thought_for_the_decoder_alone(folder: Path) -> None:
    """To it the marker is a token, never text; in a text, a thought may speak of it."""
    which = tokenizer("v13", folder)
    text = "[THINK]R[TOOL_CALLS]f[ARGS]{}"
    tokens = tokens_of(which, text)
    assert len(_split_content_and_tool_calls(tokens, tokens_of(which, "[TOOL_CALLS]")[0])[1]) == 1
    assert read_by_us(MINISTRAL, text) == ("", "R[TOOL_CALLS]f[ARGS]{}", [])
