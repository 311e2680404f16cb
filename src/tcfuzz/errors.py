"""What can go wrong with tcfuzz itself. What a target does wrong is a `Finding`, never one of these.

TcfuzzError
├── UsageError          a wrong option, name, file or configuration      exit code 2
│   └── CrasherError    a crasher file that cannot be read or written
└── TargetUnavailable   the target cannot be reached or started          exit code 3

TargetFailure           what a target did instead of answering (raised, hung, died …)
OutOfDomain             what a native format cannot carry, with the reason
CannotAsk               what a target has no way to be asked, with the reason
"""

from __future__ import annotations

from typing import Literal

FailureKind = Literal["raised", "hung", "died", "flooded", "malformed"]


class TcfuzzError(Exception):
    """An error of the run itself. Its text is one line: the thing, the cause, the next command."""

    exit_code = 2


class UsageError(TcfuzzError):
    """A wrong option, an unknown name, a missing or unreadable file."""


class CrasherError(UsageError):
    """A crasher file that cannot be read, is of an unknown version, or cannot be written."""


class TargetUnavailable(TcfuzzError):
    """The target cannot be started or reached at all."""

    exit_code = 3


class TargetFailure(Exception):
    """What a target did instead of giving an answer; becomes part of an observation, ends no run.

    `kind` is how it failed, `error` the exception's type name or signal, `message` its text.
    """

    def __init__(self, kind: FailureKind, error: str, message: str = "") -> None:
        super().__init__(f"{kind}: {error}: {message}" if message else f"{kind}: {error}")
        self.kind: FailureKind = kind
        self.error = error
        self.message = message


class CannotAsk(Exception):
    """There is no way to ask a target this; nothing is learnt about it. `str(exc)` says why in a few words."""


class OutOfDomain(Exception):
    """A native format cannot carry a conversation; `str(exc)` says why in a few words."""
