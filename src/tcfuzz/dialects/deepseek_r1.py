"""`deepseek-r1`, `deepseek-r1-0528`, `deepseek-r1-llama-cpp`: calls as type, name and fenced JSON between tokens.

Source: the chat template of DeepSeek-R1-Distill-Qwen-32B (2025-01, in llama.cpp's form with a switch for thinking).
The published template is right for one round of calls alone: it forgets tokens in later rounds, leaves results open
where no answer follows, and puts text beside calls in a turn of its own. Here every round is like the first, text
stands before its calls, and what follows results goes on without a header, as an answer does. llama.cpp has a template
of its own, which declares tools, ends every turn and always opens a thought. The revision of 2025-05-28 is right in
every round; it opens no thought.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect, Marker, ToolIndex, Traits, refuse_markers, to_json
from tcfuzz.dialects.chatml import null_content
from tcfuzz.dialects.deepseek_v31 import (
    ASSISTANT,
    BOS,
    CALL_CLOSE,
    CALL_OPEN,
    CALLS_CLOSE,
    CALLS_OPEN,
    EOS,
    RESULT_CLOSE,
    RESULT_OPEN,
    SEPARATOR,
    USER,
    DeepSeekV31,
    read_calls,
)
from tcfuzz.dialects.qwen3 import THINK_CLOSE, THINK_OPEN, read_reasoning, think_block
from tcfuzz.dialects.syntax.calls import json_object
from tcfuzz.dialects.syntax.reader import JSON_WHITESPACE, Machine, Markers, Reader, Sink, Step
from tcfuzz.errors import OutOfDomain

RESULTS_OPEN, RESULTS_CLOSE = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
TOOL_PREAMBLE = "Functions: "
CALL_PREAMBLE = "Answer with the name of a function and fenced JSON between the tokens for calls to call one."
FENCE_OPEN, FENCE_CLOSE = "```json", "```"
THOUGHT = f"{THINK_OPEN}\n"
R1_MARKERS = (
    *DeepSeekV31.markers,
    Marker(RESULTS_OPEN, "result-open"),
    Marker(RESULTS_CLOSE, "result-close"),
    Marker(FENCE_OPEN, "separator", special=False),
)

_CALLS_START = Markers([CALLS_OPEN])
_TYPE_ENDS = Markers([SEPARATOR, CALL_OPEN, CALL_CLOSE, CALLS_CLOSE])
_NAME_ENDS = Markers(["\n", FENCE_OPEN, CALL_OPEN, CALL_CLOSE, CALLS_CLOSE])


def call_block(calls: Sequence[ToolCall]) -> str:
    """All calls of one turn; nothing where there are none."""
    texts = [
        f"{CALL_OPEN}function{SEPARATOR}{call.name}\n{FENCE_OPEN}\n{to_json(dict(call.arguments))}\n{FENCE_CLOSE}{CALL_CLOSE}"
        for call in calls
    ]
    return CALLS_OPEN + "\n".join(texts) + CALLS_CLOSE if texts else ""


def result_block(messages: Sequence[Message], index: int) -> str:
    """The text of the tool message at `index`: consecutive results share one block."""
    opens = index == 0 or messages[index - 1].role != "tool"
    closes = index == len(messages) - 1 or messages[index + 1].role != "tool"
    body = f"{RESULT_OPEN}{messages[index].content or ''}{RESULT_CLOSE}"
    return (RESULTS_OPEN if opens else "\n") + body + (RESULTS_CLOSE if closes else "")


def read_call(read: Reader) -> Step[tuple[str, dict[str, Json]] | None]:
    """One call; fence and close token may be missing at the very end of the text."""
    yield from read.spaces()
    if not (yield from read.literal(CALL_OPEN)):
        return None
    _, end = yield from read.take_until(_TYPE_ENDS)
    if end != SEPARATOR:
        return None
    name, end = yield from read.take_until(_NAME_ENDS)
    if not name or not (end == FENCE_OPEN or (end == "\n" and (yield from read.literal(FENCE_OPEN)))):
        return None
    yield from read.spaces()
    arguments = json_object((yield from read.json_container()))
    yield from read.spaces()
    yield from read.literal(FENCE_CLOSE)
    yield from read.spaces()
    closed = yield from read.literal(CALL_CLOSE)
    return (name, arguments) if arguments is not None and (closed or read.at_end) else None


class DeepSeekR1(Dialect):
    """DeepSeek-R1 and its distillates, with a switch for thinking."""

    name = "deepseek-r1"
    summary = "DeepSeek-R1: name and fenced JSON between special tokens"
    markers: ClassVar[tuple[Marker, ...]] = R1_MARKERS
    turn_ends = (EOS,)
    thought_end = f"\n{THINK_CLOSE}\n\n"
    traits = Traits(
        kind="json",
        reasoning=True,
        reasoning_in_history=False,
        content_trim="outer",  # the empty lines behind a thought: no source says whose they are
        declares_tools=False,
        string_arguments="encoded-twice",
        system="first",
        developer=False,
        options={"enable_thinking": (False, True)},
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        system = [message.content or "" for message in messages if message.role == "system"]
        spoken = [message for message in messages if message.role in ("user", "assistant", "tool")]
        parts = [BOS, *system[-1:], *_turns(spoken)]
        if add_generation_prompt and not (spoken and spoken[-1].role == "tool"):
            parts.append(ASSISTANT + THOUGHT + ("" if options.get("enable_thinking") else THINK_CLOSE))
        return "".join(parts)

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        refuse_markers(reply.content, [CALLS_OPEN], "content")
        refuse_markers(reply.reasoning_content, [THINK_CLOSE], "reasoning")
        if (reply.content or "").lstrip(JSON_WHITESPACE).startswith((THINK_OPEN, THINK_CLOSE)):
            raise OutOfDomain("content begins as reasoning does")
        reasoning = think_block(reply.reasoning_content) if reply.reasoning_content else ""
        return reasoning + (reply.content or "") + call_block(reply.tool_calls)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        yield from read_reasoning(read, out)
        while (yield from read.text_until(_CALLS_START, out.content)) is not None:
            yield from read_calls(read, out, read_call)

    def opened_by(self, prompt: str) -> str:
        return THOUGHT if prompt.endswith(ASSISTANT + THOUGHT) else ""

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if (limit := _shared_limit(messages)) is not None:
            return limit
        if any(m.tool_calls and m.content is not None for m in messages):
            return "puts the text beside calls in a turn of its own"
        if len([m for m in messages if m.tool_calls]) > 1 or len(_results_before(messages)) > 1:
            return "forgets tokens after the first round of calls"
        if any(after is not None and (after.role == "user" or after.tool_calls) for after in _results_before(messages)):
            return "leaves results open where no answer follows"
        return null_content(messages) if messages else None


class DeepSeekR10528(DeepSeekR1):
    """DeepSeek-R1 of 2025-05-28: the model's header stands behind each question, any number of rounds may follow."""

    name = "deepseek-r1-0528"
    summary = "DeepSeek-R1-0528: as DeepSeek-R1, any number of rounds"
    thought_end = ""
    traits = replace(DeepSeekR1.traits, string_arguments="required", options={})

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        system = [message.content or "" for message in messages if message.role == "system"]
        spoken = [message for message in messages if message.role in ("user", "assistant", "tool")]
        parts = [BOS, "\n\n".join(system)]
        for index, message in enumerate(spoken):
            if message.role == "user":
                parts.append(USER + (message.content or "") + ASSISTANT)
            elif message.role == "tool":
                parts.append(result_block(spoken, index))
            else:
                refuse_markers(message.content, [THINK_CLOSE], "content")
                parts.append((message.content or "") + call_block(message.tool_calls) + EOS)
        if add_generation_prompt and not (spoken and spoken[-1].role in ("user", "tool")):
            parts.append(ASSISTANT)
        return "".join(parts)

    def opened_by(self, prompt: str) -> str:
        return ""

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if (limit := _shared_limit(messages)) is not None:
            return limit
        after = _results_before(messages)
        if any(message is not None and message.role == "user" for message in after):
            return "leaves results open where no answer follows"
        if len(after) > len([m for m in messages if m.tool_calls]):
            return "opens no results that no call asked for"
        if any(m.content is None for m in messages):
            return "null content raises"
        return None


def _shared_limit(messages: Sequence[Message]) -> str | None:
    if any(m.role == "developer" for m in messages):
        return "drops the developer message"
    if any(m.role == "assistant" and THINK_CLOSE in (m.content or "") for m in messages):
        return "takes a text up to the end of a thought in it for one"
    if any(m.role == "system" for m in messages[1:]):
        return "moves a later system message to the front"
    return None


def _turns(messages: Sequence[Message]) -> Iterator[str]:
    for index, message in enumerate(messages):
        if message.role == "user":
            yield USER + (message.content or "")
        elif message.role == "tool":
            yield result_block(messages, index)
        else:
            refuse_markers(message.content, [THINK_CLOSE], "content")
            follows_result = index > 0 and messages[index - 1].role == "tool"
            yield "" if follows_result else ASSISTANT
            yield (message.content or "") + call_block(message.tool_calls) + EOS


def _results_before(messages: Sequence[Message]) -> list[Message | None]:
    """What follows each block of results; None for the end."""
    following = [*messages[1:], None]
    return [b for a, b in zip(messages, following, strict=True) if a.role == "tool" and (b is None or b.role != "tool")]


class DeepSeekR1LlamaCpp(DeepSeekR1):
    """The form of llama.cpp's own template."""

    name = "deepseek-r1-llama-cpp"
    summary = "DeepSeek-R1 in llama.cpp's template: with tools, an end for every turn"
    traits = replace(DeepSeekR1.traits, declares_tools=True, options={})

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        system = [message.content or "" for message in messages if message.role == "system"]
        spoken = [message for message in messages if message.role in ("user", "assistant", "tool")]
        turns = [_closed_turn(spoken, index) for index in range(len(spoken))]
        return BOS + tool_list(tools) + "".join(system[-1:] + turns) + (ASSISTANT + THOUGHT) * add_generation_prompt

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if tools:
            return "raises with tools"
        if (limit := _shared_limit(messages)) is not None:
            return limit
        if any(m.tool_calls and m.content for m in messages):
            return "drops the calls beside a text"
        if any(m.role == "assistant" and not m.tool_calls and not m.content for m in messages):
            return "shows an empty answer as a block of no calls"
        if len(_results_before(messages)) > 1:
            return "forgets a token after the first round of results"
        return "null content raises" if any(m.content is None and not m.tool_calls for m in messages) else None


def tool_list(tools: Sequence[Tool]) -> str:
    """The declarations, indented by two; nothing where there are none."""
    listed = json.dumps([tool.to_openai()["function"] for tool in tools], ensure_ascii=False, indent=2)
    return f"{TOOL_PREAMBLE}{listed}\n\n{CALL_PREAMBLE}\n\n" if tools else ""


def _closed_turn(messages: Sequence[Message], index: int) -> str:
    """The text of the message at `index`: consecutive results share one turn."""
    message = messages[index]
    if message.role == "user":
        return f"{USER}{message.content or ''}{EOS}"
    if message.role == "assistant":
        refuse_markers(message.content, [THINK_CLOSE], "content")
        return f"{ASSISTANT}{message.content or ''}{call_block(message.tool_calls)}{EOS}"
    opens = index == 0 or messages[index - 1].role != "tool"
    closes = index == len(messages) - 1 or messages[index + 1].role != "tool"
    body = f"\n{RESULT_OPEN}{message.content or ''}{RESULT_CLOSE}"
    return (RESULTS_OPEN if opens else "") + body + (RESULTS_CLOSE + EOS if closes else "")
