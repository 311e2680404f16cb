"""What a crasher does when its case is run again, and whether that is what its status says."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from tcfuzz.case import Case
from tcfuzz.crashers import Crasher, Status
from tcfuzz.errors import TargetUnavailable
from tcfuzz.finding import Finding


class Outcome(enum.Enum):
    """What a replayed crasher did."""

    FAILS = "fails as recorded"
    PASSES = "passes"
    FIXED = "passes now: set its status to fixed"
    CHANGED = "fails otherwise than recorded"
    FLAKY = "fails at times"
    ERROR = "could not be decided"
    SKIPPED = "the target is not available"


@dataclass(frozen=True, slots=True)
class Replayed:
    """An outcome, what failed (of the last run that failed) and the reason of ERROR and SKIPPED."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    reason: str = ""


def replay(crasher: Crasher, run: Callable[[Case], tuple[Finding, ...] | str], *, runs: int = 3) -> Replayed:
    """Run a crasher's case several times and compare with the record.

    `run` gives the findings of the crasher's oracle, or why there is no verdict; it may raise TargetUnavailable.
    """
    ways: set[Outcome] = set()
    findings: tuple[Finding, ...] = ()
    for _ in range(runs):
        try:
            found = run(crasher.case)
        except TargetUnavailable as error:
            return Replayed(Outcome.SKIPPED, reason=str(error))
        if isinstance(found, str):
            return Replayed(Outcome.ERROR, reason=found)
        findings = found or findings
        ways.add(_way(crasher, found))
    if len(ways) > 1:
        return Replayed(Outcome.FLAKY, findings)
    outcome = ways.pop()
    fixed = outcome is Outcome.PASSES and crasher.status == "open"
    return Replayed(Outcome.FIXED if fixed else outcome, findings)


def _way(crasher: Crasher, findings: tuple[Finding, ...]) -> Outcome:
    if not findings:
        return Outcome.PASSES
    as_recorded = any(finding.key == crasher.finding.key for finding in findings)
    return Outcome.FAILS if as_recorded else Outcome.CHANGED


def is_bad(status: Status, outcome: Outcome) -> bool:
    """Whether an outcome makes a run fail: an open crasher is to fail as recorded, a fixed one to pass.

    A target that is not available is not bad here: that nothing ran at all is for the run as a whole to say.
    """
    if outcome is Outcome.SKIPPED:
        return False
    if status == "wontfix":
        return outcome is Outcome.ERROR
    return outcome is not (Outcome.FAILS if status == "open" else Outcome.PASSES)
