"""`local[:DIALECT]`: a dialect's reference as a target: the fuzzer is to find nothing where nothing is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import tcfuzz
from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.deltas import message_from_openai
from tcfuzz.dialects.base import Dialect
from tcfuzz.targets.base import Capability, Delta

ALL: frozenset[Capability] = frozenset({"render", "parse", "stream"})


class LocalTarget:
    """The dialect's own renderer, parser and stream."""

    capabilities = ALL
    is_template = False
    utf8 = False
    version = tcfuzz.__version__

    def __init__(self, dialect: Dialect) -> None:
        self.name = f"local:{dialect.name}"
        self.model = dialect.name
        # An instance of its own: a reference that remembers something would agree with itself.
        self.dialect: Dialect | None = dialect
        self._own = copy.deepcopy(dialect)
        self._reference = dialect
        self.options: frozenset[str] | None = frozenset(dialect.traits.options)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """See `Renders`. Arguments that come as JSON text are read first, as the format wants objects."""
        if arguments_as_string:
            messages = [_through_text(message) for message in messages]
        return self._own.render(messages, tools, add_generation_prompt=add_generation_prompt, **dict(options or {}))

    def parse(self, text: str, tools: Sequence[Tool]) -> Message:
        """See `Parses`."""
        return self._own.parse(text, tools)

    def stream(self, chunks: Sequence[str], tools: Sequence[Tool]) -> list[list[Delta]]:
        """See `Streams`."""
        return stream(self._own, chunks, tools)

    def fresh(self) -> LocalTarget:
        """Another instance of the dialect."""
        return LocalTarget(self._reference)

    def close(self) -> None:
        """Nothing to give back."""


def stream(dialect: Dialect, chunks: Sequence[str], tools: Sequence[Tool]) -> list[list[Delta]]:
    """A dialect's deltas after each chunk and at the end."""
    parser = dialect.stream(tools)
    deltas: list[list[Delta]] = [list(parser.feed(chunk)) for chunk in chunks]
    return [*deltas, list(parser.finish())]


def _through_text(message: Message) -> Message:
    if not message.tool_calls:
        return message
    read = message_from_openai(message.to_openai(arguments_as_string=True))
    calls: tuple[ToolCall, ...] = read.tool_calls
    return replace(message, tool_calls=calls)
