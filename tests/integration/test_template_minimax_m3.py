"""minimax-m3 against the model's published chat template, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from jinja2 import TemplateError

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.minimax_m3 import MODES, MiniMaxM3
from tcfuzz.hf import ChatTemplate
from tests.conversations import Maker, Shape
from tests.proofs import TOOL, BareProof, between, compare_prompts, compare_replies, rendered

USER = Message("user", "Hi.")
PLACES = (("]~b]system\n", "[e~["), ("# Tools\n", "<tools>\n<tool>"), ("</tool>\n</tools>\n\n", "[e~["))


class ModesProof(BareProof):
    """The vendor's sentences are others in each mode of thinking."""

    def options(self, rand: random.Random) -> dict[str, Json]:
        identity = {"model_identity": rand.choice(("You are é.", ""))} if rand.random() < 0.2 else {}
        return super().options(rand) | identity

    def rewriter(self, template: ChatTemplate) -> Callable[[str], str]:
        pairs = []
        for options in ({}, *({"thinking_mode": mode} for mode in MODES)):
            theirs = rendered(template, [USER], [TOOL], False, options)
            ours = self.dialect.render([USER], [TOOL], add_generation_prompt=False, **options)
            for start, end in PLACES:
                pairs.append((between(theirs, start, end) + end, between(ours, start, end) + end))

        def rewrite(prompt: str) -> str:
            for their, our in pairs:
                prompt = prompt.replace(their, our)
            return prompt

        return rewrite


M3 = ModesProof(MiniMaxM3(), "MiniMax-M3.jinja", {}, Maker, Shape())


def test_prompts_are_the_templates_byte_for_byte() -> None:
    compare_prompts(M3)


def test_a_reply_is_what_the_template_adds() -> None:
    compare_replies(M3)


@pytest.mark.parametrize("text", ["Root.", "", None])
def test_a_text_of_the_role_root_stands_in_the_system_turn(text: str | None) -> None:
    template, messages = M3.template(), [Message("root", text), Message("developer", "Dev."), USER]
    theirs, ours = rendered(template, messages, [], True, {}), M3.dialect.render(messages, [])
    assert theirs.split("[e~[", 1)[1] == ours.split("[e~[", 1)[1]
    assert text is None or between(theirs, "]~b]system\n", "\n\n<think").startswith(text)
    assert theirs.startswith(ours.split("Think", 1)[0])


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([USER, Message("tool", "R")], TemplateError),
        ([USER, Message("assistant", tool_calls=(ToolCall("f", {}),)), Message("tool")], TypeError),
    ],
)
def test_the_template_raises_where_it_has_a_limit(messages: list[Message], error: type[Exception]) -> None:
    assert M3.limited(messages, [], {})
    with pytest.raises(error):
        rendered(M3.template(), messages, [], True, {})


def test_what_the_template_shows_of_a_call_is_read_by_the_schema() -> None:
    properties: dict[str, Json] = {
        "a": {"type": "array", "items": {"type": "array", "items": {"type": ["integer", "null"]}}},
        "o": {"type": "object", "properties": {"item": {"type": "string"}, "e": {"type": "object"}}},
        "n": {"type": "number"},
    }
    tool = Tool("f", None, {"type": "object", "properties": properties})
    arguments = {"a": [[1, None, -2], []], "o": {"item": "]<]minimax[>[<item>", "e": {}}, "n": 1e16, "x": ["é", "é"]}
    reply = Message("assistant", "A", "R", (ToolCall("f", arguments, "call_0"),))
    prompt = rendered(M3.template(), [USER, reply], [tool], False, {})
    said = M3.dialect.strip_turn_end(prompt[prompt.index("<mm:think>R") :])
    assert said == M3.dialect.emit(reply, [tool])
    assert M3.dialect.parse(said, [tool]) == reply
    assert M3.dialect.parse(said, []) != replace(reply, tool_calls=())
