"""minicpm5 against the model's published chat template, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from jinja2 import UndefinedError

from tcfuzz.case import Json, Message, ToolCall
from tcfuzz.dialects.minicpm5 import BOS, CALL_HERE, TOOLS_HERE, MiniCPM5
from tests.conversations import PIECES, SPACES, Maker, Shape
from tests.proofs import TOOL, BareProof, Render, between, compare_prompts, compare_replies, rendered

USER = Message("user", "Hi.")
OWN = (TOOLS_HERE, CALL_HERE, "<tool_response>", "</tool_response>", "]]>", "<![CDATA[", "</think>", "</param>", "\n")


class MarkMaker(Maker):
    """Texts may hold the format's own marks, and a question may look like results."""

    def text(self) -> str:
        if self.maybe(0.02):
            return f"<tool_response>{super().text()}</tool_response>"
        pieces = (*PIECES, *OWN) if self.maybe(0.3) else PIECES
        count = self.random.choice((0, 1, 1, 2, 3, 6))
        return "".join(self.random.choice(pieces) + self.random.choice(SPACES) for _ in range(count))


def minicpm_prose(render: Render) -> list[str]:
    """The sentences before the tools and behind them; ours stand before them alone."""
    text = render([USER], [TOOL])
    return [between(text, "# Tools\n\n", "\n<tools>\n"), between(text, "}\n</tools>", "<|im_end|>")]


class AskedProof(BareProof):
    """No thought is shown where nobody asks."""

    def as_shown(self, reply: Message, history: Sequence[Message], options: Mapping[str, Json]) -> Message:
        shown = (reply.reasoning_content or "").strip("\n") and asked(history)
        return reply if shown else replace(reply, reasoning_content=None)

    def reply_options(self, rand: random.Random) -> dict[str, Json]:
        options = self.options(rand)
        return {name: value for name, value in options.items() if name != "enable_thinking" or value}


MINICPM5 = AskedProof(
    MiniCPM5(), "openbmb-MiniCPM5-1B.jinja", {"bos_token": BOS}, MarkMaker, Shape(roles=("system",)), minicpm_prose
)


def test_prompts_are_the_templates_byte_for_byte() -> None:
    compare_prompts(MINICPM5)


def test_a_reply_is_what_the_template_adds() -> None:
    compare_replies(MINICPM5)


def asked(messages: Sequence[Message]) -> bool:
    texts = [message.content for message in messages if message.role == "user" and message.content is not None]
    return not all(text.startswith("<tool_response>") and text.endswith("</tool_response>") for text in texts)


@pytest.mark.parametrize(
    ("messages", "error"),
    [([], UndefinedError), ([Message("system"), USER], TypeError)],
)
def test_the_template_raises_where_it_has_a_limit(messages: list[Message], error: type[Exception]) -> None:
    assert MINICPM5.limited(messages, [], {})
    with pytest.raises(error):
        rendered(MINICPM5.template(), messages, [], True, {})


def test_the_template_drops_what_stands_behind_a_mark_beside_calls() -> None:
    calls = (ToolCall("f", {}), ToolCall("g", {}))
    messages = [USER, Message("assistant", f"A{CALL_HERE}B", tool_calls=calls)]
    theirs = rendered(MINICPM5.template(), messages, [], False, {})
    assert MINICPM5.limited(messages, [], {})
    assert theirs.endswith('assistant\nA\n<function name="f"></function>\n<function name="g"></function><|im_end|>\n')
