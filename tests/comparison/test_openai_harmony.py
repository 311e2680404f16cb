"""`harmony` against openai-harmony, the format's own renderer and parser.

Its vocabulary, which it would download, is taken from the package bpe-openai. Only texts count, not tokens.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import to_json
from tcfuzz.dialects.harmony import CHANNELS, DATE, FUNCTIONS, IDENTITY, Harmony
from tcfuzz.dialects.syntax.reader import load_json
from tcfuzz.errors import OutOfDomain
from tests.comparison.libraries import folder, library, mutated
from tests.conversations import Maker, Shape

harmony = library("openai_harmony", "openai-harmony")
VOCABULARY = folder("bpe_openai", "bpe-openai") / "data" / "o200k_base.tiktoken.gz"

DIALECT = Harmony()
ROLE = harmony.Role
MARKERS = set(DIALECT.special_tokens)
CASES = 500
TEXTS = 2500

Read = tuple[str, str, list[tuple[str, dict[str, Json]]]]
"""Content, reasoning, calls."""


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("vocabulary")
    (place / "o200k_base.tiktoken").write_bytes(gzip.decompress(VOCABULARY.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(place))
        return harmony.load_harmony_encoding("HarmonyGptOss")


# -- prompts -----------------------------------------------------------------------------------------------------------


class HarmonyMaker(Maker):
    """What openai-harmony takes: no lone surrogates, a description for each tool, results that follow their call."""

    def text(self) -> str:
        return super().text().replace("\ud800", "")

    def tool(self, name: str) -> Tool:
        tool = super().tool(name)
        return replace(tool, description=self.random.choice(("Plain words.", "é <b> 'x'")))

    def object_schema(self, depth: int) -> dict[str, Json]:
        """Flat and without defaults: the published template has its own commas and line breaks there."""
        names = self.random.sample(("a", "B", "_x", "z9", "type", "items"), self.random.randrange(4))
        required = self.random.sample(names, self.random.randrange(len(names) + 1))
        return {"type": "object", "properties": {name: self.flat() for name in names}, "required": required}

    def flat(self) -> dict[str, Json]:
        kind = self.random.choice(("string", "integer", "number", "boolean", "array", "enum", "union"))
        schema: dict[str, Json] = {"type": kind}
        if kind == "array":
            schema["items"] = {"type": self.random.choice(("string", "integer", "number", "boolean"))}
        elif kind == "enum":
            schema = {"type": "string", "enum": ["a", "b c", "é"]}
        elif kind == "union":
            schema["type"] = ["string", "null"]
        if self.maybe():
            schema["description"] = self.random.choice(("Plain words.", "é <b> 'x'"))
        return schema

    def parameters(self) -> dict[str, Json] | None:
        schema = self.object_schema(0)
        return schema if schema["properties"] else None


def turns(messages: Sequence[Message], kept: int) -> Iterator[Any]:
    """Our messages as theirs; reasoning from the message `kept` on."""
    name = ""
    for index, message in enumerate(messages):
        text = message.content or ""
        if message.role == "user":
            yield harmony.Message.from_role_and_content(ROLE.USER, text)
        elif message.role == "tool":
            author = harmony.Author.new(ROLE.TOOL, FUNCTIONS + name)
            result = harmony.Message.from_author_and_content(author, to_json(message.content))
            yield result.with_channel("commentary").with_recipient("assistant")
        else:
            yield from said(message, index >= kept)
            name = message.tool_calls[0].name if message.tool_calls else ""


def said(message: Message, thinks: bool) -> Iterator[Any]:
    """An assistant's message as theirs."""

    def part(text: str, channel: str) -> Any:
        return harmony.Message.from_role_and_content(ROLE.ASSISTANT, text).with_channel(channel)

    if thinks and message.reasoning_content:
        yield part(message.reasoning_content, "analysis")
    if not message.tool_calls:
        yield part(message.content or "", "final")
        return
    if message.content:
        yield part(message.content, "commentary")
    call = message.tool_calls[0]
    yield (
        part(to_json(dict(call.arguments)), "commentary")
        .with_recipient(FUNCTIONS + call.name)
        .with_content_type("json")
    )


def head(messages: Sequence[Message], tools: Sequence[Tool]) -> Iterator[Any]:
    """The first messages of a conversation."""
    system = harmony.SystemContent.new().with_model_identity(IDENTITY).with_conversation_start_date(DATE)
    yield harmony.Message.from_role_and_content(ROLE.SYSTEM, system)
    developer = harmony.DeveloperContent.new()
    if messages[0].role in ("system", "developer") and messages[0].content:
        developer = developer.with_instructions(messages[0].content)
    if tools:
        described = [harmony.ToolDescription.new(tool.name, tool.description, tool.parameters) for tool in tools]
        developer = developer.with_function_tools(described)
    if tools or developer.instructions:
        yield harmony.Message.from_role_and_content(ROLE.DEVELOPER, developer)


def answers(messages: Sequence[Message]) -> list[int]:
    return [index for index, message in enumerate(messages) if message.role == "assistant" and not message.tool_calls]


def prompt(encoding: Any, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """Theirs, with our sentences in the places of theirs."""
    rest = messages[1:] if messages[0].role in ("system", "developer") else messages
    found = answers(rest)
    conversation = harmony.Conversation.from_messages(
        [*head(messages, tools), *turns(rest, found[-1] + 1 if found else 0)]
    )
    config = harmony.RenderConversationConfig(auto_drop_analysis=False)
    text = encoding.decode_utf8(encoding.render_conversation_for_completion(conversation, ROLE.ASSISTANT, config))
    return re.sub(r"# Valid channels: .*?(?=<\|end\|>)", CHANNELS, text, count=1, flags=re.DOTALL)


def comparable(text: str, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """Ours without what the published template alone has: two line breaks behind instructions, and our preamble."""
    text = re.sub(re.escape(CHANNELS) + r".*?(?=<\|end\|>)", CHANNELS, text, count=1, flags=re.DOTALL)
    if not tools and messages[0].role in ("system", "developer") and messages[0].content:
        ending = f"{messages[0].content}\n\n<|end|>"
        assert ending in text
        text = text.replace(ending, f"{messages[0].content}<|end|>", 1)
    return text


def test_prompts_are_the_same(encoding: Any) -> None:
    done = 0
    for seed in range(CASES):
        maker = HarmonyMaker(seed, Shape(calls=1, null_content=False))
        messages, tools = maker.conversation(), maker.tools()
        if any(message.role in ("system", "developer") for message in messages[1:]):
            continue
        try:
            ours = DIALECT.render(messages, tools)
        except OutOfDomain:
            continue
        assert comparable(ours, messages, tools) == prompt(encoding, messages, tools), f"seed {seed}"
        done += 1
    assert done > CASES // 2


# -- replies -----------------------------------------------------------------------------------------------------------


def theirs(encoding: Any, text: str) -> Read | None:
    """What openai-harmony reads; None where it refuses, or where its reading is no assistant's message."""
    tokens = encoding.encode(text, allowed_special=MARKERS, disallowed_special=())
    try:
        messages = encoding.parse_messages_from_completion_tokens(tokens, ROLE.ASSISTANT)
    except harmony.HarmonyError:
        return None
    return sorted_out(messages, text)


def sorted_out(messages: Sequence[Any], text: str) -> Read | None:
    content, reasoning, calls = "", "", []
    for message in messages:
        body = "".join(part.text for part in message.content)
        if message.author.role != ROLE.ASSISTANT or odd_header(message, text):
            return None
        if message.recipient:
            arguments = json_object(body)
            if arguments is None:
                return None
            calls.append((message.recipient.removeprefix(FUNCTIONS), arguments))
        elif message.channel == "analysis":
            reasoning += body
        else:
            content += body
    return content, reasoning, calls


def odd_header(message: Any, text: str) -> bool:
    """Whether openai-harmony read a header that the format does not have: see docs/comparisons.md."""
    recipient, kind = message.recipient or "", message.content_type or ""
    if re.search(r"to=(\s|<\||$)|(?<!to=)functions\.", text) or recipient == FUNCTIONS:
        return True
    if recipient and (f"to={recipient}" not in text or "<|" in recipient):
        return True
    return "<|" in kind.removeprefix("<|constrain|>")


def json_object(text: str) -> dict[str, Json] | None:
    try:
        value = load_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def ours(text: str) -> Read:
    message = DIALECT.parse(text)
    return (
        message.content or "",
        message.reasoning_content or "",
        [(call.name, dict(call.arguments)) for call in message.tool_calls],
    )


REPLIES = (
    "<|channel|>analysis<|message|>R<|end|>",
    '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>',
    ' to=functions.f<|channel|>commentary json<|message|>{"a": 1}<|call|>',
    ' to=functions.f<|channel|>commentary <|constrain|>json<|message|>{"a": ["<|"]}<|call|>',
    '<|channel|>analysis to=browser.search code<|message|>{"query": "é"}<|call|>',
    "<|channel|>final<|message|>C<|return|>",
    "<|channel|>commentary<|message|>P<|end|>",
)
FOREIGN = (
    "<|start|>", "assistant", "<|start|>assistant", "<|channel|>", "analysis", "final", "commentary", "functions", "f",
    " to=functions.f", " to=browser.search", " code", " json", "<|constrain|>", "json", "<|message|>", "{}", "[]", "1",
    '{"a": 1}', '{"a": "<|channel|>"}', "text", "é", " ", "\n", "<|end|>", "<|call|>", "<|return|>", "user", "all",
    "<|endoftext|>",
)  # fmt: skip
PIECE = re.compile(r"(<\|\w+\|>|\s+|=|\.|\{.*?\}(?=<))")


def reply_pieces(rand: random.Random) -> list[str]:
    text = "<|start|>assistant".join(rand.choice(REPLIES) for _ in range(rand.randint(1, 3)))
    return [piece for piece in PIECE.split(text) if piece]


def test_texts_are_read_alike(encoding: Any) -> None:
    rand, done = random.Random(7), 0
    for _ in range(TEXTS):
        text = "".join(mutated(reply_pieces(rand), FOREIGN, rand))
        read = theirs(encoding, text)
        if read is not None:
            assert ours(text) == read, repr(text)
            done += 1
    assert done > TEXTS // 5


def test_replies_are_read_alike(encoding: Any) -> None:
    """Messages with hostile texts, written by openai-harmony, which writes no marker of a text as a marker."""
    done = 0
    for seed in range(CASES):
        maker = HarmonyMaker(seed, Shape(calls=1, null_content=False))
        calls = (maker.call(),) if maker.maybe() else ()
        reply = Message("assistant", maker.text(), maker.reasoning(), calls)
        parts = list(said(reply, True))
        tokens = [token for part in parts for token in encoding.render(part)]
        text = encoding.decode_utf8(tokens).removeprefix("<|start|>assistant")
        read = sorted_out(encoding.parse_messages_from_completion_tokens(tokens[2:], ROLE.ASSISTANT), text)
        assert read == ours(text), f"seed {seed}"
        assert DIALECT.emit(reply, []) + ("<|call|>" if calls else "<|end|>") == text
        done += 1
    assert done == CASES


# -- where they differ, and why the dialect stays as it is (docs/comparisons.md) ---------------------------------------


def first(encoding: Any, text: str) -> Any:
    tokens = encoding.encode(text, allowed_special=MARKERS, disallowed_special=())
    return encoding.parse_messages_from_completion_tokens(tokens, ROLE.ASSISTANT)[0]


def test_a_content_type_alone_is_their_recipient(encoding: Any) -> None:
    text = "<|channel|>final <|constrain|>json<|message|>{}<|return|>"
    assert first(encoding, text).recipient == "<|constrain|>json"
    assert ours(text) == ("{}", "", [])


def test_they_cannot_read_a_space_behind_constrain(encoding: Any) -> None:
    """Which their own documentation writes."""
    text = '<|channel|>commentary to=functions.f <|constrain|> json<|message|>{"a": 1}<|call|>'
    with pytest.raises(harmony.HarmonyError, match="unexpected tokens remaining"):
        first(encoding, text)
    assert ours(text) == ("", "", [("f", {"a": 1})])


def test_they_take_an_end_for_a_content_type(encoding: Any) -> None:
    text = " to=functions.f<|channel|>commentary <|end|><|message|>{}<|call|>"
    assert first(encoding, text).content_type == "<|end|>"


def test_they_keep_the_reasoning_between_two_answers(encoding: Any) -> None:
    """The format's description and the published template drop it."""
    messages = [
        Message("user", "1"),
        Message("assistant", "2"),
        Message("user", "3"),
        Message("assistant", None, "R", (ToolCall("f", {}, "a"),)),
        Message("tool", "4", tool_call_id="a"),
        Message("assistant", "5"),
        Message("user", "6"),
    ]
    conversation = harmony.Conversation.from_messages(list(turns(messages, 0)))
    text = encoding.decode_utf8(encoding.render_conversation_for_completion(conversation, ROLE.ASSISTANT))
    assert "<|channel|>analysis<|message|>R" in text
    assert "analysis<|message|>R" not in DIALECT.render(messages, [])


def test_results_are_json_in_the_template_alone(encoding: Any) -> None:
    author = harmony.Author.new(ROLE.TOOL, "functions.f")
    result = harmony.Message.from_author_and_content(author, json.dumps({"t": 1}))
    assert '<|message|>{"t": 1}<|end|>' in encoding.decode_utf8(encoding.render(result))
    history = [
        Message("user", "1"),
        Message("assistant", None, None, (ToolCall("f", {}, "a"),)),
        Message("tool", '{"t": 1}', tool_call_id="a"),
    ]
    assert r'<|message|>"{\"t\": 1}"<|end|>' in DIALECT.render(history, [])


@pytest.mark.parametrize(
    ("schema", "declared"),
    [
        ({"type": "array", "items": {"type": ["string", "null"]}}, "a?: string | null[],"),
        ({"type": "string", "description": "one\ntwo"}, "// one\ntwo\na?: string,"),
    ],
)
def test_declarations_that_mean_something_else_are_the_same(encoding: Any, schema: Json, declared: str) -> None:
    """Lists of alternatives without parentheses, comments that end too early: the template writes them, too."""
    tools = [Tool("f", "Does it.", {"type": "object", "properties": {"a": schema}})]
    history = [Message("user", "U")]
    assert f"{{\n{declared}\n}}" in prompt(encoding, history, tools)
    assert f"{{\n{declared}\n}}" in DIALECT.render(history, tools)
