"""Dialects against mlx-lm: its parsers of tool calls, and DeepSeek's own encoder of V3.2, which it carries.

mlx-lm itself runs on Apple's machines alone. Its parsers need nothing of it, so they are loaded by themselves.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect, to_json
from tcfuzz.errors import OutOfDomain
from tests.comparison.libraries import folder, library
from tests.comparison.test_transformers import TOOLS, ReplyMaker
from tests.conversations import Maker, Shape

library("transformers", "transformers")
PACKAGE = folder("mlx_lm", "mlx-lm", "pip install --no-deps mlx-lm")
CASES = 200


def part(package: str, name: str) -> Any:
    """A module of mlx-lm's without mlx-lm."""
    alias = f"mlx_lm_{package}"
    if alias not in sys.modules:
        parent = types.ModuleType(alias)
        parent.__path__ = [str(PACKAGE / package)]
        sys.modules[alias] = parent
    return importlib.import_module(f"{alias}.{name}")


# -- parsers of tool calls ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A dialect and mlx-lm's parser. call_id: how an id is spelled, by the call's name and place."""

    name: str
    parser: str
    call_id: str = "call{place:05}"

    def __str__(self) -> str:
        return self.name

    @property
    def dialect(self) -> Dialect:
        return dialects.get(self.name)


KIMI_ID = "functions.{name}:{place}"
PAIRS = (
    Pair("hermes", "json_tools"),
    Pair("qwen3-coder", "qwen3_coder"),
    Pair("glm-4.6", "glm47"),
    Pair("glm-4.7", "glm47"),
    Pair("laguna", "laguna"),
    Pair("minimax-m2", "minimax_m2"),
    Pair("minicpm5", "minicpm5"),
    Pair("kimi-k2", "kimi_k2", KIMI_ID),
    Pair("kimi-k2-thinking", "kimi_k2", KIMI_ID),
    Pair("kimi-k3", "kimi_k3"),
    Pair("gemma4", "gemma4"),
    Pair("functiongemma", "function_gemma"),
    Pair("lfm2", "pythonic"),
    Pair("lfm2.5", "pythonic"),
    Pair("lfm2-thinking", "pythonic"),
    Pair("glimmer", "muse_spark"),
    Pair("devstral", "mistral"),
    Pair("mistral-nemo", "mistral"),
)

Calls = list[tuple[str, Json]]


def read_by_them(parser: Any, text: str) -> Calls:
    """The calls in a text: their server hands over what stands between the markers."""
    tools = [tool.to_openai() for tool in TOOLS]
    blocks = _between(text, parser.tool_call_start, parser.tool_call_end)
    read = [parser.parse_tool_call(block, tools) for block in blocks]
    calls = [call for found in read for call in (found if isinstance(found, list) else [found])]
    return [(call["name"], call["arguments"]) for call in calls]


def _between(text: str, start: str, end: str) -> Iterator[str]:
    if not end:
        yield text.split(start, 1)[1]
        return
    while start in text:
        inner, _, text = text.split(start, 1)[1].partition(end)
        yield inner


def readable(pair: Pair, arguments: dict[str, Json]) -> bool:
    """Whether mlx-lm has no fault with these arguments that docs/comparisons.md tells."""
    if pair.name == "qwen3-coder":
        return not any(isinstance(value, int) and abs(value) > 2**53 for value in arguments.values())
    if pair.name == "functiongemma":
        return not any(isinstance(value, list | dict) or "}" in str(value) for value in arguments.values())
    text = arguments.get("a")
    return pair.name != "glimmer" or not (isinstance(text, str) and re.match(r"[-\d\"\[{]|true|false|null", text))


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_calls_are_read_alike(pair: Pair) -> None:
    parser, most, done = part("tool_parsers", pair.parser), 1 if pair.dialect.traits.max_calls == 1 else 2, 0
    for seed in range(CASES):
        maker = ReplyMaker(seed, Shape())
        drawn = [maker.call() for _ in range(maker.random.randint(1, most))]
        calls = [
            replace(call, id=pair.call_id.format(name=call.name, place=place))
            for place, call in enumerate(drawn)
            if readable(pair, dict(call.arguments))
        ]
        try:
            text = pair.dialect.emit(Message("assistant", None, None, tuple(calls)), TOOLS)
        except OutOfDomain:
            continue
        if calls:
            assert read_by_them(parser, text) == [(call.name, dict(call.arguments)) for call in calls], f"seed {seed}"
            done += 1
    assert done > CASES // 4


def test_they_take_the_id_for_the_name() -> None:
    text = '[TOOL_CALLS]f[CALL_ID]call00001[ARGS]{"a": 1}'
    assert read_by_them(part("tool_parsers", "mistral"), text) == [("call00001", {"a": 1})]
    assert dialects.get("mistral-small-3.2").parse(text).tool_calls == (ToolCall("f", {"a": 1}, "call00001"),)


def test_they_read_large_integers_as_floats() -> None:
    text = "<tool_call>\n<function=f>\n<parameter=b>\n9007199254740993\n</parameter>\n</function>\n</tool_call>"
    assert read_by_them(part("tool_parsers", "qwen3_coder"), text) == [("f", {"b": 2**53})]
    assert dialects.get("qwen3-coder").parse(text, TOOLS).tool_calls[0].arguments == {"b": 2**53 + 1}


def test_they_know_no_lists_in_functiongemma() -> None:
    text = "<start_function_call>call:f{e:[<escape>x<escape>,1]}<end_function_call>"
    with pytest.raises(ValueError, match="substring not found"):
        read_by_them(part("tool_parsers", "function_gemma"), text)
    assert dialects.get("functiongemma").parse(text).tool_calls[0].arguments == {"e": ["x", 1]}


# -- DeepSeek's encoder ------------------------------------------------------------------------------------------------

DSML = "｜DSML｜"
V32 = dialects.get("deepseek-v3.2")


class DeepSeekMaker(Maker):
    """Every call has its result, an answer follows; no text holds a tag that opens or closes a thought."""

    def text(self) -> str:
        return re.sub(r"</?think>|\ud800", "", super().text())

    def steps(self) -> Iterator[Message]:
        for _ in range(self.random.choice((0, 0, 1, 1, 2))):
            calls = tuple(self.call() for _ in range(self.random.randint(1, 3)))
            yield Message("assistant", self.random.choice((None, self.text())), self.reasoning() or "R", calls)
            for call in calls:
                yield Message("tool", self.text(), tool_call_id=call.id)
        yield Message("assistant", self.text(), self.reasoning() or "R")


def encoded(messages: Sequence[Message], tools: Sequence[Tool], *, thinking: bool) -> str:
    """Theirs, as the published Jinja template has it where it differs."""
    shapes = [message.to_openai() for message in messages]
    for call in [call for shape in shapes for call in shape.get("tool_calls", ())]:
        call["function"]["arguments"] = to_json(call["function"]["arguments"])
    mode = "thinking" if thinking else "chat"
    text: str = part("chat_templates", "deepseek_v32").encode_messages(shapes, thinking_mode=mode)
    if not thinking and text.endswith("</think>"):
        text = text.removesuffix("</think>") + "<think></think>"
    return text.replace(f'">\n\n</{DSML}invoke>', f'">\n</{DSML}invoke>')


@pytest.mark.parametrize("thinking", [False, True])
def test_prompts_are_the_encoders_of_deepseek(thinking: bool) -> None:
    done = 0
    for seed in range(CASES):
        maker = DeepSeekMaker(seed, Shape(alternating=True, roles=("system",), null_content=False))
        messages = maker.conversation()
        if V32.template_limit(messages, [], {}):
            continue
        ours = V32.render(messages, [], thinking=thinking)
        assert ours == encoded(messages, [], thinking=thinking), f"seed {seed}"
        done += 1
    assert done > CASES // 2


def test_the_published_template_has_its_own_empty_thought_and_empty_call() -> None:
    history = [Message("user", "U"), Message("assistant", None, None, (ToolCall("f", {}, "a"),))]
    encoder = part("chat_templates", "deepseek_v32")
    assert encoder.encode_messages([{"role": "user", "content": "U"}], thinking_mode="chat").endswith(
        "Assistant｜></think>"
    )
    assert V32.render(history[:1], []).endswith("<think></think>")
    theirs = encoder.encode_arguments_to_dsml({"name": "f", "arguments": "{}"})
    assert theirs == ""
    ours = V32.emit(history[1], [])
    assert f'"f">\n</{DSML}invoke>' in ours
    both = (ours, ours.replace('"f">\n', '"f">\n\n'))
    assert all(V32.parse(text).tool_calls[0].arguments == {} for text in both)
