"""What an oracle says: verdicts, findings, fingerprints."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from tcfuzz.case import Json

Blame = Literal["renderer", "parser", "stream", "self"]
Severity = Literal["must", "should", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule.

    kind: the kind of change, coarse and stable (`type:boolean→string`, `call-lost`, `raised:ValueError`).
    loss: what a user loses, one sentence.
    expected, actual: JSON values to put side by side.
    path: where they differ (`tool_calls[0].arguments.a`), empty for the whole.
    text: the native text that was parsed or rendered when it broke; chunks: how it was cut for the stream.
    """

    oracle: str
    blame: Blame
    kind: str
    loss: str
    expected: Json
    actual: Json
    path: str = ""
    text: str | None = None
    chunks: tuple[str, ...] = ()
    severity: Severity = "must"

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells bugs apart while shrinking: (oracle, blame, kind)."""
        return self.oracle, self.blame, self.kind


@dataclass(frozen=True, slots=True)
class Pass:
    """The rule holds for this case."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The rule is broken, once or for several reasons (the first is the clearest)."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be decided, and why: never a pass."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The rule says nothing about this case. `limit`: because the format cannot carry it (a format limit)."""

    reason: str = ""
    limit: bool = False


Verdict = Pass | Fail | Unknown | NotApplicable


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What makes two crashers one bug. `features` are those of the shrunk case, sorted."""

    target: str
    dialect: str
    oracle: str
    blame: str
    kind: str
    features: tuple[str, ...] = field(default=())

    def digest(self) -> str:
        """Eight hexadecimal digits, stable for ever."""
        parts = (self.target, self.dialect, self.oracle, self.blame, self.kind, *sorted(self.features))
        return hashlib.sha256("\x00".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:8]
