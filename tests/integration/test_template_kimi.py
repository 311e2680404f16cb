"""kimi-k3 against the model's published chat template, byte for byte, and kimi-k2 where ids and names are odd."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from jinja2 import TemplateError

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.kimi_k2 import KimiK2, KimiK2Thinking
from tcfuzz.dialects.kimi_k3 import KimiK3
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tests.conversations import Maker, Shape
from tests.proofs import (
    TOOL,
    Proof,
    between,
    compare_prompts,
    compare_replies,
    kimi_prose,
    rendered,
)

USER = Message("user", "Hi.")
SCHEMAS: tuple[Json, ...] = ({"b": [1, {"Z": None, "a": "é", "B": True}], "a": {}}, [], "text", None)
FORMATS: tuple[dict[str, Json], ...] = (
    {"response_format": {"type": "json_object"}},
    {"response_format": "json_object"},
    {"response_format": "text"},
    *({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}} for schema in SCHEMAS),
    {"response_format": {"type": "json_schema", "json_schema": {"json_schema": {"b": 1}}}},
    {"response_format": {"type": "json_schema", "json_schema": {"b": 1, "a": 2}}},
    {"response_format": {"type": "json_schema"}, "response_schema": {"type": "object"}},
    {"response_format": "json_schema"},
    {"response_format": {"type": "json_schema"}},
)


class NamedMaker(Maker):
    """Speakers may have names, results those of their tools; some ids stand for two calls, or for none."""

    def conversation(self) -> list[Message]:
        named = [
            replace(message, name=self.random.choice((None, None, 'a"&b', "é"))) if message.role != "tool" else message
            for message in super().conversation()
        ]
        return [replace(m, tool_call_id=None) if m.role == "tool" and self.maybe(0.1) else m for m in named]

    def call(self) -> ToolCall:
        call = super().call()
        ids = (None, "call00001", f"functions.{call.name}:{self.random.randrange(4)}")
        return replace(call, id=self.random.choice(ids)) if self.maybe(0.1) else call


class KimiProof(Proof):
    """The template says more where a request asks for more."""

    def options(self, rand: random.Random) -> dict[str, Json]:
        options = super().options(rand)
        if rand.random() < 0.2:
            options["tool_choice"] = rand.choice(("auto", "none", "required"))
        return options | (rand.choice(FORMATS) if rand.random() < 0.2 else {})

    def reply_options(self, rand: random.Random) -> dict[str, Json]:
        return {"thinking": False} if rand.random() < 0.3 else {}

    def as_shown(self, reply: Message, history: Sequence[Message], options: Mapping[str, Json]) -> Message:
        thought = None if options or not (reply.reasoning_content or "").strip() else reply.reasoning_content
        return replace(reply, name=None, reasoning_content=thought)

    def rewriter(self, template: ChatTemplate) -> Callable[[str], str]:
        pairs = [pair for where in ("declare", "effort", "choice", "format") for pair in self._pairs(template, where)]

        def rewrite(prompt: str) -> str:
            for theirs, ours in pairs:
                prompt = prompt.replace(theirs, ours)
            return prompt

        return rewrite

    def _pairs(self, template: ChatTemplate, where: str) -> list[tuple[str, str]]:
        """The vendor's sentences and ours in the message of a type."""
        asked: dict[str, list[tuple[dict[str, Json], str, str]]] = {
            "declare": [({}, 'type="tool-declare"<|sep|>', "```json\n")],
            "effort": [({}, 'type="thinking-effort"<|sep|>', "max`.<|close|>")],
            "choice": [
                ({"tool_choice": choice}, 'type="tool-choice"<|sep|>', "<|close|>") for choice in ("required", "none")
            ],
            "format": [
                (FORMATS[3], 'type="response-format"<|sep|>', "\n```json\n"),
                (FORMATS[0], 'type="response-format"<|sep|>', "<|close|>"),
            ],
        }
        pairs = []
        for options, start, end in asked[where]:
            theirs = rendered(template, [USER], [TOOL], False, options)
            ours = self.dialect.render([USER], [TOOL], add_generation_prompt=False, **options)
            # The sentences before an effort end as ours do before the word.
            pairs.append((start + between(theirs, start, end), start + between(ours, start, end)))
        return pairs


class ListProof(Proof):
    """The template changes lists, and binds results in their order: where that differs, it has a limit."""

    def limited(self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]) -> bool:
        return self.dialect.template_limit(messages, tools, options) is not None


KIMI_K2 = tuple(
    ListProof(dialect, file, {}, NamedMaker, prose=kimi_prose, mutable=True)
    for dialect, file in ((KimiK2(), "Kimi-K2-Instruct.jinja"), (KimiK2Thinking(), "Kimi-K2-Thinking.jinja"))
)
KIMI_K3 = KimiProof(KimiK3(), "Kimi-K3.jinja", {}, NamedMaker, Shape())


@pytest.mark.parametrize("proof", (*KIMI_K2, KIMI_K3), ids=str)
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    compare_prompts(proof)


@pytest.mark.parametrize("proof", KIMI_K2, ids=str)
def test_kimi_k2_gives_results_to_the_calls_in_their_order(proof: Proof) -> None:
    calls = (ToolCall("f", {}, "functions.f:5"), ToolCall("g", {}, "b"))
    results = [Message("tool", "G", tool_call_id="b"), Message("tool", "F", tool_call_id="functions.f:5")]
    history = [USER, Message("assistant", "A", tool_calls=calls), *results]
    prompts = rendered(proof.template(), history, [], True, {}), proof.dialect.render(history, [])
    shown = [proof.dialect.result_bindings(prompt) for prompt in prompts]
    assert shown == [
        [("functions.f:0", "G"), ("functions.g:1", "F")],
        [("functions.g:1", "G"), ("functions.f:0", "F")],
    ]
    assert proof.limited(history, [], {}) and not proof.limited([*history[:2], *reversed(results)], [], {})


def test_a_reply_is_what_the_template_adds() -> None:
    compare_replies(KIMI_K3)


def test_arguments_given_as_text_are_a_block_that_is_read() -> None:
    call = ToolCall("f", {"a": ["<|close|>json<|sep|>", 1.5], "b": {}}, "call_0")
    shape = Message("assistant", "A", tool_calls=(call,)).to_openai(arguments_as_string=True)
    prompt = KIMI_K3.template().render([USER.to_openai(), shape])
    said = KIMI_K3.dialect.strip_turn_end(prompt[prompt.index("<|open|>think") :])
    assert "argument" not in said
    assert KIMI_K3.dialect.parse(said) == Message("assistant", "A", tool_calls=(call,))


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        ([USER], {"thinking_effort": "medium"}),
        ([USER, Message("tool", "R")], {}),
        ([USER, Message("assistant", "A"), Message("tool", "R", tool_call_id="x")], {}),
    ],
)
def test_what_the_template_refuses_is_out_of_the_domain(messages: list[Message], options: dict[str, Json]) -> None:
    with pytest.raises(TemplateError):
        rendered(KIMI_K3.template(), messages, [], True, options)
    with pytest.raises(OutOfDomain):
        KIMI_K3.dialect.render(messages, [], **options)
