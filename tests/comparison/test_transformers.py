"""Dialects against transformers' response parser, with the response templates that TRL has for published models.

A response template says by regular expressions which regions a text has. TRL needs much that is not needed here, so
its templates are read out of its file.
"""

from __future__ import annotations

import ast
import functools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import OutOfDomain
from tests.comparison.libraries import folder, library, mutated
from tests.conversations import Maker, Shape

library("transformers", "transformers")
from transformers.utils.chat_parsing import ResponseParser, parse_response  # noqa: E402

TRL = folder("trl", "trl", "pip install --no-deps trl") / "chat_template_utils.py"
CASES = 300
TEXTS = 700

Read = tuple[str, str, list[tuple[str, Json]]]
"""Content, reasoning, calls; texts without white space, which the response templates strip."""


@functools.cache
def response_template(name: str) -> Any:
    return _templates()[f"{name}_template"]


@functools.cache
def _templates() -> dict[str, Any]:
    """All response templates, as for a transformers that casts arguments by their tool's schema."""
    found: dict[str, Any] = {"_SUPPORTS_PARSE_RESPONSE_TOOLS": True}
    for node in ast.parse(TRL.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.For) or (isinstance(node, ast.Assign) and _needed(node)):
            exec(compile(ast.Module([node], []), str(TRL), "exec"), found)
    return found


def _needed(node: ast.Assign) -> bool:
    name = node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""
    return name.startswith(("_LFM2", "_XML")) or (name.endswith("_template") and isinstance(node.value, ast.Dict))


@dataclass(frozen=True)
class Pair:
    """A dialect and its response template. `prefix`: the end of the prompt, where it opens a thought."""

    name: str
    template: str
    prefix: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def dialect(self) -> Dialect:
        return dialects.get(self.name)


PAIRS = (
    Pair("hermes", "qwen3"),
    Pair("qwen3", "qwen3"),
    Pair("qwen3-vl-instruct", "qwen3"),
    Pair("qwen3-vl-thinking", "qwen3"),
    Pair("smollm3", "qwen3"),
    Pair("qwen3-coder", "qwen3_5"),
    Pair("qwen3.5", "qwen3_5"),
    Pair("qwen3.8", "qwen3_5"),
    Pair("nemotron-3", "nemotron_3", "<|im_start|>assistant\n<think>\n"),
    Pair("glm-4.6", "glm4moe"),
    Pair("llama3.1", "llama3"),
    Pair("llama3.2", "llama3"),
    Pair("gemma4", "gemma4"),
    Pair("gemma4-large", "gemma4"),
    Pair("harmony", "gptoss"),
)
LISTED = PAIRS[:4]
"""Those whose texts are compared also where they are broken: their calls are JSON."""
pairs = pytest.mark.parametrize("pair", PAIRS, ids=str)


# -- both readings -----------------------------------------------------------------------------------------------------


def bare(text: str) -> str:
    return "".join(text.split())


def read_by_them(pair: Pair, text: str, tools: Sequence[Tool]) -> Read | None:
    """Their reading; None where they raise, or read a call without name or arguments.

    The message has the last region of a field only, so all regions are taken.
    """
    declared = [tool.to_openai() for tool in tools]
    parser = ResponseParser(response_template(pair.template), prefix=pair.prefix, tools=declared)
    try:
        events = parser.feed(text)
        events += parser.finalize()[1]
    except ValueError:
        return None
    closed = [(event["field"], event["value"]) for event in events if event["type"] == "region_close"]
    calls = [value["function"] for field, value in closed if field == "tool_calls"]
    if any(not call.get("name") or not isinstance(call.get("arguments"), dict) for call in calls):
        return None
    content = "".join(value for field, value in closed if field == "content")
    thought = "".join(value for field, value in closed if field in ("reasoning_content", "thinking"))
    return bare(content), bare(thought), [(call["name"], call["arguments"]) for call in calls]


def read_by_us(pair: Pair, text: str, tools: Sequence[Tool]) -> Read:
    message = pair.dialect.parse(text, tools)
    calls = [(call.name, dict(call.arguments)) for call in message.tool_calls]
    return bare(message.content or ""), bare(message.reasoning_content or ""), calls


def ended(pair: Pair, text: str) -> str:
    """A reply with its end of turn, as transformers gets it."""
    if pair.name == "harmony":
        return text + ("<|call|>" if " to=" in text else "<|return|>")
    return text + (pair.dialect.turn_ends[0].rstrip() if pair.dialect.turn_ends else "<|user|>")


def after_prefix(pair: Pair, text: str) -> str:
    return text.removeprefix("<think>\n") if pair.prefix else text


# -- replies -----------------------------------------------------------------------------------------------------------


class ReplyMaker(Maker):
    """Texts without the markers of any format, which response templates take wherever they stand."""

    def text(self) -> str:
        text = re.sub(r"<[^ ]*?think>|<\|.*?>|<[^ ]*?\|>|</?\w+>|[\ud800\x00-\x1f]", "", super().text())
        return " ".join(text.split())

    def call(self) -> ToolCall:
        """Names and keys that are words, for some templates know no others; values of one type a key."""
        self.ids += 1
        keys = self.random.sample(("a", "b", "c", "d", "e"), self.random.randrange(4))
        values: Mapping[str, Json] = {
            "a": self.text() or "x",
            "b": self.random.choice((0, -7, 2**53 + 1)),
            "c": self.random.choice((True, False)),
            "d": {"x": [1, None, self.text()], "y": {}},
            "e": [self.text(), []],
        }
        return ToolCall(self.random.choice(("f", "get_weather_2")), {key: values[key] for key in keys}, f"c{self.ids}")


TYPES = {"a": "string", "b": "integer", "c": "boolean", "d": "object", "e": "array"}
TOOLS = [
    Tool(name, "", {"type": "object", "properties": {key: {"type": kind} for key, kind in TYPES.items()}})
    for name in ("f", "get_weather_2")
]


def reply(maker: Maker, dialect: Dialect) -> Message:
    most = 1 if dialect.traits.max_calls == 1 else 2
    calls = tuple(maker.call() for _ in range(maker.random.randint(0, most)))
    # Where text stands beside calls, harmony's template has no place for it.
    text = maker.text() if not calls or (maker.maybe() and dialect.name != "harmony") else None
    return Message("assistant", text, maker.reasoning() if dialect.traits.reasoning else None, calls)


def emitted(pair: Pair, said: Message) -> str | None:
    try:
        text = pair.dialect.emit(said, TOOLS)
    except OutOfDomain:
        return None
    back = pair.dialect.normalise(pair.dialect.parse(text, TOOLS))
    same = replace(back, tool_calls=()) == replace(pair.dialect.normalise(said), tool_calls=())
    return text if same and len(back.tool_calls) == len(said.tool_calls) else None


@pairs
def test_replies_are_read_alike(pair: Pair) -> None:
    done = 0
    for seed in range(CASES):
        said = reply(ReplyMaker(seed, Shape()), pair.dialect)
        text = emitted(pair, said)
        if text is None:
            continue
        expected = read_by_them(pair, after_prefix(pair, ended(pair, text)), TOOLS)
        assert read_by_us(pair, text, TOOLS) == expected, f"seed {seed}: {text!r}"
        done += 1
    assert done > CASES // 2


# -- texts -------------------------------------------------------------------------------------------------------------

PIECE = re.compile(r"(</?tool_call>|</?think>|[{}\[\]\":,\n])")
FOREIGN = ("<tool_call>", "</tool_call>", "<think>", "</think>", " ", "\n", "\n\n", "\t", "x", "Hi.", "{}", '"', "}")


@pytest.mark.parametrize("pair", LISTED, ids=str)
def test_texts_are_read_alike(pair: Pair) -> None:
    rand, done = random.Random(2), 0
    for seed in range(TEXTS):
        text = emitted(pair, reply(ReplyMaker(seed, Shape()), pair.dialect))
        if text is None:
            continue
        text = "".join(mutated([piece for piece in PIECE.split(text) if piece], FOREIGN, rand, 2))
        if "<think>" in text.lstrip()[1:]:
            # To them a thought may begin anywhere.
            continue
        expected = read_by_them(pair, ended(pair, text), TOOLS)
        if expected is None or ended(pair, "") in "".join(expected[:2]):
            # They keep the end of turn within a thought that is open.
            continue
        assert read_by_us(pair, text, TOOLS) == expected, repr(text)
        done += 1
    assert done > TEXTS // 3


# -- where they differ, and why the dialects stay as they are (docs/comparisons.md) ------------------------------------


def whole(template: str, text: str) -> dict[str, Any]:
    message: dict[str, Any] = parse_response(text, response_template(template), prefix="", tools=[])
    return message


CALL = '<tool_call>\n{"name": "f", "arguments": {"a": "x"}}\n</tool_call>'


def test_they_have_the_last_of_two_texts_alone() -> None:
    text = f"Before.{CALL}After."
    assert whole("qwen3", text + "<|im_end|>")["content"] == "After."
    assert dialects.get("hermes").parse(text).content == "Before.After."


def test_they_keep_the_end_of_turn_in_an_open_thought() -> None:
    assert whole("qwen3", "<think>R<|im_end|>")["reasoning_content"] == "R<|im_end|>"


def test_they_end_a_call_within_a_string() -> None:
    text = CALL.replace("x", "</tool_call>")
    with pytest.raises(ValueError, match="could not parse"):
        whole("qwen3", text)
    assert dialects.get("hermes").parse(text).tool_calls == (ToolCall("f", {"a": "</tool_call>"}, "call_0"),)


def test_they_strip_values() -> None:
    text = "<tool_call>\n<function=f>\n<parameter=a>\n x\n\n</parameter>\n</function>\n</tool_call>"
    assert whole("qwen3_5", text)["tool_calls"][0]["function"]["arguments"] == {"a": "x"}
    assert dialects.get("qwen3-coder").parse(text, TOOLS).tool_calls[0].arguments == {"a": " x\n"}


def test_they_lose_harmony_calls_as_the_model_writes_them() -> None:
    text = '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}'
    assert "tool_calls" not in whole("gptoss", text + "<|call|>")
    assert dialects.get("harmony").parse(text).tool_calls == (ToolCall("f", {"a": 1}, "call_0"),)


def test_they_know_no_keys_but_words_in_gemma4() -> None:
    text = '<|tool_call>call:f{a-b:<|"|>x<|"|>}<tool_call|>'
    with pytest.raises(ValueError, match="could not parse"):
        whole("gemma4", text)
    assert dialects.get("gemma4").parse(text).tool_calls == (ToolCall("f", {"a-b": "x"}, "call_0"),)
