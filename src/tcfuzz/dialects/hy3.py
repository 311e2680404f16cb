"""`hy3` and `hy3-preview`: a block of key and value tags, system texts at the front, an effort to think.

Source: the chat templates of Hy3 and of Hy3-preview, and the parser of their calls in vLLM. All tokens of Hy3 have one
suffix; a model with another one is a subclass with other tokens. The last message's turn stays open unless it has
calls. Thoughts before the last user's turn are left out where there are no tools; the preview shows them by option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
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
    refuse_turn_end,
)
from tcfuzz.dialects.glm import TOOL_PREAMBLE, refuse_misread, tool_lines
from tcfuzz.dialects.qwen3_coder import spell_json
from tcfuzz.dialects.syntax.reader import Machine, Markers, Reader, Sink
from tcfuzz.dialects.syntax.tagged_calls import CallTags, by_schema, read_content_and_calls
from tcfuzz.errors import OutOfDomain

EFFORTS = ("no_think", "low", "high")


class Tokens:
    """The special tokens of a model with this suffix."""

    def __init__(self, suffix: str, bos: str = "hy_begin_of_sentence") -> None:
        self.bos, self.eos, self.user, self.assistant, self.mode = (
            f"<｜{name}{suffix}｜>" for name in (bos, "hy_eos", "hy_User", "hy_Assistant", "reasoning_mode")
        )
        self.think_open, self.think_close = f"<think{suffix}>", f"</think{suffix}>"
        self.results_open, self.results_close = f"<tool_responses{suffix}>", f"</tool_responses{suffix}>"
        self.result_open, self.result_close = f"<tool_response{suffix}>", f"</tool_response{suffix}>"
        self.key_close, self.value_open = f"</arg_key{suffix}>", f"<arg_value{suffix}>"
        between = f"{self.key_close}\n{self.value_open}"
        self.tags = CallTags(
            f"<tool_calls{suffix}>",
            f"</tool_calls{suffix}>",
            gap="",
            call_open=f"<tool_call{suffix}>",
            call_close=f"</tool_call{suffix}>",
            name_end=f"<tool_sep{suffix}>",
            parameter_open=f"<arg_key{suffix}>",
            parameter_close=f"</arg_value{suffix}>",
            # Models may leave out the line break.
            key_ends=(between, self.key_close + self.value_open, between),
        )

    @cached_property
    def thought_end(self) -> Markers:
        """Where a thought ends."""
        return Markers([self.think_close])

    @property
    def markers(self) -> tuple[Marker, ...]:
        """All of them."""
        return (
            Marker(self.bos, "bos"),
            *(Marker(text, "turn") for text in (self.user, self.assistant, self.eos)),
            Marker(self.mode, "toggle"),
            Marker(self.think_open, "reasoning-open"),
            Marker(self.think_close, "reasoning-close"),
            *(Marker(marker.text, marker.role) for marker in self.tags.markers),
            Marker(self.tags.name_end, "separator"),
            Marker(self.key_close, "param-close"),
            Marker(self.value_open, "param-open"),
            *(Marker(text, "result-open") for text in (self.results_open, self.result_open)),
            *(Marker(text, "result-close") for text in (self.results_close, self.result_close)),
        )


class Hy3(Dialect):
    """Hy3 with its efforts."""

    name = "hy3"
    summary = "Hy3: key and value tags with a suffix, in a block"
    tokens: ClassVar[Tokens] = Tokens(":opensource")
    markers = tokens.markers
    turn_ends = (tokens.eos,)
    thought_end = tokens.think_close
    traits = Traits(
        kind="xml",
        reasoning=True,
        self_describing=False,
        string_arguments="refused",
        system="first",
        developer=False,
        options={"reasoning_effort": EFFORTS, "preserved_thinking": (False, True), "is_training": (True,)},
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        refuse(self._misread(messages, tools, options))
        effort = self._effort(options)
        if options.get("fallback_strategy") == "reasoning_toolcall_retry":
            effort, add_generation_prompt = "high", False
        parts = [self._head(messages, tools, effort), *self._turns(messages, bool(tools), options)]
        if add_generation_prompt and not (messages and messages[-1].role == "assistant"):
            closed = self.tokens.think_close if effort == EFFORTS[0] else ""
            parts.append(self.tokens.assistant + self.tokens.think_open + closed)
        return "".join(parts)

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        refuse_markers(reply.content, [self.tokens.think_close, self.tokens.tags.block_open], "content")
        refuse_markers(reply.reasoning_content, [self.tokens.think_close], "reasoning")
        if not reply.reasoning_content and (reply.content or "").startswith(self.tokens.think_open):
            raise OutOfDomain("content begins as reasoning does")
        refuse_misread(reply, tools)
        thought = self._thought(reply.reasoning_content) if reply.reasoning_content else ""
        refuse_turn_end(self._answer(reply), self.turn_ends)
        return thought + self._answer(reply)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        # Where the prompt opened the thought already, an empty one is nothing but its close token.
        if not (yield from read.literal(self.tokens.think_close)) and (yield from read.literal(self.tokens.think_open)):
            yield from read.text_until(self.tokens.thought_end, out.reasoning)
        yield from read_content_and_calls(read, out, self.tokens.tags, by_schema(tools))

    def opened_by(self, prompt: str) -> str:
        return self.tokens.think_open if prompt.endswith(self.tokens.assistant + self.tokens.think_open) else ""

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if any(message.role == "developer" for message in messages):
            return "drops the developer message"
        if any(message.role == "system" for message in messages[1:]):
            return "moves a later system message to the front"
        return self._misread(messages, tools, options)

    def _misread(self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]) -> str | None:
        shown = bool(options.get("is_training")) or self._shows(bool(tools), options, current=True)
        return like_thought(messages, (self.tokens.think_open, self.tokens.think_close), hidden=not shown)

    def _head(self, messages: Sequence[Message], tools: Sequence[Tool], effort: str) -> str:
        """Everything before the first turn: system texts, tools, the effort."""
        system = "".join(message.content or "" for message in messages if message.role == "system")
        listed = f"# Tools\n\n{TOOL_PREAMBLE}\n<tools>\n{tool_lines(tools)}</tools>" if tools else ""
        gap = "\n\n" if system and tools else ""
        return f"{self.tokens.bos}{system}{gap}{listed}{self.tokens.mode}reasoning_effort:{effort}"

    def _turns(self, messages: Sequence[Message], listed: bool, options: Mapping[str, Json]) -> Iterator[str]:
        """The turns. Results stay open until somebody else speaks, and are opened once for each message with calls."""
        tokens = self.tokens
        last_user = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
        results, opens = False, True
        for index, message in enumerate(messages):
            if message.role == "tool":
                yield f"{tokens.results_open}\n" if opens else ""
                yield f"{tokens.result_open}\n{message.content or ''}\n{tokens.result_close}\n"
                results, opens = True, False
            elif message.role in ("user", "assistant"):
                yield tokens.results_close if results else ""
                results, opens = False, opens or bool(message.tool_calls)
            if message.role == "user":
                yield tokens.user + (message.content or "")
            elif message.role == "assistant":
                yield tokens.assistant
                shown = bool(options.get("is_training")) or self._shows(listed, options, current=index > last_user)
                yield self._assistant_turn(message, shown, last=index == len(messages) - 1, options=options)
        yield tokens.results_close if results else ""

    def _assistant_turn(self, message: Message, shown: bool, *, last: bool, options: Mapping[str, Json]) -> str:
        """What the assistant said; `shown`: with its thought. The last message's turn has no end without calls."""
        if last and not message.tool_calls and options.get("raw_last_assistant"):
            return message.content or ""
        ends = bool(message.tool_calls) or not last or bool(options.get("is_training"))
        thought = self._thought(message.reasoning_content if shown else None)
        return thought + self._answer(message) + (self.tokens.eos if ends else "")

    def _thought(self, reasoning: str | None) -> str:
        return f"{self.tokens.think_open}{reasoning or ''}{self.tokens.think_close}"

    def _answer(self, message: Message) -> str:
        """Content and calls after the thought."""
        return (message.content or "") + (
            self.tokens.tags.block(message.tool_calls, spell_json) if message.tool_calls else ""
        )

    # What the preview does otherwise.

    def _effort(self, options: Mapping[str, Json]) -> str:
        effort = str(options.get("reasoning_effort", EFFORTS[0]))
        if effort not in EFFORTS:
            raise OutOfDomain(f"no reasoning effort {effort!r}")
        return effort

    def _shows(self, listed: bool, options: Mapping[str, Json], *, current: bool) -> bool:
        """Whether a thought is shown; `listed`: there are tools, `current`: it is after the last user's turn."""
        return current or bool(options.get("preserved_thinking", listed))


class Hy3Preview(Hy3):
    """Hy3-preview: tokens without a suffix, thoughts between calls by option."""

    name = "hy3-preview"
    summary = "Hy3-preview: as hy3 without the suffix"
    tokens = Tokens("", "hy_begin▁of▁sentence")
    markers = tokens.markers
    turn_ends = (tokens.eos,)
    thought_end = tokens.think_close
    traits = replace(
        Hy3.traits,
        reasoning_in_history=False,
        options={"reasoning_effort": EFFORTS, "interleaved_thinking": (False, True), "is_training": (True,)},
    )

    def _effort(self, options: Mapping[str, Json]) -> str:
        effort = str(options.get("reasoning_effort"))
        return effort if effort in EFFORTS else EFFORTS[0]

    def _shows(self, listed: bool, options: Mapping[str, Json], *, current: bool) -> bool:
        return current and listed and bool(options.get("interleaved_thinking"))
