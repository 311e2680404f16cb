"""A target around an object of the `python:` interface in this very process: fast, and without a timeout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tcfuzz.case import Json, Message, Tool
from tcfuzz.deltas import message_from_openai
from tcfuzz.dialects import Dialect
from tcfuzz.targets.base import Capability, Delta


class ObjectTarget:
    """What `make` makes, an object with any of `render`, `parse` and `stream` in plain OpenAI dicts.

    A fresh instance is what `make` makes next. Every template option is given to the renderer.
    """

    version = "test"
    options: frozenset[str] | None = None
    is_template = False
    utf8 = False

    def __init__(self, make: Callable[[], Any], dialect: Dialect | None, *, name: str = "object") -> None:
        self._make = make
        self._translator = make()
        self.name = name
        self.dialect = dialect
        self.model = dialect.name if dialect else name
        abilities: tuple[Capability, ...] = ("render", "parse", "stream")
        self.capabilities = frozenset(ability for ability in abilities if hasattr(self._translator, ability))

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """See `Renders`."""
        shapes = [message.to_openai(arguments_as_string=arguments_as_string) for message in messages]
        prompt: str = self._translator.render(
            shapes, _openai(tools), add_generation_prompt=add_generation_prompt, **dict(options or {})
        )
        return prompt

    def parse(self, text: str, tools: Sequence[Tool]) -> Message:
        """See `Parses`."""
        return message_from_openai(self._translator.parse(text, _openai(tools)))

    def stream(self, chunks: Sequence[str], tools: Sequence[Tool]) -> list[list[Delta]]:
        """See `Streams`."""
        stream = self._translator.stream(_openai(tools))
        return [*(list(stream.feed(chunk)) for chunk in chunks), list(stream.finish())]

    def fresh(self) -> ObjectTarget:
        """Another instance."""
        return ObjectTarget(self._make, self.dialect, name=self.name)

    def close(self) -> None:
        """Nothing to give back."""


def _openai(tools: Sequence[Tool]) -> list[dict[str, Json]]:
    return [tool.to_openai() for tool in tools]
