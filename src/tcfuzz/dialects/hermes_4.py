"""`hermes-4` and `hermes-4.3`: the Hermes format with reasoning that history does not show.

Source: the chat templates of Hermes-4-14B and Hermes-4.3-36B (2025), which differ in what opens and closes a turn.
Thoughts are written as Qwen3 does. History knows none but those within a text; where the model is to think, they are
taken out of it, unless they are to be kept (`keep_cots`). Of the system texts for thinking and not, ours is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Marker
from tcfuzz.dialects.hermes import DEFAULT_SYSTEM, TOOL_TAG_MARKERS, call_tags, tool_list
from tcfuzz.dialects.qwen3 import THINK_CLOSE, THINK_MARKERS, THINK_OPEN, Qwen3

NO_THOUGHT = f"{THINK_OPEN} {THINK_CLOSE}"


def _hides(options: Mapping[str, Json]) -> bool:
    """Whether thoughts are taken out of texts."""
    return bool(options.get("thinking")) and not options.get("keep_cots")


def _shown(text: str, options: Mapping[str, Json]) -> str:
    """An assistant's text as history shows it: behind the thought that it may hold."""
    behind = text.partition(THINK_CLOSE)[2] if THINK_CLOSE in text else text
    return NO_THOUGHT + behind if text and _hides(options) else text


class Hermes4(Qwen3):
    """Hermes 4 on Qwen3."""

    name = "hermes-4"
    summary = "Hermes 4: Hermes calls, reasoning in think tags"
    prose = DEFAULT_SYSTEM
    traits = replace(
        Qwen3.traits,
        reasoning_in_history=False,
        text_trim=frozenset(),
        string_arguments="encoded-twice",
        prefix_stable=True,
        options={"thinking": (False, True), "keep_cots": (False, True)},
    )

    # How a turn begins and ends, and what stands between its beginning and the system text where there are tools.
    _bos: ClassVar[str] = ""
    _opening: ClassVar[str] = "<|im_start|>{}"
    _closing: ClassVar[str] = "<|im_end|>\n"
    _before_tools: ClassVar[str] = "\n"

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        system = messages[0].content or "" if messages and messages[0].role == "system" else self.prose
        blocks = f"{self._before_tools}{system}\n\n{tool_list(tools)}" if tools else f"\n{system}"
        parts = [self._bos + self._turn("system", blocks)]
        for index, message in enumerate(messages):
            if message.role == "tool":
                parts.append(self._result(messages, index))
            elif message.role == "assistant":
                calls = [call_tags(call.name, call.arguments) for call in message.tool_calls]
                said = [_shown(message.content or "", options)] if message.content or not calls else []
                parts.append(self._turn("assistant", "".join(f"\n{text}" for text in [*said, *calls])))
            elif message.role == "user" or (message.role == "system" and index):
                parts.append(self._turn(message.role, f"\n{message.content or ''}"))
        return "".join(parts) + (self._opening.format("assistant") + "\n" if add_generation_prompt else "")

    def _turn(self, role: str, text: str) -> str:
        return self._opening.format(role) + text + self._closing

    def _result(self, messages: Sequence[Message], index: int) -> str:
        """The result at `index`; results in a row share a user turn."""
        opens = index == 0 or messages[index - 1].role != "tool"
        closes = index == len(messages) - 1 or messages[index + 1].role != "tool"
        body = f"\n<tool_response>\n{messages[index].content or ''}\n</tool_response>"
        return (self._opening.format("user") if opens else "") + body + (self._closing if closes else "")

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        said = [message for message in messages if message.role == "assistant"]
        if any(not message.content and not message.tool_calls for message in said):
            return "leaves the turn of an empty answer open"
        if _hides(options) and any(message.content and THINK_CLOSE not in message.content for message in said):
            return "raises at a text without a thought where the model is to think"
        calling = [replace(message, content="") if message.tool_calls else message for message in messages]
        return super().template_limit(calling, tools, options)


class Hermes43(Hermes4):
    """Hermes 4.3 on Seed-OSS, with Llama 3's turns."""

    name = "hermes-4.3"
    summary = "Hermes 4.3: as Hermes 4, in Llama 3's turns"
    markers = (
        Marker("<|begin_of_text|>", "bos"),
        Marker("<|start_header_id|>", "turn"),
        Marker("<|end_header_id|>", "turn"),
        Marker("<|eot_id|>", "turn"),
        *TOOL_TAG_MARKERS,
        *THINK_MARKERS,
    )
    turn_ends = ("<|eot_id|>",)
    _bos = "<|begin_of_text|>"
    _opening = "<|start_header_id|>{}<|end_header_id|>\n"
    _closing = "<|eot_id|>"
    _before_tools = ""
