"""`deepseek-v3.2` and `deepseek-v4`: calls as tags in one block, where a word before each value says if it is a string.

Source: the chat templates of DeepSeek-V3.2 (2025-12) and DeepSeek-V4 (2026) in the form that llama.cpp carries. They
differ in the block's name and in where results stand: in a block of their own behind the calls, or in the user's turn.
System texts and tools are gathered at the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import (
    Dialect,
    Marker,
    ToolIndex,
    Traits,
    like_thought,
    refuse,
    refuse_markers,
    to_json,
)
from tcfuzz.dialects.deepseek_v31 import ASSISTANT, BOS, EOS, USER, read_reasoning
from tcfuzz.dialects.qwen3 import THINK_CLOSE, THINK_MARKERS, THINK_OPEN
from tcfuzz.dialects.qwen3_coder import spell_json
from tcfuzz.dialects.syntax.reader import Machine, Reader, Sink, load_json
from tcfuzz.dialects.syntax.tagged_calls import CallTags, read_content_and_calls
from tcfuzz.errors import OutOfDomain

DSML = "｜DSML｜"
TAGS = CallTags(
    f"<{DSML}function_calls>",
    f"</{DSML}function_calls>",
    gap="\n\n",
    call_open=f'<{DSML}invoke name="',
    call_close=f"</{DSML}invoke>",
    parameter_open=f'<{DSML}parameter name="',
    parameter_close=f"</{DSML}parameter>",
    key_ends=('" string="true">', '" string="false">'),
)
V4_TAGS = replace(TAGS, block_open=f"<{DSML}tool_calls>", block_close=f"</{DSML}tool_calls>", without_arguments="\n")
RESULTS_OPEN, RESULTS_CLOSE = "<function_results>", "</function_results>"
TOOL_PREAMBLE = "Tools, one JSON object a line. Answer with a block of invoke tags to call them."
MAXIMUM = "Think as hard as you can."


def dsml_value(_tool: str, _key: str, text: str, end: str) -> Json:
    """A value, by the word before it. Raises ValueError where it is neither a string nor JSON."""
    return text if end == TAGS.key_ends[0] else load_json(text)


def dsml_markers(tags: CallTags, open_: str, close: str) -> tuple[Marker, ...]:
    """A format's markers; `open_` and `close` stand around a result.

    All tags are text around one special token, which tells the format in templates that put them together from it.
    """
    return (
        Marker(BOS, "bos"),
        Marker(USER, "turn"),
        Marker(ASSISTANT, "turn"),
        Marker(EOS, "turn"),
        *(replace(marker, special=False) for marker in tags.markers),
        *(Marker(DSML, role) for role in dict.fromkeys(marker.role for marker in tags.markers)),
        Marker(open_, "result-open", special=False),
        Marker(close, "result-close", special=False),
        *THINK_MARKERS,
    )


def _thinks(options: Mapping[str, Json]) -> bool:
    return bool(options.get("thinking", options.get("enable_thinking")))


def _system(messages: Sequence[Message], declared: str) -> str:
    text = "\n\n".join(message.content or "" for message in messages if message.role == "system")
    return f"{text}\n\n{declared}" if text and declared else text + declared


def _tool_lines(tools: Sequence[Tool]) -> str:
    return "".join(to_json(tool.to_openai()["function"]) + "\n" for tool in tools)


def _thought(message: Message, *, shown: bool) -> str:
    """How an answer begins in history; `shown`: with its reasoning."""
    return (f"{THINK_OPEN}{message.reasoning_content or ''}" if shown else "") + THINK_CLOSE


def _misread(messages: Sequence[Message], options: Mapping[str, Json]) -> str | None:
    return like_thought(messages, (THINK_OPEN, THINK_CLOSE), hidden=not _thinks(options))


def _last(messages: Sequence[Message], *roles: str) -> int:
    return max((i for i, message in enumerate(messages) if message.role in roles), default=-1)


class DeepSeekV32(Dialect):
    """DeepSeek-V3.2 with its switch for thinking."""

    name = "deepseek-v3.2"
    summary = "DeepSeek-V3.2: tags with DSML tokens, strings told from JSON"
    markers = (
        *dsml_markers(TAGS, "<result>", "</result>"),
        Marker(RESULTS_OPEN, "result-open", special=False),
        Marker(RESULTS_CLOSE, "result-close", special=False),
    )
    turn_ends = (EOS,)
    thought_end = THINK_CLOSE
    traits = Traits(
        kind="xml",
        reasoning=True,
        reasoning_in_history=False,
        string_arguments="refused",
        system="first",
        developer=False,
        options={"thinking": (False, True), "enable_thinking": (False, True)},
    )
    _tags: ClassVar[CallTags] = TAGS

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        refuse(_misread(messages, options))
        listed = f"## Tools\n\n{TOOL_PREAMBLE}\n<functions>\n{_tool_lines(tools)}</functions>\n" if tools else ""
        parts = [BOS, _system(messages, listed)]
        asked = _last(messages, "user", "developer")
        header: str | None = None
        for index, message in enumerate(messages):
            if message.role == "user":
                parts.append(USER + (message.content or ""))
                header = ASSISTANT
            elif message.role == "tool":
                parts.append(_result(messages, index))
                header = "\n\n"
            elif message.role == "assistant":
                thought = _thought(message, shown=_thinks(options) and index > asked)
                parts += ["" if header is None else header + thought, self._answer(message), EOS]
                header = None
        if add_generation_prompt and header is not None:
            parts.append(header + THINK_OPEN + ("" if _thinks(options) else THINK_CLOSE))
        return "".join(parts)

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        refuse_markers(reply.content, [self._tags.block_open], "content")
        refuse_markers(reply.reasoning_content, [THINK_CLOSE], "reasoning")
        if reply.reasoning_content:
            return _thought(reply, shown=True) + self._answer(reply)
        if (reply.content or "").startswith((THINK_OPEN, THINK_CLOSE)):
            raise OutOfDomain("content begins as reasoning does")
        return self._answer(reply)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        yield from read_reasoning(read, out)
        yield from read_content_and_calls(read, out, self._tags, dsml_value)

    def opened_by(self, prompt: str) -> str:
        headers = (ASSISTANT, f"{RESULTS_CLOSE}\n\n")
        return THINK_OPEN if prompt.endswith(tuple(header + THINK_OPEN for header in headers)) else ""

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if any(message.role == "developer" for message in messages):
            return "drops the developer message"
        if not _answered(messages):
            return "leaves results open that are not as many as the calls before them"
        return _misread(messages, options) or _later_system(messages)

    def _answer(self, message: Message) -> str:
        """Content and calls."""
        calls = self._tags.gap + self._tags.block(message.tool_calls, spell_json) if message.tool_calls else ""
        return (message.content or "") + calls


def _result(messages: Sequence[Message], index: int) -> str:
    """The result at `index`; results in a row share a block."""
    opens = index == 0 or messages[index - 1].role != "tool"
    closes = index == len(messages) - 1 or messages[index + 1].role != "tool"
    body = f"\n<result>{messages[index].content or ''}</result>"
    return (f"\n\n{RESULTS_OPEN}" if opens else "") + body + (f"\n{RESULTS_CLOSE}" if closes else "")


def _answered(messages: Sequence[Message]) -> bool:
    """Whether results always follow their calls, one for each."""
    for index, message in enumerate(messages):
        if message.role == "tool" and (index == 0 or messages[index - 1].role != "tool"):
            rest = [m.role for m in messages[index:]] + [""]
            count = next(i for i, role in enumerate(rest) if role != "tool")
            if index == 0 or len(messages[index - 1].tool_calls) != count:
                return False
    return True


def _later_system(messages: Sequence[Message]) -> str | None:
    later = any(message.role == "system" for message in messages[1:])
    return "moves a later system message to the front" if later else None


class DeepSeekV4(DeepSeekV32):
    """DeepSeek-V4: results in the user's turn, thoughts kept where tools are."""

    name = "deepseek-v4"
    summary = "DeepSeek-V4: as DeepSeek-V3.2, results in the user's turn"
    markers = dsml_markers(V4_TAGS, "<tool_result>", "</tool_result>")
    traits = replace(
        DeepSeekV32.traits,
        options={**DeepSeekV32.traits.options, "drop_thinking": (False, True), "reasoning_effort": ("max",)},
    )
    _tags = V4_TAGS

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        refuse(_misread(messages, options))
        thinks = _thinks(options)
        hardest = thinks and bool(messages) and options.get("reasoning_effort") == "max"
        listed = f"## Tools\n\n{TOOL_PREAMBLE}\n\n{_tool_lines(tools)}" if tools else ""
        parts = [BOS, f"{MAXIMUM}\n\n" if hardest else "", _system(messages, listed)]
        asked = _last(messages, "user", "developer", "tool")
        keeps = bool(tools) or _last(messages, "tool") >= 0 or not options.get("drop_thinking", True)
        in_turn = False
        for index, message in enumerate(messages):
            text = message.content or ""
            if message.role == "assistant":
                thought = _thought(message, shown=thinks and (keeps or index > asked))
                parts += [ASSISTANT, thought, self._answer(message), EOS]
                in_turn = False
            elif message.role != "system":
                shown = f"<tool_result>{text}</tool_result>" if message.role == "tool" else text
                parts += ["\n\n" if in_turn else USER, shown]
                in_turn = True
        if add_generation_prompt:
            parts.append(ASSISTANT + (THINK_OPEN if thinks else THINK_CLOSE))
        return "".join(parts)

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        return _misread(messages, options) or _later_system(messages)
