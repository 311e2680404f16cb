"""One run of Hypothesis: draws cases until one fails in a way that no known bug explains, and makes that one small."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, NoReturn

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Flaky, HypothesisWarning, Unsatisfiable

from tcfuzz import strategies
from tcfuzz.case import Case
from tcfuzz.errors import TcfuzzError
from tcfuzz.finding import Finding
from tcfuzz.polish import polished
from tcfuzz.schedule import Batch

if TYPE_CHECKING:
    from tcfuzz.campaign import Campaign

MOST_SHRINKS, MOST_SHRINK_SECONDS = 3000, 20.0
SHRINK_SHARE = 0.05
"""Of a time that is bounded, one failure takes no larger share to become small, twice that with the last steps."""


class _Found(Exception):
    """Raised inside of a Hypothesis test for a failure to shrink; a subclass of its own per finding key."""


class Abort(BaseException):
    """Carries an error of the run through Hypothesis, which would take an Exception for a failing case."""

    def __init__(self, error: TcfuzzError) -> None:
        self.error = error


class Run:
    """One run of Hypothesis over a batch: until the first failure that nothing explains, then shrinking it."""

    def __init__(self, campaign: Campaign, batch: Batch, seed: int, cases: int) -> None:
        self.campaign = campaign
        self.batch = batch
        self.seed = seed
        self.cases = cases
        self.drawn = 0
        self._wanted: Finding | None = None
        self._raise: type[_Found] = _Found
        self._best: tuple[int, Case, Finding] | None = None
        self._last: tuple[Case, Finding] | None = None
        self._executions = 0
        self._since = 0.0
        seconds = campaign.plan.budget.seconds
        self._patience = MOST_SHRINK_SECONDS if seconds is None else min(MOST_SHRINK_SECONDS, seconds * SHRINK_SHARE)

    def draw(self) -> bool:
        """Whether a new failure was found (and shrunk)."""
        test = hypothesis.seed(self.seed)(
            settings(
                max_examples=self.cases,
                derandomize=False,
                database=None,
                verbosity=Verbosity.quiet,
                phases=(Phase.generate, Phase.shrink),
                stateful_step_count=50,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                deadline=None,
                print_blob=False,
                backend="hypothesis",
            )(given(strategies.cases(self.batch.profile))(self._one))
        )
        shrunk = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HypothesisWarning)  # it would print large cases
                test()
        except _Found:
            pass
        except Flaky:
            shrunk = False
        except Unsatisfiable as error:
            self.campaign.undecided(f"no cases for {self.batch.label}: {error}")
        if self._wanted is None:
            return False
        assert self._last is not None and self._best is not None
        case, finding = self._polished() if shrunk else self._best[1:]
        self.campaign.shrunk(self.campaign.make_bug(case, finding, shrunk=shrunk, seed=self.seed))
        self._tell_echoes(case, shrunk=shrunk)
        return True

    def _tell_echoes(self, case: Case, *, shrunk: bool) -> None:
        """What other rules the small case breaks, too: found with it, and not once more in some larger case."""
        observation = self.campaign.observe(case, thorough=not self.campaign.is_costly)
        for oracle in self.campaign.plan.oracles:
            for finding in self.campaign.failures(case, oracle.id, observation):
                bug = self.campaign.make_bug(case, finding, shrunk=shrunk, seed=self.seed)
                self.campaign.seen(bug)
                self.campaign.shrunk(bug)

    def _polished(self) -> tuple[Case, Finding]:
        """The shrunk case without what only its profile kept in it."""
        assert self._last is not None
        best = self._last

        def fails(case: Case) -> bool:
            nonlocal best
            dialect = self.campaign.target.dialect
            if self._tired(2):
                return False
            if not strategies.features_of(case, dialect) <= strategies.features_of(best[0], dialect):
                return False  # plainer in one thing, nastier in another
            found = self._again(case)
            best = best if found is None else (case, found)
            return found is not None

        def still(case: Case) -> bool:
            return not self._tired(2) and self._again(case) is not None

        try:
            polished(best[0], fails, still=still, own_tools=bool(self.campaign.plan.tools))
        except TcfuzzError as error:
            raise Abort(error) from error
        return best

    def _one(self, case: Case) -> None:
        try:
            self._judge(case)
        except TcfuzzError as error:
            raise Abort(error) from error

    def _judge(self, case: Case) -> None:
        if self._wanted is not None:
            self._shrink(case)
            return
        if self.campaign.exhausted():
            return
        self.drawn += 1
        findings = self.campaign.judge(case, self.batch)
        if findings:
            self._wanted = findings[0]
            self._raise = type("Found", (_Found,), {"key": findings[0].key})
            self._since = time.monotonic()
            bug = self.campaign.make_bug(case, findings[0], shrunk=False, seed=self.seed)
            self.campaign.seen(bug)
            self._fail(case, findings[0])

    def _shrink(self, case: Case) -> None:
        assert self._wanted is not None and self._best is not None
        self._executions += 1
        self.campaign.progress(shrinking=True)
        if self._executions > MOST_SHRINKS or self._tired():
            # Nothing smaller is accepted any more, so Hypothesis ends with the best one. The target is not asked
            # again: many draws are that very case, and one that hangs would take its timeout each time.
            if case == self._best[1]:
                self._fail(case, self._best[2])
            return
        found = self._again(case)
        if found is not None:
            self._fail(case, found)

    def _tired(self, times: int = 1) -> bool:
        return time.monotonic() - self._since > times * self._patience

    def _again(self, case: Case) -> Finding | None:
        """The wanted failure in another case."""
        assert self._wanted is not None
        found = self.campaign.failures(case, self._wanted.oracle)
        return next((finding for finding in found if finding.key == self._wanted.key), None)

    def _fail(self, case: Case, finding: Finding) -> NoReturn:
        self._last = (case, finding)
        size = len(repr(case))
        if self._best is None or size <= self._best[0]:
            self._best = (size, case, finding)
        # To Hypothesis, two lines that raise are two bugs, so both the first find and its shrinking come here.
        raise self._raise
