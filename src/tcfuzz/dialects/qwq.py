"""`qwq` and `qwq-llama-cpp`: Qwen2.5's calls, a thought that the prompt opens and history never shows.

Source: the chat template of QwQ-32B (2025-03), and llama.cpp's copy of it, whose prompt closes the thought at once
unless thinking is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import ToolIndex, refuse_markers
from tcfuzz.dialects.chatml import GENERATION_PROMPT, turn
from tcfuzz.dialects.hermes import CALL_OPEN, call_tags, read_content_and_calls, response_turns, tool_list
from tcfuzz.dialects.qwen3 import THINK_CLOSE, THOUGHT, Qwen3, think_block
from tcfuzz.dialects.qwen35 import read_thought, refuse_thoughts
from tcfuzz.dialects.syntax.reader import Machine, Reader, Sink


class QwQ(Qwen3):
    """QwQ-32B, which always thinks."""

    name = "qwq"
    summary = "QwQ-32B: Hermes calls, the prompt opens the thought"
    traits = replace(
        Qwen3.traits,
        reasoning_in_history=False,
        string_arguments="encoded-twice",
        prefix_stable=True,
        options={},
        prompt_kept=False,  # history has no thought, neither an open one nor an empty one
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        system = messages[0].content or "" if messages and messages[0].role == "system" else None
        listed = f"{system or ''}\n\n{tool_list(tools)}" if tools else system
        parts = [] if listed is None else [turn("system", listed)]
        for index, message in enumerate(messages):
            if message.role == "tool":
                parts.append(response_turns(messages, index))
            elif message.role == "assistant":
                parts.append(_assistant_turn(message, last=index == len(messages) - 1))
            elif message.role == "user" or (message.role == "system" and index):
                parts.append(turn(message.role, message.content))
        if add_generation_prompt:
            parts.append(GENERATION_PROMPT + THOUGHT + ("" if self._thinks(options) else THINK_CLOSE))
        return "".join(parts)

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        refuse_thoughts(reply)
        refuse_markers(reply.content, [CALL_OPEN], "content")
        thought = think_block(reply.reasoning_content) if (reply.reasoning_content or "").strip("\n") else ""
        calls = [call_tags(call.name, call.arguments) for call in reply.tool_calls]
        return thought + "\n".join([reply.content, *calls] if reply.content else calls)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        yield from read_thought(read, out)
        yield from read_content_and_calls(read, out)

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if not messages:
            return "no message raises"
        if any(message.role == "developer" for message in messages):
            return "drops the developer message"
        last = messages[-1]
        if any(m.content is None and not (m is last and m.tool_calls) for m in messages):
            return "null content raises"
        return None

    def _thinks(self, options: Mapping[str, Json]) -> bool:
        return True


class QwQLlamaCpp(QwQ):
    """llama.cpp's copy of the template, with a switch for thinking."""

    name = "qwq-llama-cpp"
    summary = "QwQ-32B in llama.cpp's copy: as qwq, thinking by option"
    traits = replace(QwQ.traits, options={"enable_thinking": (False, True)})

    def _thinks(self, options: Mapping[str, Json]) -> bool:
        return bool(options.get("enable_thinking"))


def _assistant_turn(message: Message, *, last: bool) -> str:
    """An assistant's turn; all but the last message lose the line breaks at their beginning."""
    content = message.content or ""
    if not last:
        # The template takes this tag for the end of a thought, and drops what is before it.
        refuse_markers(content, [THINK_CLOSE], "content")
    calls = "".join("\n" + call_tags(call.name, call.arguments) for call in message.tool_calls)
    shown = content if last else content.lstrip("\n")
    return "<|im_start|>assistant" + (f"\n{shown}" if content or not calls else "") + calls + "<|im_end|>\n"
