"""What a feature is: a named class of nasty input, how it gets into a case, how it is recognised in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tcfuzz.case import Case
from tcfuzz.dialects.base import Dialect, Traits
from tcfuzz.strategies.draft import NO_TRAITS, Draft
from tcfuzz.strategies.tape import Tape

Stage = Literal["plan", "parameters", "texts", "native"]
"""When a feature acts: on tools, calls and turns; on parameters; on strings; on the emitted text."""
Inject = Callable[[Draft, Tape], None]
Detector = Callable[[Case, Dialect | None], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What cases are drawn for: a dialect, with or without lone surrogates, with the user's own tools or not."""

    dialect: Dialect | None
    utf8: bool = True
    own_tools: bool = False
    native: bool = False
    options: frozenset[str] | None = None

    @property
    def traits(self) -> Traits:
        """The dialect's, or the most permissive ones."""
        return self.dialect.traits if self.dialect is not None else NO_TRAITS

    @property
    def calls(self) -> bool:
        """Whether the format has tool calls at all."""
        return self.traits.max_calls != 0

    @property
    def several_calls(self) -> bool:
        """Whether one message may hold two calls."""
        return self.traits.max_calls is None or self.traits.max_calls > 1

    @property
    def made_tools(self) -> bool:
        """Whether tools are generated, so that names, keys and schemas are ours to choose."""
        return self.calls and not self.own_tools


Suits = Callable[[Scope], bool]


def always(scope: Scope) -> bool:
    """Suits everything."""
    return True


def with_calls(scope: Scope) -> bool:
    """Suits formats with tool calls."""
    return scope.calls


def with_made_tools(scope: Scope) -> bool:
    """Suits formats with tool calls where tools are generated."""
    return scope.made_tools


@dataclass(frozen=True, slots=True)
class Feature:
    """A class of nasty input.

    id: `group:name`. summary: one line for `tcfuzz list features`. inject: changes a draft by the decisions of a
    tape. detector: finds all ids of its group in a concrete case, however that was made. suits: where it makes
    sense. implies: other features that a case with this one may show through no fault of its own.
    """

    id: str
    summary: str
    stage: Stage
    inject: Inject
    detector: Detector
    suits: Suits = always
    implies: frozenset[str] = frozenset()

    @property
    def group(self) -> str:
        """The part before the colon."""
        return self.id.partition(":")[0]

    def detect(self, case: Case, dialect: Dialect | None) -> bool:
        """Whether the case carries it."""
        return self.id in self.detector(case, dialect)
