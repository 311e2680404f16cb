"""The campaign: draws cases, lets all oracles judge each, makes failures small, goes on. Owns no printing and no files.

It goes from one nasty thing to many (sweep, pairs, swarm). A failure that a known bug explains is counted; any other
is shrunk by Hypothesis, gets its fingerprint, and is known from then on, so that one loud bug does not hide the next.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tcfuzz import strategies
from tcfuzz.bugs import Ledger, pinned
from tcfuzz.case import Case
from tcfuzz.errors import TcfuzzError
from tcfuzz.events import (
    Bug,
    BugSeen,
    BugShrunk,
    CampaignEnded,
    CampaignStarted,
    Cell,
    Event,
    PhaseStarted,
    Progress,
    Summary,
    Tally,
)
from tcfuzz.finding import Fail, Finding, Fingerprint, NotApplicable, Pass, Unknown, Verdict
from tcfuzz.observation import Observation, ReferenceTemplate
from tcfuzz.oracles import Oracle
from tcfuzz.run import Abort, Run
from tcfuzz.schedule import PLAIN, Batch, Plan, Schedule
from tcfuzz.targets.base import Converses, Target

MOST_BUGS_IN_A_BATCH = 12
WORKERS = 3
"""So many calls of a costly target are under way at a time beside the one that an oracle waits for."""


def judge(observation: Observation, oracles: Sequence[Oracle]) -> list[tuple[Oracle, Verdict]]:
    """What each oracle that can say something about this target says of the case."""
    return [(oracle, oracle.judge(observation)) for oracle in oracles if oracle.left_out(observation) is None]


def rejudge(
    case: Case, target: Target, oracle: Oracle, reference_template: ReferenceTemplate | None = None
) -> tuple[Finding, ...] | str:
    """The findings of one oracle on a concrete case; a text where it could not be decided or says nothing."""
    fresh: list[Target] = []

    def another() -> Target:
        fresh.append(target.fresh())
        return fresh[-1]

    try:
        observation = Observation(case, target, fresh=another, reference_template=reference_template, thorough=True)
        if (reason := oracle.left_out(observation)) is not None:
            return reason
        verdict = oracle.judge(observation)
    finally:
        for one in fresh:
            one.close()
    if isinstance(verdict, Fail):
        return verdict.findings
    if isinstance(verdict, Pass):
        return ()
    return verdict.reason or "not applicable"


class Campaign:
    """One run against one target."""

    def __init__(
        self, target: Target, plan: Plan, emit: Callable[[Event], None], journal: Callable[[Case], None] | None = None
    ) -> None:
        self.target = target
        self.plan = plan
        self._emit = emit
        self._journal = journal
        self._fresh: Target | None = None
        self.is_costly = isinstance(target, Converses) and target.costly
        self._workers = ThreadPoolExecutor(WORKERS, "tcfuzz-call") if self.is_costly else None
        self._started = time.monotonic()
        self._last_progress = 0.0
        self._phase = ""
        self._cases = 0
        self._ledger = Ledger()
        self._schedule = Schedule(plan, target, self._ledger.needs, self._spent)
        self._tallies = {oracle.id: Tally() for oracle in plan.oracles}
        self._table: dict[str, dict[str, Cell]] = {}
        self._infos: dict[tuple[str, str], Finding] = {}
        self._unknowns: Counter[str] = Counter()
        self._open: Bug | None = None
        probe = Observation(Case(), target)
        reasons = {oracle.id: oracle.left_out(probe) for oracle in plan.oracles}
        if plan.reference_template is None and "reference-identical" in reasons:
            reasons["reference-identical"] = "no --reference"
        self._left_out = {id_: reason for id_, reason in reasons.items() if reason}
        self._oracles = tuple(oracle for oracle in plan.oracles if oracle.id not in self._left_out)

    # -- the run -----------------------------------------------------------------------------------------------------

    def run(self) -> Summary:
        """Run to the end of the budget, or to Ctrl-C, and sum up. Errors of the run itself are raised at the end."""
        self._emit(
            CampaignStarted(
                self.target.name,
                self.target.model,
                self.target.version,
                self._dialect_name,
                self.plan.seed,
                tuple(oracle.id for oracle in self._oracles),
                self._left_out,
            )
        )
        interrupted = ""
        error: TcfuzzError | None = None
        try:
            self._run_phases()
        except KeyboardInterrupt:
            interrupted = "interrupted"
        except Abort as abort:
            interrupted, error = str(abort.error), abort.error
        finally:
            if self._open is not None:
                self.shrunk(self._open)  # shrinking was interrupted: it is kept as it is
            if self._workers is not None:
                self._workers.shutdown(cancel_futures=True)
            if self._fresh is not None:
                self._fresh.close()
        summary = self._summary(interrupted)
        self._emit(CampaignEnded(summary))
        if error is not None:
            raise error
        return summary

    @property
    def _dialect_name(self) -> str | None:
        return self.target.dialect.name if self.target.dialect else None

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _run_phases(self) -> None:
        index = 0
        for phase, batches in self._schedule.phases():
            self._phase = phase
            self._emit(PhaseStarted(phase, len(self._schedule.features) + 1 if phase == "sweep" else None))
            for batch in batches:
                if self.exhausted():
                    return
                if index % self.plan.shard[1] == self.plan.shard[0]:
                    self._run_batch(index, batch)
                index += 1

    def _spent(self) -> float:
        """The share of the budget that is used up."""
        budget, shards = self.plan.budget, self.plan.shard[1]
        by_time = 0.0 if budget.seconds is None else self._seconds() / budget.seconds
        by_cases = 0.0 if budget.examples is None else self._cases / -(-budget.examples // shards)
        return max(by_time, by_cases)

    def exhausted(self) -> bool:
        """Whether the budget is used up."""
        return self._spent() >= 1.0

    # -- one batch ---------------------------------------------------------------------------------------------------

    def _run_batch(self, index: int, batch: Batch) -> None:
        """Draw the batch; each new failure is shrunk and known afterwards, then the rest is drawn again."""
        left = batch.cases
        for attempt in range(MOST_BUGS_IN_A_BATCH):
            if left <= 0 or self.exhausted():
                break
            seed = self._schedule.seed(batch.phase, batch.label, attempt, index, self.plan.shard)
            run = Run(self, batch, seed, left)
            found = run.draw()
            left -= max(1, run.drawn)
            if not found:
                break
        self._fill_row(batch)

    def _fill_row(self, batch: Batch) -> None:
        if batch.phase == "sweep":
            row = self._table.setdefault(batch.label, {})
            for oracle in self._oracles:
                row.setdefault(oracle.id, "-")

    def observe(self, case: Case, *, thorough: bool = False) -> Observation:
        """An observation of a case by this campaign's target, the case on disk before the target sees it."""
        if self._journal is not None:
            self._journal(case)
        return Observation(
            case,
            self.target,
            fresh=self._another,
            reference_template=self.plan.reference_template,
            thorough=thorough,
        )

    def _another(self) -> Target:
        if self._fresh is None:
            self._fresh = self.target.fresh()
        return self._fresh

    def judge(self, case: Case, batch: Batch) -> list[Finding]:
        """Judge a case for the first time: tallies, the map, counts of known bugs. Returns what no bug explains."""
        self._cases += 1
        features: frozenset[str] | None = None
        unexplained: list[Finding] = []
        observation = self.observe(case)
        if self._workers is not None:
            observation.prepare(self._workers)
        for oracle, verdict in judge(observation, self._oracles):
            self._count(oracle, verdict)
            cell: Cell | None = "ok" if isinstance(verdict, Pass) else None
            if isinstance(verdict, NotApplicable) and verdict.limit:
                cell = "limit"
            if isinstance(verdict, Fail):
                features = strategies.features_of(case, self.target.dialect) if features is None else features
                for finding in self._must(verdict):
                    home = self._ledger.explains(finding, features)
                    if home is None:
                        unexplained.append(finding)
                    elif self._ledger.count(home) and (batch.label in home.features or batch.label == PLAIN):
                        cell = "FAIL"
            if batch.phase == "sweep" and cell is not None:
                self._mark(batch.label, oracle.id, cell)
        self.progress()
        return unexplained

    def _count(self, oracle: Oracle, verdict: Verdict) -> None:
        tally = self._tallies[oracle.id]
        if isinstance(verdict, Pass):
            tally.passed += 1
        elif isinstance(verdict, Fail) and self._must(verdict):
            tally.failed += 1
        elif isinstance(verdict, Fail):
            tally.passed += 1  # only worth knowing
        elif isinstance(verdict, Unknown):
            tally.unknown += 1
            self.undecided(verdict.reason)
        else:
            tally.not_applicable += 1
            tally.limits += verdict.limit

    def undecided(self, reason: str) -> None:
        """Something could not be decided: counted and shown, never a pass."""
        self._unknowns[reason] += 1

    def _must(self, verdict: Fail) -> list[Finding]:
        """The findings that count as failures; those for information are set aside, once each."""
        failures = []
        for finding in verdict.findings:
            if finding.severity == "info" and not self.plan.strict:
                self._infos.setdefault((finding.oracle, finding.kind), finding)
            else:
                failures.append(finding)
        return failures

    def _mark(self, feature: str, oracle: str, cell: Cell) -> None:
        ranks = ("-", "limit", "ok", "FAIL")
        row = self._table.setdefault(feature, {})
        if ranks.index(cell) > ranks.index(row.get(oracle, "-")):
            row[oracle] = cell

    def failures(self, case: Case, oracle_id: str, observation: Observation | None = None) -> list[Finding]:
        """What one oracle finds in a case that no known bug explains; used while shrinking.

        observation: of that case, where several oracles are asked and each call is to be made once.
        """
        oracle = next((oracle for oracle in self._oracles if oracle.id == oracle_id), None)
        verdict = None if oracle is None else oracle.judge(observation or self.observe(case, thorough=True))
        if not isinstance(verdict, Fail):
            return []
        features = strategies.features_of(case, self.target.dialect)
        return [f for f in self._must(verdict) if self._ledger.explains(f, features) is None]

    # -- bugs --------------------------------------------------------------------------------------------------------

    def make_bug(self, case: Case, finding: Finding, *, shrunk: bool, seed: int) -> Bug:
        """A bug of this target, with the features of its case."""
        features = tuple(sorted(strategies.features_of(case, self.target.dialect)))
        print_ = Fingerprint(
            self.target.name,
            self._dialect_name or self.target.model,
            finding.oracle,
            finding.blame,
            finding.kind,
            features,
        )
        oracle = next(oracle for oracle in self._oracles if oracle.id == finding.oracle)
        if finding.severity != oracle.severity:
            finding = replace(finding, severity=oracle.severity)
        return Bug(print_, finding, pinned(case, finding, self.target.dialect), 1, shrunk, seed)

    def seen(self, bug: Bug) -> None:
        """A failure that nothing explains was found; shrinking begins."""
        self._open = bug
        self._emit(BugSeen(bug))

    def shrunk(self, bug: Bug) -> None:
        """Its small form replaces it, and the earlier bugs that it explains."""
        assert self._open is not None
        seen, self._open = self._open.fingerprint, None
        known, again, replaced = self._ledger.add(bug)
        for feature in bug.fingerprint.features or (PLAIN,):
            self._mark(feature, bug.finding.oracle, "FAIL")
        self._emit(BugShrunk(known, seen, again=again, replaces=replaced))

    def progress(self, *, shrinking: bool = False) -> None:
        """Tell the listeners where it stands, at most ten times a second."""
        now = self._seconds()
        if now - self._last_progress >= 0.1:
            self._last_progress = now
            self._emit(Progress(self._phase, self._cases, self._checks, now, len(self._ledger), shrinking))

    @property
    def _checks(self) -> int:
        return sum(tally.passed + tally.failed for tally in self._tallies.values())

    def _summary(self, interrupted: str) -> Summary:
        return Summary(
            target=self.target.name,
            model=self.target.model,
            version=self.target.version,
            dialect=self._dialect_name,
            seed=self.plan.seed,
            cases=self._cases,
            checks=self._checks,
            seconds=self._seconds(),
            oracles=self._tallies,
            left_out=self._left_out,
            table=self._table,
            bugs=self._ledger.bugs,
            infos=tuple(self._infos.values()),
            unknowns=dict(self._unknowns),
            interrupted=interrupted,
        )
