"""`qwen3`: the Hermes format with reasoning in `<think>` tags.

Source: the chat template of Qwen3-0.6B (2025-04). Reasoning is shown after the last real question only; what looks
like tool results in a user turn is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect, Marker, ToolIndex, Traits, refuse_markers
from tcfuzz.dialects.chatml import CHATML_MARKERS, CHATML_TURN_ENDS, GENERATION_PROMPT, null_content, turn
from tcfuzz.dialects.hermes import (
    CALL_OPEN,
    TOOL_TAG_MARKERS,
    call_tags,
    read_content_and_calls,
    response_turns,
    tool_list,
)
from tcfuzz.dialects.syntax.reader import Machine, Markers, Reader, Sink

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
THOUGHT = f"{THINK_OPEN}\n"
THINK_MARKERS = (Marker(THINK_OPEN, "reasoning-open"), Marker(THINK_CLOSE, "reasoning-close"))

_REASONING_ENDS = Markers([THINK_CLOSE, "\n" + THINK_CLOSE])


def last_question(messages: Sequence[Message]) -> int:
    """The index of the last user message that holds no tool results; the last message's where there is none."""
    for index in range(len(messages) - 1, -1, -1):
        text = messages[index].content or ""
        results = text.startswith("<tool_response>") and text.endswith("</tool_response>")
        if messages[index].role == "user" and not results:
            return index
    return len(messages) - 1


def think_block(reasoning: str | None) -> str:
    """The reasoning as the model writes it before its answer; empty where it thought nothing."""
    return f"{THINK_OPEN}\n{(reasoning or '').strip(chr(10))}\n{THINK_CLOSE}\n\n"


def read_reasoning(read: Reader, out: Sink, gap: str = "\n\n") -> Machine:
    """A `<think>` block at the beginning of the text, with the line breaks that set the answer apart (`gap`).

    Without its close tag, all of the text is reasoning.
    """
    read.anchor()
    yield from read.spaces()
    opened = yield from read.literal(THINK_OPEN)
    before = read.raw()
    if not opened:
        out.content(before)
        return
    yield from read.literal("\n")
    if (yield from read.text_until(_REASONING_ENDS, out.reasoning)) is not None:
        for line_break in gap:
            yield from read.literal(line_break)


class Qwen3(Dialect):
    """Qwen3 with its switch for thinking."""

    name = "qwen3"
    summary = "Qwen3: Hermes calls, reasoning in think tags"
    markers: ClassVar[tuple[Marker, ...]] = (*CHATML_MARKERS, *TOOL_TAG_MARKERS, *THINK_MARKERS)
    turn_ends: ClassVar[tuple[str, ...]] = CHATML_TURN_ENDS
    thought_end = f"\n{THINK_CLOSE}\n\n"
    traits = Traits(
        kind="json",
        reasoning=True,
        content_trim="outer",
        text_trim=frozenset({"assistant"}),
        developer=False,
        prefix_stable=False,
        options={"enable_thinking": (False, True)},
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        system = messages[0].content or "" if messages and messages[0].role == "system" else None
        blocks = [*([] if system is None else [system]), *([tool_list(tools)] if tools else [])]
        parts = [turn("system", "\n\n".join(blocks)) if blocks else ""]
        question = last_question(messages)
        for index, message in enumerate(messages):
            if message.role == "tool":
                parts.append(response_turns(messages, index))
            elif message.role == "assistant":
                parts.append(_assistant(message, current=index > question, last=index == len(messages) - 1))
            elif message.role == "user" or (message.role == "system" and index):
                parts.append(turn(message.role, message.content))
        if add_generation_prompt:
            parts.append(GENERATION_PROMPT + (think_block("") if options.get("enable_thinking") is False else ""))
        return "".join(parts)

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        _refuse_tags(reply)
        refuse_markers(reply.content, [CALL_OPEN], "content")
        thought = bool((reply.reasoning_content or "").strip("\n"))
        return think_block(reply.reasoning_content) + _answer(reply, trimmed=True) if thought else _answer(reply)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        yield from read_reasoning(read, out)
        yield from read_content_and_calls(read, out)

    def opened_by(self, prompt: str) -> str:
        # Qwen3's own prompt opens no thought; those of close kin do (Qwen3-VL Thinking, MiniCPM-V 4.5, Intern-S1).
        return next((opened for opened in (THOUGHT, THINK_OPEN) if prompt.endswith(GENERATION_PROMPT + opened)), "")

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if any(m.role == "developer" for m in messages):
            return "drops the developer message"
        return null_content(messages, beside_calls=True)


def _assistant(message: Message, *, current: bool, last: bool) -> str:
    """An assistant's turn; `current`: in the step that is still going on, whose reasoning is shown."""
    _refuse_tags(message)
    thinks = current and (last or bool(message.reasoning_content))
    answer = think_block(message.reasoning_content) + _answer(message, trimmed=True) if thinks else _answer(message)
    return turn("assistant", answer)


def _refuse_tags(message: Message) -> None:
    # The canonical template takes reasoning out of a content with these tags, and drops what is around it.
    refuse_markers(message.content, [THINK_OPEN, THINK_CLOSE], "content")
    refuse_markers(message.reasoning_content, [THINK_OPEN, THINK_CLOSE], "reasoning")


def _answer(message: Message, *, trimmed: bool = False) -> str:
    """Content and calls. A newline sets them apart also where the content is nothing but the newlines trimmed."""
    content = message.content or ""
    calls = "\n".join(call_tags(call.name, call.arguments) for call in message.tool_calls)
    shown = content.lstrip("\n") if trimmed else content
    return shown + ("\n" if content and calls else "") + calls
