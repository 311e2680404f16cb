"""Whole cases: a profile says what may be in them, a strategy draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tcfuzz.case import Case, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.strategies import native
from tcfuzz.strategies.draft import ArgumentSource, Draft, Size
from tcfuzz.strategies.feature import Feature, Scope, Stage
from tcfuzz.strategies.features import registry
from tcfuzz.strategies.imported import DrawnArguments, check_tools
from tcfuzz.strategies.tape import Tape

BASE_BYTES = 17
FEATURE_BYTES = 19
MAX_TAPES = 12
"""A draw costs about as much as thirty bytes: beyond this many features, several share a draw."""
_ON_FROM = 8
"""A feature is left out of a case where its first byte is less: for a zero, and in one case of thirty-two."""


@dataclass(frozen=True)
class Profile:
    """What cases are drawn for.

    dialect: its traits decide what is valid (several calls, ids, reasoning, system messages …); None: everything.
    features: the ids that are switched on; none for plain cases. Unknown or unsuitable ones are an error or ignored.
    size: how far features go: small cases for the sweep, hundreds of items and 100 KB strings in large ones.
    options: template options that the renderer takes, None for all of the dialect's.
    utf8: whether strings must be UTF-8, without lone surrogates.
    tools: the user's own; then no others are made, and arguments come from their schemas.
    native: malformed native text without a reply instead of replies.
    """

    dialect: Dialect | None
    features: frozenset[str] = frozenset()
    size: Size = "small"
    options: frozenset[str] | None = None
    utf8: bool = True
    tools: tuple[Tool, ...] = ()
    native: bool = False

    @property
    def scope(self) -> Scope:
        """The same for `Feature.suits`."""
        return Scope(self.dialect, self.utf8, bool(self.tools), self.native, self.options)


def cases(profile: Profile) -> SearchStrategy[Case]:
    """Cases of a profile; all zeros give the plain one. An unknown feature is a `UsageError`."""
    chosen = [registry.get(name) for name in profile.features]
    order = {name: place for place, name in enumerate(registry.names())}
    suited = sorted((f for f in chosen if f.suits(profile.scope)), key=lambda f: order[f.id])
    tapes = st.tuples(*(st.binary(min_size=size, max_size=size) for size in tape_sizes(len(suited))))
    if not profile.tools:
        return tapes.map(lambda drawn: build(profile, suited, drawn))
    check_tools(profile.tools)
    return _with_own_tools(profile, tuple(suited), tapes)


@st.composite
def _with_own_tools(
    draw: DrawFn, profile: Profile, suited: tuple[Feature, ...], tapes: SearchStrategy[tuple[bytes, ...]]
) -> Case:
    return build(profile, suited, draw(tapes), DrawnArguments(draw))


def build(
    profile: Profile, suited: Sequence[Feature], tapes: tuple[bytes, ...], source: ArgumentSource | None = None
) -> Case:
    """The case that these bytes mean. The first tape is the plain conversation's, the others the features'."""
    base = Tape(tapes[0])
    on = [(feature, tape) for feature, tape in zip(suited, _blocks(tapes[1:]), strict=False) if tape.byte() >= _ON_FROM]
    draft = Draft(
        base,
        profile.dialect,
        size=profile.size,
        active=frozenset(feature.id for feature, _ in on),
        own=profile.tools,
        source=source,
    )
    _run("plan", on, draft)
    _run("parameters", on, draft)
    draft.seal()
    _run("texts", on, draft)
    case = draft.freeze(base)
    return _damaged(case, on, draft) if profile.native else case


def _run(stage: Stage, on: Sequence[tuple[Feature, Tape]], draft: Draft) -> None:
    for feature, tape in on:
        if feature.stage == stage:
            feature.inject(draft, tape)


def _damaged(case: Case, on: Sequence[tuple[Feature, Tape]], draft: Draft) -> Case:
    text = native.emitted(case, draft.dialect)
    for feature, tape in on:
        if feature.stage == "native":
            text = native.mutate(feature.id.partition(":")[2], text, draft, tape)
    return case.with_(text=text, reply=None)


def tape_sizes(features: int) -> list[int]:
    """The sizes of the tapes in bytes: the base, then one for each feature or, if they are many, for several."""
    together = max(1, -(-features // MAX_TAPES))
    counts = [min(together, features - start) for start in range(0, features, together)]
    return [BASE_BYTES, *(count * FEATURE_BYTES for count in counts)]


def _blocks(tapes: Sequence[bytes]) -> list[Tape]:
    return [Tape(tape[start : start + FEATURE_BYTES]) for tape in tapes for start in range(0, len(tape), FEATURE_BYTES)]
