"""What a campaign draws, in which order: from one nasty thing to many (sweep, pairs, swarm)."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tcfuzz import strategies
from tcfuzz.case import Tool
from tcfuzz.observation import ReferenceTemplate
from tcfuzz.oracles import Oracle
from tcfuzz.strategies import Profile
from tcfuzz.targets.base import Target

SWEEP_ORDER = ("calls", "history", "option", "value", "schema", "name", "key", "id", "text", "marker", "native")
"""The groups of features. Shapes before texts: a text may stand in any shape, so its bugs are to be known by then."""
PLAIN = "plain"
"""The label of cases without any feature."""
DEFAULT_EXAMPLES = 2000
SWEEP_SHARE, PAIRS_SHARE = 0.6, 0.15
SWEEP_CASES = (4, 30)
FIRST_ROUND_CASES = 6
QUICK_ROUND_CASES = 2
"""Before the first round where time is short: a slow target answers a few cases a second."""
SWEPT_LARGE = frozenset({"native:long-repeat"})
"""Features whose point is size: a parser shows that it is not linear in long texts only."""
PAIR_CASES, SWARM_CASES = 6, 30


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


class Schedule:
    """The batches of one campaign. `is_red` tells whether a bug needs a feature, `spent` the share of the budget."""

    def __init__(self, plan: Plan, target: Target, is_red: Callable[[str], bool], spent: Callable[[], float]) -> None:
        self._plan = plan
        self._target = target
        self._is_red = is_red
        self._spent = spent
        self.features = self._features()

    def phases(self) -> Iterator[tuple[str, Iterator[Batch]]]:
        """Each phase with its batches. None where nothing that was asked for can be tried here."""
        if self.features or self._plan.features is None:
            yield "sweep", self._sweep()
            yield "pairs", self._pairs()
            yield "swarm", self._swarm()

    def seed(self, *parts: object) -> int:
        """A seed of its own for each batch: one number for all would draw the same cases everywhere."""
        rules = ",".join(oracle.id for oracle in self._plan.oracles)
        named = (self._plan.seed, self._target.name, self._target.model, rules, *parts)
        return int.from_bytes(hashlib.sha256("|".join(map(str, named)).encode()).digest()[:6], "big")

    def _features(self) -> tuple[str, ...]:
        """The features worth trying on this target, in the order of the sweep."""
        kinds = (False, True) if self._target.capabilities & {"parse", "stream"} else (False,)
        known = [
            feature
            for native in kinds
            for feature in strategies.feature_ids(
                self._target.dialect,
                utf8=self._target.utf8,
                native=native,
                own_tools=bool(self._plan.tools),
                options=self._target.options,
            )
        ]
        known.sort(key=lambda feature: SWEEP_ORDER.index(feature.partition(":")[0]))
        wanted = self._plan.features
        return tuple(feature for feature in known if wanted is None or feature in wanted)

    def _profile(self, *features: str, size: strategies.Size = "small") -> Profile:
        return Profile(
            dialect=self._target.dialect,
            features=frozenset(features),
            size=size,
            options=self._target.options,
            utf8=self._target.utf8,
            tools=self._plan.tools,
            native=any(_is_native(feature) for feature in features),
        )

    def _sweep(self) -> Iterator[Batch]:
        """Each feature alone; a few cases of all first, so that a short time meets every feature."""
        count = self._sweep_cases()
        first = min(count, FIRST_ROUND_CASES)
        quick = QUICK_ROUND_CASES if self._plan.budget.seconds is not None else 0
        for cases in (quick, first - quick, count - FIRST_ROUND_CASES):
            if cases > 0:
                yield Batch("sweep", PLAIN, self._profile(), cases)
                for feature in self.features:
                    size: strategies.Size = "large" if feature in SWEPT_LARGE else "small"
                    yield Batch("sweep", feature, self._profile(feature, size=size), cases)

    def _sweep_cases(self) -> int:
        budget = self._plan.budget
        if budget.examples is None or budget.seconds is not None:
            return SWEEP_CASES[1]
        return max(SWEEP_CASES[0], min(SWEEP_CASES[1], int(budget.examples * SWEEP_SHARE / (len(self.features) + 1))))

    def _pairs(self) -> Iterator[Batch]:
        """Two features at a time of those that the sweep left green, in an order that the seed decides."""
        green = [f for f in self.features if not self._is_red(f) and not _is_native(f)]
        pairs = list(itertools.combinations(green, 2))
        random.Random(self.seed("pairs")).shuffle(pairs)
        for first, second in pairs:
            if self._spent() >= SWEEP_SHARE + PAIRS_SHARE:
                return
            yield Batch("pairs", f"{first}+{second}", self._profile(first, second), PAIR_CASES)

    def _swarm(self) -> Iterator[Batch]:
        """Random subsets of the features, growing sizes; what is known to fail is left out of most batches."""
        choose = random.Random(self.seed("swarm"))
        native = [f for f in self.features if _is_native(f)]
        formed = [f for f in self.features if not _is_native(f)]
        for number in itertools.count():
            pool: Sequence[str] = native if native and number % 5 == 4 else formed
            if number % 4:
                pool = [f for f in pool if not self._is_red(f)] or pool
            chosen = choose.sample(pool, min(len(pool), choose.randint(1, 8))) if pool else []
            size: strategies.Size = ("small", "medium", "medium", "large")[number % 4]
            yield Batch("swarm", f"swarm-{number}", self._profile(*chosen, size=size), SWARM_CASES)


def _is_native(feature: str) -> bool:
    """Features of malformed text need cases of their own."""
    return feature.startswith("native:")
