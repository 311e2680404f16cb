"""`qwen3-vl-instruct` and `qwen3-vl-thinking`: the Hermes format without a default system turn, and Qwen3's with a
generation prompt that opens a thought.

Source: the chat templates of Qwen3-VL (2025-09, as TRL ships them), Qwen3-4B-Instruct-2507 and -Thinking-2507, which
have the same turns. Qwen3-VL's alone shows no system text but the first, and takes no null content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Marker
from tcfuzz.dialects.chatml import GENERATION_PROMPT, null_content, turn
from tcfuzz.dialects.hermes import Hermes, response_turns, tool_list
from tcfuzz.dialects.qwen3 import THOUGHT, Qwen3

VISION_MARKERS = tuple(
    Marker(f"<|{name}|>", "media") for name in ("vision_start", "vision_end", "image_pad", "video_pad")
)


class Qwen3VLInstruct(Hermes):
    """Qwen3-VL that does not think."""

    name = "qwen3-vl-instruct"
    summary = "Qwen3-VL Instruct: Hermes calls, no default system turn"
    markers = (*Hermes.markers, *VISION_MARKERS)
    traits = replace(Hermes.traits, string_arguments="alike")

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        system = [messages[0].content or ""] if messages and messages[0].role == "system" else []
        blocks = [*system, *([tool_list(tools)] if tools else [])]
        parts = [turn("system", "\n\n".join(blocks)) if blocks else "", *self._turns(messages, tools)]
        return "".join(parts) + (GENERATION_PROMPT if add_generation_prompt else "")

    def _turns(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Iterator[str]:
        for index, message in enumerate(messages):
            if message.role == "tool":
                yield response_turns(messages, index)
            elif message.role == "assistant" and message.tool_calls:
                yield turn("assistant", self.emit(message, tools))
            elif message.role in ("user", "assistant") or (message.role == "system" and index):
                yield turn(message.role, message.content)

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        return _vision_limit(messages) or super().template_limit(messages, tools, options)


class Qwen3VLThinking(Qwen3):
    """Qwen3-VL that always thinks."""

    name = "qwen3-vl-thinking"
    summary = "Qwen3-VL Thinking: Qwen3 whose prompt opens the thought"
    markers = (*Qwen3.markers, *VISION_MARKERS)
    traits = replace(Qwen3.traits, options={})

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        prompt = super().render(messages, tools, add_generation_prompt=add_generation_prompt)
        return prompt + (THOUGHT if add_generation_prompt else "")

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        return _vision_limit(messages) or super().template_limit(messages, tools, options)


def _vision_limit(messages: Sequence[Message]) -> str | None:
    """What the template of Qwen3-VL cannot write, where those of texts alone can."""
    if any(message.role == "system" for message in messages[1:]):
        return "drops a later system message"
    return null_content(messages, beside_calls=True)
