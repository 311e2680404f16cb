"""The campaign: draws cases, lets all oracles judge each, makes failures small, goes on. Owns no printing and no files.

It goes from one nasty thing to many (sweep, pairs, swarm). A failure that a known bug explains is counted; any other
is shrunk by Hypothesis, gets its fingerprint, and is known from then on, so that one loud bug does not hide the next.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Flaky, Unsatisfiable

from tcfuzz import strategies
from tcfuzz.case import Case, Tool
from tcfuzz.dialects import Dialect
from tcfuzz.errors import OutOfDomain, TcfuzzError
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
from tcfuzz.polish import polished
from tcfuzz.strategies import Profile
from tcfuzz.targets.base import Target

SWEEP_ORDER = ("calls", "history", "option", "value", "schema", "name", "key", "id", "text", "marker", "native")
"""The groups of features."""
PLAIN = "plain"
"""The row of the map for cases without any feature."""
DEFAULT_EXAMPLES = 2000
SWEEP_SHARE, PAIRS_SHARE = 0.6, 0.15
SWEEP_CASES = (4, 30)
FIRST_ROUND_CASES = 6
SWEPT_LARGE = frozenset({"native:long-repeat"})
"""Features whose point is size: a parser shows that it is not linear in long texts only."""
PAIR_CASES, SWARM_CASES = 6, 30
MOST_BUGS_IN_A_BATCH = 12
TELLING_KINDS = (
    *("trimmed", "padded", "escaped", "unescaped", "encoded-twice", "undeclared", "depends-on-others"),
    *("sorted", "id-twice", "id-missing", "id-changed", "varies", "silence", "superlinear", "cut-arguments"),
    *("turn-lost", "turn-added", "turns-mixed", "-twice", "out-of-order", "generation-prompt", "closed-turn"),
)
"""Ends of kinds of change that name their cause."""
MOST_SHRINKS, MOST_SHRINK_SECONDS = 3000, 20.0
MOST_PINNED_CHUNKS = 400


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a campaign may go on: so many cases, so many seconds, whichever ends first. None: no such bound."""

    examples: int | None = DEFAULT_EXAMPLES
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign is to do.

    oracles: those asked for. features: only these (None: all that make sense). shard: (i, N), counted from 0, takes
    every Nth batch. tools: the user's own, instead of generated ones. strict: findings for information fail, too.
    """

    oracles: tuple[Oracle, ...]
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    features: frozenset[str] | None = None
    shard: tuple[int, int] = (0, 1)
    tools: tuple[Tool, ...] = ()
    strict: bool = False
    reference_template: ReferenceTemplate | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases of one profile, drawn from one seed."""

    phase: str
    label: str
    profile: Profile
    cases: int


class _Found(Exception):
    """Raised inside of a Hypothesis test for a failure to shrink; a subclass of its own per finding key."""


class _Abort(BaseException):
    """Carries an error of the run through Hypothesis, which would take an Exception for a failing case."""

    def __init__(self, error: TcfuzzError) -> None:
        self.error = error


def judge(observation: Observation, oracles: Sequence[Oracle]) -> list[tuple[Oracle, Verdict]]:
    """What each oracle that can say something about this target says of the case."""
    return [(oracle, oracle.judge(observation)) for oracle in oracles if oracle.left_out(observation) is None]


def replay(
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


def same_bug(left: Fingerprint, right: Fingerprint) -> bool:
    """Whether two fingerprints of one target are one bug: the same rule broken on the same side, and either a kind of
    change that names its cause, or the same features needed (the same kind, where none is needed).
    """
    return (left.target, left.dialect) == (right.target, right.dialect) and (
        _same_rule(left, right)
        and (
            (left.kind == right.kind and (names_cause(left) or not (left.features or right.features)))
            or (bool(left.features) and left.features == right.features)
        )
    )


def same_cause(left: Fingerprint, right: Fingerprint) -> bool:
    """Whether two fingerprints look like one thing to mend: one side to blame for cases with the same features.

    One wrong argument breaks several rules. Where no feature is needed, only the same bug is the same cause.
    """
    places = [(found.target, found.dialect, found.blame, found.features) for found in (left, right)]
    return same_bug(left, right) or (bool(left.features) and places[0] == places[1])


def _same_rule(left: Fingerprint | Finding, right: Fingerprint | Finding) -> bool:
    return (left.oracle, left.blame) == (right.oracle, right.blame)


def names_cause(found: Fingerprint | Finding) -> bool:
    """Whether the kind of change says what is wrong, so that other features are the same bug met elsewhere.

    Malformed text has no features that a parser's error depends on: there the error tells.
    """
    return found.oracle == "total" or found.kind.endswith(TELLING_KINDS) or found.kind.startswith("delta:")


def pinned(case: Case, finding: Finding, dialect: Dialect | None) -> Case:
    """The case with the very text and chunks that the finding is about, so that a replay needs nothing else."""
    if case.reply is not None and case.text is None and dialect is not None and finding.blame in ("parser", "stream"):
        try:
            case = case.with_(text=dialect.emit(case.reply, case.tools))
        except OutOfDomain:
            return case
    if 1 < len(finding.chunks) <= MOST_PINNED_CHUNKS:
        case = case.with_(chunks=tuple(map(len, finding.chunks)))
    return case


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
        self._started = time.monotonic()
        self._last_progress = 0.0
        self._phase = ""
        self._cases = 0
        self._bugs: dict[Fingerprint, Bug] = {}
        self._variants: list[tuple[Finding, frozenset[str], Fingerprint]] = []
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
            for index, batch in enumerate(self._batches()):
                if self._exhausted():
                    break
                if index % self.plan.shard[1] == self.plan.shard[0]:
                    self._run_batch(index, batch)
        except KeyboardInterrupt:
            interrupted = "interrupted"
        except _Abort as abort:
            interrupted, error = str(abort.error), abort.error
        finally:
            if self._open is not None:
                self._settle(self._open)
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

    def _exhausted(self) -> bool:
        budget = self.plan.budget
        if budget.examples is not None and self._cases >= -(-budget.examples // self.plan.shard[1]):
            return True
        return budget.seconds is not None and self._seconds() >= budget.seconds

    # -- what to draw ------------------------------------------------------------------------------------------------

    def _batches(self) -> Iterator[Batch]:
        features = self._features()
        if not features and self.plan.features is not None:
            return  # nothing that was asked for can be tried here: plain cases would look like a green run of it
        groups = (self._sweep(features), self._pairs(features), self._swarm(features))
        for phase, batches in zip(("sweep", "pairs", "swarm"), groups, strict=True):
            self._phase = phase
            self._emit(PhaseStarted(phase, len(features) + 1 if phase == "sweep" else None))
            yield from batches

    def _features(self) -> tuple[str, ...]:
        """The features worth trying on this target, well-formed cases first."""
        kinds = (False, True) if self.target.capabilities & {"parse", "stream"} else (False,)
        known = tuple(
            feature
            for native in kinds
            for feature in strategies.feature_ids(
                self.target.dialect,
                utf8=self.target.utf8,
                native=native,
                own_tools=bool(self.plan.tools),
                options=self.target.options,
            )
        )
        # Shapes before texts: a text may stand in any shape, so a bug of the shape is to be known by then.
        known = tuple(sorted(known, key=lambda feature: SWEEP_ORDER.index(feature.partition(":")[0])))
        wanted = self.plan.features
        return known if wanted is None else tuple(feature for feature in known if feature in wanted)

    def _profile(self, features: frozenset[str], size: strategies.Size = "small") -> Profile:
        return Profile(
            dialect=self.target.dialect,
            features=features,
            size=size,
            options=self.target.options,
            utf8=self.target.utf8,
            tools=self.plan.tools,
            native=any(feature.startswith("native:") for feature in features),
        )

    def _share(self, share: float, batches: int) -> int:
        examples = self.plan.budget.examples
        if examples is None or self.plan.budget.seconds is not None:
            return SWEEP_CASES[1]
        return max(SWEEP_CASES[0], min(SWEEP_CASES[1], int(examples * share / max(1, batches))))

    def _sweep(self, features: Sequence[str]) -> Iterator[Batch]:
        count = self._share(SWEEP_SHARE, len(features) + 1)
        yield Batch("sweep", PLAIN, self._profile(frozenset()), count)
        for feature in features:
            size: strategies.Size = "large" if feature in SWEPT_LARGE else "small"
            yield Batch("sweep", feature, self._profile(frozenset({feature}), size), count)

    def _pairs(self, features: Sequence[str]) -> Iterator[Batch]:
        """Two features at a time of those that the sweep left green, in an order that the seed decides."""
        green = [f for f in features if not self._is_red(f) and not f.startswith("native:")]
        pairs = list(itertools.combinations(green, 2))
        self._random("pairs").shuffle(pairs)
        share = SWEEP_SHARE + PAIRS_SHARE
        for first, second in pairs:
            if self._spent(share):
                return
            profile = self._profile(frozenset({first, second}))
            yield Batch("pairs", f"{first}+{second}", profile, PAIR_CASES)

    def _swarm(self, features: Sequence[str]) -> Iterator[Batch]:
        """Random subsets of the features, growing sizes; what is known to fail is left out of most batches."""
        choose = self._random("swarm")
        for number in itertools.count():
            native = [f for f in features if f.startswith("native:")]
            pool = [f for f in features if not f.startswith("native:")]
            if native and number % 5 == 4:
                pool = native
            if number % 4:
                pool = [f for f in pool if not self._is_red(f)] or pool
            chosen = frozenset(choose.sample(pool, min(len(pool), choose.randint(1, 8)))) if pool else frozenset()
            size: strategies.Size = ("small", "medium", "medium", "large")[number % 4]
            yield Batch("swarm", f"swarm-{number}", self._profile(chosen, size), SWARM_CASES)

    def _is_red(self, feature: str) -> bool:
        return any(feature in fingerprint.features for fingerprint in self._bugs)

    def _spent(self, share: float) -> bool:
        """Whether this share of the budget is used up."""
        budget, shards = self.plan.budget, self.plan.shard[1]
        by_time = 0.0 if budget.seconds is None else self._seconds() / budget.seconds
        by_cases = 0.0 if budget.examples is None else self._cases * shards / budget.examples
        return max(by_time, by_cases) >= share

    def _random(self, *parts: object) -> random.Random:
        return random.Random(self._derived_seed(*parts))

    def _derived_seed(self, *parts: object) -> int:
        """A seed of its own for each batch: one number for all would draw the same cases everywhere."""
        rules = ",".join(oracle.id for oracle in self.plan.oracles)
        named = (self.plan.seed, self.target.name, self.target.model, rules, *parts)
        return int.from_bytes(hashlib.sha256("|".join(map(str, named)).encode()).digest()[:6], "big")

    # -- one batch ---------------------------------------------------------------------------------------------------

    def _run_batch(self, index: int, batch: Batch) -> None:
        """Draw the batch; each new failure is shrunk and known afterwards, then the rest is drawn again."""
        left = batch.cases
        for attempt in range(MOST_BUGS_IN_A_BATCH):
            if left <= 0 or self._exhausted():
                break
            seed = self._derived_seed(batch.phase, batch.label, attempt, index, self.plan.shard)
            run = _Run(self, batch, seed, left)
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
        for oracle, verdict in judge(self.observe(case), self._oracles):
            self._count(oracle, verdict)
            cell: Cell | None = "ok" if isinstance(verdict, Pass) else None
            if isinstance(verdict, NotApplicable) and verdict.limit:
                cell = "limit"
            if isinstance(verdict, Fail):
                features = strategies.features_of(case, self.target.dialect) if features is None else features
                for finding in self._must(verdict):
                    known = self._explained(finding, features)
                    if known is None:
                        unexplained.append(finding)
                    elif batch.label in known.fingerprint.features or batch.label == PLAIN:
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
            self._unknowns[verdict.reason] += 1
        else:
            tally.not_applicable += 1
            tally.limits += verdict.limit

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

    def failures(self, case: Case, oracle_id: str) -> list[Finding]:
        """What one oracle finds in a case that no known bug explains; used while shrinking."""
        oracle = next((oracle for oracle in self._oracles if oracle.id == oracle_id), None)
        verdict = None if oracle is None else oracle.judge(self.observe(case, thorough=True))
        if not isinstance(verdict, Fail):
            return []
        features = strategies.features_of(case, self.target.dialect)
        return [f for f in self._must(verdict) if self._known(f, features) is None]

    # -- bugs --------------------------------------------------------------------------------------------------------

    def _known(self, finding: Finding, features: frozenset[str]) -> Fingerprint | None:
        """The known bug that explains a finding in a case with these features.

        A bug that needs features explains whatever the same oracle blames on the same side in a case that has them
        all; one that needs none, or whose kind names its cause, only changes of its own kind.
        """
        for known, needed, home in self._variants:
            same_kind = known.kind == finding.kind
            if _same_rule(known, finding) and (
                (same_kind and names_cause(known)) or (needed <= features and (bool(needed) or same_kind))
            ):
                return home
        return None

    def _explained(self, finding: Finding, features: frozenset[str]) -> Bug | None:
        home = self._known(finding, features)
        return None if home is None else self._counted(home, 1)

    def _counted(self, home: Fingerprint, more: int) -> Bug:
        self._bugs[home] = replace(self._bugs[home], count=self._bugs[home].count + more)
        return self._bugs[home]

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
        features = frozenset(bug.fingerprint.features)
        home = next((known for known in self._bugs if same_bug(known, bug.fingerprint)), None)
        again = home is not None
        replaced: tuple[Fingerprint, ...] = ()
        if home is None:
            home = bug.fingerprint
            self._bugs[home] = bug
            replaced = self._replaced(bug)
        else:
            self._counted(home, 1)
        self._variants.append((bug.finding, features, home))
        for feature in features or {PLAIN}:
            self._mark(feature, bug.finding.oracle, "FAIL")
        self._emit(BugShrunk(self._bugs[home], seen, again=again, replaces=replaced))

    def _replaced(self, bug: Bug) -> tuple[Fingerprint, ...]:
        """Earlier bugs that this plainer one explains: the same rule, all of its features and more."""
        needed, home = set(bug.fingerprint.features), bug.fingerprint
        explained = tuple(
            other
            for other in self._bugs
            if _same_rule(other, home)
            and needed < set(other.features)
            and (bool(needed) or other.kind == bug.finding.kind)
        )
        for other in explained:
            self._counted(home, self._bugs.pop(other).count)
        self._variants = [
            (finding, features, home if was in explained else was) for finding, features, was in self._variants
        ]
        return explained

    def _settle(self, bug: Bug) -> None:
        """Keep a failure whose shrinking was interrupted."""
        self.shrunk(bug)

    def progress(self, *, shrinking: bool = False) -> None:
        """Tell the listeners where it stands, at most ten times a second."""
        now = self._seconds()
        if now - self._last_progress >= 0.1:
            self._last_progress = now
            self._emit(Progress(self._phase, self._cases, self._checks, now, len(self._bugs), shrinking))

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
            bugs=tuple(self._bugs.values()),
            infos=tuple(self._infos.values()),
            unknowns=dict(self._unknowns),
            interrupted=interrupted,
        )


class _Run:
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
            test()
        except _Found:
            pass
        except Flaky:
            shrunk = False
        except Unsatisfiable as error:
            self.campaign._unknowns[f"no cases for {self.batch.label}: {error}"] += 1
        if self._wanted is None:
            return False
        assert self._last is not None and self._best is not None
        case, finding = self._polished() if shrunk else self._best[1:]
        self.campaign.shrunk(self.campaign.make_bug(case, finding, shrunk=shrunk, seed=self.seed))
        self._tell_echoes(case, shrunk=shrunk)
        return True

    def _tell_echoes(self, case: Case, *, shrunk: bool) -> None:
        """What other rules the small case breaks, too: found with it, and not once more in some larger case."""
        for oracle in self.campaign.plan.oracles:
            for finding in self.campaign.failures(case, oracle.id):
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
            if not strategies.features_of(case, dialect) <= strategies.features_of(best[0], dialect):
                return False  # plainer in one thing, nastier in another
            found = self._again(case)
            best = best if found is None else (case, found)
            return found is not None

        try:
            polished(best[0], fails, own_tools=bool(self.campaign.plan.tools))
        except TcfuzzError as error:
            raise _Abort(error) from error
        return best

    def _one(self, case: Case) -> None:
        try:
            self._judge(case)
        except TcfuzzError as error:
            raise _Abort(error) from error

    def _judge(self, case: Case) -> None:
        if self._wanted is not None:
            self._shrink(case)
            return
        if self.campaign._exhausted():
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
        tired = self._executions > MOST_SHRINKS or time.monotonic() - self._since > MOST_SHRINK_SECONDS
        if tired and case != self._best[1]:
            return  # nothing smaller is accepted any more: Hypothesis ends with the best one
        found = self._again(case)
        if found is not None:
            self._fail(case, found)

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
