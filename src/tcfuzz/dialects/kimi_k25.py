"""`kimi-k2.5` and `kimi-k2.7`: Kimi K2 Thinking with a switch: the prompt opens a thought, or shows an empty one.

Source: the chat template of Kimi-K2.5 (2026-01) in a copy with the option of Kimi-K2.6's, which keeps all thoughts in
history; else those up to the last answer without calls are hidden. K2.7-Code's keeps them always. Ids are shown as
they are given, and there is no default system turn. Tools are compact JSON, or a text that the model's own tokenizer
makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Marker, ToolIndex, like_thought, refuse
from tcfuzz.dialects.kimi_k2 import GENERATION_PROMPT, KimiK2ThinkingPublished
from tcfuzz.dialects.qwen3 import THINK_CLOSE, THINK_OPEN
from tcfuzz.dialects.syntax.reader import Machine, Reader, Sink
from tcfuzz.errors import OutOfDomain

NO_THOUGHT = THINK_OPEN + THINK_CLOSE


def _thinks(options: Mapping[str, Json]) -> bool:
    return options.get("thinking") is not False


class KimiK25(KimiK2ThinkingPublished):
    """Kimi K2.5 and K2.6."""

    name = "kimi-k2.5"
    summary = "Kimi K2.5, K2.6: as Kimi K2 Thinking, with a switch for it"
    markers = (*KimiK2ThinkingPublished.markers, Marker("<|media_begin|>", "media"))
    thought_end = THINK_CLOSE
    traits = replace(
        KimiK2ThinkingPublished.traits, options={"thinking": (False, True), "preserve_thinking": (False, True)}
    )

    def _needs_system(self, messages: Sequence[Message]) -> bool:
        return False

    def _listed(self, tools: Sequence[Tool], options: Mapping[str, Json]) -> str:
        if options.get("tools_ts_str"):
            return str(options["tools_ts_str"])
        return super()._listed(tools, options)

    def _hidden(self, messages: Sequence[Message], options: Mapping[str, Json]) -> int:
        if options.get("preserve_thinking"):
            return -1
        return super()._hidden(messages, options) if _thinks(options) else len(messages)

    def _opening(self, options: Mapping[str, Json]) -> str:
        return THINK_OPEN if _thinks(options) else NO_THOUGHT

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        refuse(self._misread(messages, options))
        return super().render(messages, tools, add_generation_prompt=add_generation_prompt, **options)

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        return self._misread(messages, options) or super().template_limit(messages, tools, options)

    def _misread(self, messages: Sequence[Message], options: Mapping[str, Json]) -> str | None:
        hidden = self._hidden(messages, options) >= len(messages) - 1
        return like_thought(messages, (THINK_OPEN, THINK_CLOSE), hidden=hidden)

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        if reply.reasoning_content:
            return super().emit(reply, tools)
        if (reply.content or "").startswith((THINK_OPEN, THINK_CLOSE)):
            raise OutOfDomain("content begins as reasoning does")
        return super().emit(reply, tools).removeprefix(NO_THOUGHT)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        yield from read.literal(THINK_CLOSE)  # where the prompt opened a thought already, an empty one is its end
        yield from super().machine(read, out, tools)

    def opened_by(self, prompt: str) -> str:
        return THINK_OPEN if prompt.endswith(GENERATION_PROMPT + THINK_OPEN) else ""


class KimiK27(KimiK25):
    """Kimi K2.7: it always thinks, and all thoughts stay."""

    name = "kimi-k2.7"
    summary = "Kimi K2.7: as Kimi K2.5, thoughts kept in history"
    traits = replace(KimiK25.traits, prefix_stable=True, options={})

    def _hidden(self, messages: Sequence[Message], options: Mapping[str, Json]) -> int:
        return -1

    def _opening(self, options: Mapping[str, Json]) -> str:
        return THINK_OPEN
