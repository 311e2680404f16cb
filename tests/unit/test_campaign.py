"""The campaign's loop: events, budgets, shards, seeds, and what it does when something goes wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tcfuzz import dialects, oracles
from tcfuzz.bugs import pinned, same_bug
from tcfuzz.campaign import Campaign
from tcfuzz.case import Case, Message, Tool, ToolCall
from tcfuzz.errors import TargetUnavailable
from tcfuzz.events import BugSeen, BugShrunk, CampaignEnded, CampaignStarted, Event, PhaseStarted, Progress, Summary
from tcfuzz.finding import Finding, Fingerprint
from tcfuzz.schedule import Budget, Plan
from tcfuzz.targets.local import LocalTarget
from tests.inprocess import ObjectTarget
from tests.translators import Hermes

HERMES = dialects.get("hermes")


class BooleansAreTexts(Hermes):
    """The bug that most of these tests look for."""

    def parse(self, text: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
        message = super().parse(text, tools)
        for call in message.get("tool_calls") or ():
            arguments = call["function"]["arguments"]
            assert isinstance(arguments, dict)
            for key, value in arguments.items():
                if isinstance(value, bool):
                    arguments[key] = str(value)
        return message


def target(make: Any = BooleansAreTexts) -> ObjectTarget:
    return ObjectTarget(make, HERMES)


def plan(*rules: str, examples: int | None = 100, **changed: Any) -> Plan:
    chosen = tuple(map(oracles.get, rules)) if rules else tuple(oracles.registry)
    return Plan(chosen, budget=Budget(examples), **changed)


def run(made: Any, planned: Plan) -> tuple[Summary, list[Event], list[Case]]:
    """(summary, events, the cases in the order in which they were sent)."""
    events: list[Event] = []
    cases: list[Case] = []
    summary = Campaign(made, planned, events.append, cases.append).run()
    return summary, events, cases


BOOLEANS = frozenset({"value:bool"})


def test_the_order_of_events() -> None:
    _, events, _ = run(target(), plan("round-trip", features=BOOLEANS))
    assert isinstance(events[0], CampaignStarted)
    assert isinstance(events[-1], CampaignEnded)
    phases = [event.phase for event in events if isinstance(event, PhaseStarted)]
    assert phases == ["sweep", "pairs", "swarm"]
    found = [event for event in events if isinstance(event, (BugSeen, BugShrunk))]
    assert [type(event) for event in found] == [BugSeen, BugShrunk]
    seen, shrunk = found
    assert isinstance(shrunk, BugShrunk)
    assert shrunk.seen == seen.bug.fingerprint
    assert len(repr(shrunk.bug.case)) <= len(repr(seen.bug.case))
    assert all(event.cases <= 100 for event in events if isinstance(event, Progress))


def test_the_bug_is_small_and_counted() -> None:
    summary, _, _ = run(target(), plan("round-trip", features=BOOLEANS))
    (bug,) = summary.bugs
    assert (bug.fingerprint.features, bug.finding.blame, bug.shrunk) == (("value:bool",), "parser", True)
    assert bug.count > 5
    assert bug.case.text is not None
    assert summary.table["value:bool"]["round-trip"] == "FAIL"
    assert summary.table["plain"]["round-trip"] == "ok"


@pytest.mark.parametrize("examples", [1, 7, 150])
def test_the_budget_of_cases_is_kept_to_the_case(examples: int) -> None:
    summary, _, _ = run(LocalTarget(HERMES), plan("round-trip", examples=examples))
    assert summary.cases == examples


def test_the_budget_of_seconds_is_kept() -> None:
    planned = replace(plan("round-trip"), budget=Budget(None, 0.3))
    summary, _, _ = run(LocalTarget(HERMES), planned)
    assert summary.cases > 0
    assert summary.seconds < 3


def test_shards_share_the_sweep_and_draw_other_cases() -> None:
    rows: list[set[str]] = []
    drawn: list[set[str]] = []
    for number in range(3):
        summary, _, cases = run(LocalTarget(HERMES), plan("round-trip", examples=1200, shard=(number, 3)))
        assert summary.cases == 400
        rows.append(set(summary.table))
        drawn.append(set(map(repr, cases)))
    whole, _, _ = run(LocalTarget(HERMES), plan("round-trip", examples=1200))
    assert set().union(*rows) == set(whole.table)
    for left, right in itertools.combinations(range(3), 2):
        assert not rows[left] & rows[right]
        assert len(drawn[left] & drawn[right]) < 10


def test_one_seed_draws_the_same_cases_and_another_draws_others() -> None:
    first, again, other = (
        [repr(case) for case in run(LocalTarget(HERMES), plan("round-trip", seed=seed))[2]] for seed in (1, 1, 2)
    )
    assert first == again
    assert len(set(first) & set(other)) < len(set(first)) / 4


def test_a_known_bug_does_not_end_the_campaign() -> None:
    summary, _, _ = run(target(), plan(examples=400))
    tally = summary.oracles["round-trip"]
    assert (tally.failed > 0, tally.passed > 100) == (True, True)
    assert {bug.fingerprint.features for bug in summary.bugs} == {("value:bool",)}


def test_features_that_do_not_fit_test_nothing() -> None:
    summary, _, cases = run(LocalTarget(dialects.get("chatml")), plan(features=BOOLEANS))
    assert (summary.cases, cases) == (0, [])


def test_a_case_is_on_disk_before_the_target_sees_it() -> None:
    recorded: list[Case] = []

    class Watched(Hermes):
        def parse(self, text: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
            assert recorded
            return super().parse(text, tools)

    Campaign(target(Watched), plan("accepts", examples=30), lambda event: None, recorded.append).run()
    assert len(recorded) == 30


def test_a_fault_in_an_oracle_is_counted_and_is_no_pass() -> None:
    def broken(observation: Any) -> Any:
        raise ZeroDivisionError("oh")

    oracle = replace(oracles.get("deterministic"), check=broken)
    summary, _, _ = run(LocalTarget(HERMES), replace(plan(examples=20), oracles=(oracle,)))
    assert summary.oracles["deterministic"].unknown == 20
    assert summary.unknowns == {"deterministic broke: ZeroDivisionError: oh": 20}
    assert summary.checks == 0


class Interrupts(BooleansAreTexts):
    """Meets Ctrl-C at its `at`th text."""

    at = 0
    texts: Iterator[int] = itertools.count()

    def parse(self, text: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
        if next(self.texts) == self.at:
            raise KeyboardInterrupt
        return super().parse(text, tools)


def test_ctrl_c_sums_up_what_was_found() -> None:
    class Late(Interrupts):
        at = 400
        texts = itertools.count()

    summary, events, _ = run(target(Late), plan("round-trip", features=BOOLEANS, examples=10_000))
    assert summary.interrupted == "interrupted"
    assert len(summary.bugs) == 1
    assert isinstance(events[-1], CampaignEnded)


def test_ctrl_c_while_a_failure_is_made_small_keeps_it() -> None:
    events: list[Event] = []

    class While(Interrupts):
        def parse(self, text: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
            if any(isinstance(event, BugSeen) for event in events):
                raise KeyboardInterrupt
            return BooleansAreTexts.parse(self, text, tools)

    summary = Campaign(target(While), plan("round-trip", features=BOOLEANS), events.append).run()
    (bug,) = summary.bugs
    assert not bug.shrunk
    assert summary.interrupted
    assert [type(event) for event in events[-2:]] == [BugShrunk, CampaignEnded]


def test_a_target_that_goes_away_ends_it_with_a_summary() -> None:
    class Gone(Hermes):
        def parse(self, text: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
            raise TargetUnavailable("it is gone")

    events: list[Event] = []
    with pytest.raises(TargetUnavailable, match="it is gone"):
        Campaign(target(Gone), plan("accepts", "round-trip"), events.append).run()
    assert isinstance(events[-1], CampaignEnded)
    assert events[-1].summary.interrupted == "it is gone"
    assert not events[-1].summary.bugs


def test_what_fails_now_and_then_is_kept_as_it_was_found() -> None:
    class Moody(Hermes):
        texts = itertools.count()

        def parse(self, text: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
            if next(self.texts) % 7 == 6:
                raise ValueError("moody")
            return super().parse(text, tools)

    summary, _, _ = run(target(Moody), plan("accepts", features=BOOLEANS, examples=60))
    assert summary.bugs
    assert {bug.finding.kind for bug in summary.bugs} == {"raised:ValueError"}
    assert summary.cases == 60


def test_information_fails_only_when_it_is_to() -> None:
    features = frozenset({"marker:turn"})
    summary, _, _ = run(LocalTarget(HERMES), plan("injection", features=features))
    assert not summary.bugs
    assert {info.oracle for info in summary.infos} == {"injection"}
    summary, _, _ = run(LocalTarget(HERMES), plan("injection", features=features, strict=True))
    assert {bug.finding.oracle for bug in summary.bugs} == {"injection"}


# -- bugs --------------------------------------------------------------------------------------------------------------

PRINT = Fingerprint("local", "hermes", "round-trip", "parser", "call-lost", ("name:dot",))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (PRINT, True),
        (replace(PRINT, kind="content-added"), True),
        (replace(PRINT, features=("name:hyphen",)), False),
        (replace(PRINT, blame="renderer"), False),
        (replace(PRINT, oracle="ids"), False),
        (replace(PRINT, dialect="qwen3"), False),
        (replace(PRINT, features=()), False),
    ],
)
def test_same_bug(other: Fingerprint, same: bool) -> None:
    assert same_bug(PRINT, other) is same
    assert same_bug(other, PRINT) is same


def test_without_features_the_kind_tells_bugs_apart() -> None:
    plain = replace(PRINT, features=())
    assert same_bug(plain, plain)
    assert not same_bug(plain, replace(plain, kind="content-added"))


CALL = Message("assistant", tool_calls=(ToolCall("f", {"a": 1}),))
TOOLS = (Tool("f", "Does.", {"type": "object"}),)


def finding(blame: Any, *chunks: str) -> Finding:
    return Finding("round-trip", blame, "call-lost", "lost", None, None, chunks=chunks)


def test_a_parsers_case_brings_its_text_and_chunks() -> None:
    case = Case(TOOLS, (), CALL)
    assert pinned(case, finding("parser"), HERMES).text == HERMES.emit(CALL, TOOLS)
    assert pinned(case, finding("stream", "ab", "c"), HERMES).chunks == (2, 1)
    assert pinned(case, finding("renderer"), HERMES) == case
    assert pinned(case, finding("parser"), None) == case
