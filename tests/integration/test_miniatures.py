"""The tester tested: planted bugs are found, blamed rightly and shown small; correct translators stay green."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tcfuzz import dialects, oracles
from tcfuzz.campaign import Campaign
from tcfuzz.case import Case, Json, Message, Tool, strings_of
from tcfuzz.events import Bug, BugSeen, Event, Summary
from tcfuzz.schedule import Budget, Plan
from tcfuzz.targets.base import Target
from tcfuzz.targets.python import PythonTarget
from tests.conftest import KILL
from tests.inprocess import ObjectTarget
from tests.miniatures import BUGGY, Miniature
from tests.translators import CORRECT, Translator

PROJECT = Path(__file__).parent.parent.parent
LONG_RUN = 3000
IN_PROCESS = [miniature for miniature in BUGGY if not miniature.alone]
ALONE = [miniature for miniature in BUGGY if miniature.alone]


def plain_chatml(
    messages: Sequence[Message], tools: Sequence[Tool], add_generation_prompt: bool, options: Mapping[str, Json]
) -> str:
    """A reference template for ChatML, written once more."""
    turns = [f"<|im_start|>{message.role}\n{message.content or ''}<|im_end|>\n" for message in messages]
    return "".join([*turns, "<|im_start|>assistant\n"] if add_generation_prompt else turns)


def in_process(make: type[Translator]) -> Target:
    return ObjectTarget(make, dialects.get(make.dialect), name=make.__name__)


def run(target: Target, plan: Plan) -> Summary:
    return Campaign(target, plan, lambda event: None).run()


def run_to_first_bug(target: Target, plan: Plan) -> Summary:
    """Stops as Ctrl-C does: making a case small takes long where every try runs into the timeout."""

    def stop(event: Event) -> None:
        if isinstance(event, BugSeen):
            raise KeyboardInterrupt

    return Campaign(target, plan, stop).run()


def killers(miniature: Miniature, summary: Summary) -> list[Bug]:
    return [bug for bug in summary.bugs if (bug.finding.oracle, bug.finding.blame) == miniature.kills]


def others(miniature: Miniature, summary: Summary) -> set[str]:
    return {bug.finding.oracle for bug in summary.bugs} - {miniature.kills[0]}


def is_small(case: Case) -> bool:
    """Whether a case fits on a few lines: a step of two calls at most, no long text."""
    calls = max(len(message.tool_calls) for message in case.conversation()) if case.messages else 0
    texts = [message.content or "" for message in case.conversation()]
    arguments = [dict(call.arguments) for message in case.conversation() for call in message.tool_calls]
    return len(case.tools) <= 2 and calls <= 2 and max(map(len, [*texts, *strings_of(arguments)])) <= 60


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[[Miniature, Summary], None]:
    def record(miniature: Miniature, summary: Summary) -> None:
        oracle, blame = miniature.kills
        record_property(KILL, (miniature.name, oracle, blame, ", ".join(sorted(others(miniature, summary)))))

    return record


@pytest.mark.parametrize("miniature", IN_PROCESS, ids=lambda miniature: miniature.name)
def test_a_planted_bug_is_found_and_blamed(miniature: Miniature, show: Callable[[Miniature, Summary], None]) -> None:
    template = plain_chatml if miniature.template else None
    plan = Plan(tuple(oracles.registry), budget=Budget(miniature.examples), reference_template=template)
    summary = run(in_process(miniature.make), plan)
    found = killers(miniature, summary)
    assert found, f"{miniature.kills} is silent; found: {[bug.id for bug in summary.bugs]}"
    assert others(miniature, summary) <= miniature.also
    assert not summary.unknowns
    # What is random may not show again while it is made small; it is kept as it was found then.
    random = miniature.kills[0] == "deterministic"
    assert any((bug.shrunk or random) and is_small(bug.case) for bug in found), [bug.case for bug in found]
    show(miniature, summary)


@pytest.mark.parametrize("miniature", ALONE, ids=lambda miniature: miniature.name)
def test_a_planted_bug_that_stops_the_process(
    miniature: Miniature, show: Callable[[Miniature, Summary], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    target = PythonTarget(f"python:tests.miniatures:{miniature.name}", timeout=0.3)
    try:
        plan = Plan(
            (oracles.get(miniature.kills[0]),), features=frozenset({miniature.alone}), budget=Budget(seconds=20)
        )
        summary = run_to_first_bug(target, plan)
    finally:
        target.close()
    assert killers(miniature, summary), [bug.id for bug in summary.bugs]
    assert {bug.finding.kind for bug in summary.bugs} <= {"hung", "superlinear"}
    show(miniature, summary)


@pytest.mark.parametrize("make", CORRECT, ids=lambda make: make.__name__)
def test_a_correct_translator_stays_green(make: type[Translator]) -> None:
    template = plain_chatml if make.dialect == "chatml" else None
    plan = Plan(tuple(oracles.registry), seed=7, budget=Budget(LONG_RUN), reference_template=template)
    summary = run(in_process(make), plan)
    assert summary.cases >= LONG_RUN
    assert [(bug.id, bug.finding, bug.case) for bug in summary.bugs] == []
    assert dict(summary.unknowns) == {}


@pytest.mark.parametrize("make", CORRECT[:2], ids=lambda make: make.__name__)
def test_injection_is_for_information_unless_strict(make: type[Translator]) -> None:
    injection = (oracles.get("injection"),)
    features = frozenset({"marker:turn", "history:system"})
    quiet = run(in_process(make), Plan(injection, features=features, budget=Budget(200)))
    assert [finding.oracle for finding in quiet.infos] == ["injection"]
    assert not quiet.bugs
    strict = run(in_process(make), Plan(injection, features=features, budget=Budget(200), strict=True))
    assert {bug.finding.oracle for bug in strict.bugs} == {"injection"}


def test_every_oracle_has_two_planted_bugs() -> None:
    counts = Counter(miniature.kills[0] for miniature in BUGGY)
    few = {name: counts[name] for name in oracles.names() if counts[name] < 2}
    # Those of endpoints-agree and of the rules about grammars are no translators but servers: tests/unit has them.
    assert few == {"injection": 0, "endpoints-agree": 0, "grammar-admits": 0, "tool-choice": 0}


def test_round_trip_blames_each_side() -> None:
    assert set(_blames("round-trip")) == {"parser", "renderer", "self"}
    assert set(_blames("accepts")) == {"parser", "renderer", "stream"}


def _blames(oracle: str) -> Iterator[str]:
    return (miniature.kills[1] for miniature in BUGGY if miniature.kills[0] == oracle)
