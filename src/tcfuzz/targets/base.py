"""What a target is: a translator under test, seen through up to three abilities.

A target answers or raises: `TargetFailure` for what it did instead of answering, any other exception for what the
translator itself raised (in-process targets). Everything else about it is declared, not probed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect

Capability = Literal["render", "parse", "stream"]
Delta = Mapping[str, Json]
"""`{"content": …}`, `{"reasoning_content": …}` or `{"tool_calls": [{"index", "id", "function": {…}}]}`."""


@runtime_checkable
class Target(Protocol):
    """A translator under test.

    name: as typed (`local:gemma4`, `python:examples/naive_gemma4.py`); the first folder below crashers/.
    model: the model, template or pair under test, for reports; the dialect's name where there is nothing better.
    version: of the target's own code: a release, or a digest of its source.
    dialect: the reference that it is compared with, None where there is none.
    capabilities: which of the three abilities it has.
    options: the template options that its renderer takes; None for any.
    is_template: whether it *is* a published chat template, whose declared limits are then left out.
    utf8: whether strings pass through UTF-8, so that lone surrogates cannot reach it.
    """

    name: str
    model: str
    version: str
    dialect: Dialect | None
    capabilities: frozenset[Capability]
    options: frozenset[str] | None
    is_template: bool
    utf8: bool

    def fresh(self) -> Target:
        """A new, independent instance of the same translator: another object, another process where it has one."""

    def close(self) -> None:
        """Give back processes and connections. Called once, also after failures."""


@runtime_checkable
class Renders(Protocol):
    """Has the capability `render`."""

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """The prompt text. With `arguments_as_string`, calls in the history carry their arguments as JSON text."""


@runtime_checkable
class Parses(Protocol):
    """Has the capability `parse`."""

    def parse(self, text: str, tools: Sequence[Tool]) -> Message:
        """The assistant message in a whole native text. Ids are None where the translator gives none."""


@runtime_checkable
class Streams(Protocol):
    """Has the capability `stream`."""

    def stream(self, chunks: Sequence[str], tools: Sequence[Tool]) -> list[list[Delta]]:
        """The deltas after each chunk, and, as the last list, those at the end: `len(chunks) + 1` lists."""
