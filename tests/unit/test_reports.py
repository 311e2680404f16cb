"""Reports: what a reader sees in a terminal, a pipe and a file, with nasty strings everywhere."""

import io
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len
from rich.console import Console

from tcfuzz.case import Case, Message, Tool, ToolCall
from tcfuzz.codec import Pairs
from tcfuzz.crashers import TargetInfo, from_bug
from tcfuzz.errors import UsageError
from tcfuzz.events import (
    Bug,
    BugSeen,
    BugShrunk,
    CampaignEnded,
    CampaignStarted,
    PhaseStarted,
    Progress,
    Summary,
    Tally,
)
from tcfuzz.finding import Finding, Fingerprint
from tcfuzz.reports import json_report, junit
from tcfuzz.reports.blocks import Look, block_text, fold, literal, wrap
from tcfuzz.reports.show import comparison, pretty, show
from tcfuzz.reports.tables import abbreviations, feature_map
from tcfuzz.reports.terminal import TerminalReport, overview

NASTY = "\x1b[31m\x00\x9b]0;title\x07\u202e\u200b\ud800[red]\r\n<&\"']]>\ufffe"
ORACLES = [
    "accepts", "round-trip", "key-order", "marker-leak", "content-kept", "tools-declared", "deterministic",
    "stream-equals-whole", "arguments-as-string", "ids", "total", "truncation", "schema-valid", "prefix-stable",
    "reference-identical", "injection",
]  # fmt: skip
CASE = Case(
    tools=(Tool("get_weather", "d", {"type": "object"}),),
    messages=(Message("user", "hi"),),
    reply=Message("assistant", None, tool_calls=(ToolCall("get_weather", {"city": "a,b"}, "call_0"),)),
)
FINDING = Finding(
    "round-trip",
    "parser",
    "text-cut",
    "The text of city is cut off.",
    {"city": "a,b"},
    {"city": "a"},
    path="tool_calls[0].arguments.city",
    text='call:get_weather{city:<|"|>a,b<|"|>} ',
)


def bug(finding=FINDING, case=CASE, features=("text:delimiter",), **changes):
    fingerprint = Fingerprint("local:gemma4", "gemma4", finding.oracle, finding.blame, finding.kind, features)
    return replace(Bug(fingerprint, finding, case, 3, True, 7), **changes)


NASTY_BUG = bug(
    replace(FINDING, kind=NASTY, loss=NASTY, expected=NASTY, actual={NASTY: [NASTY]}, path=NASTY, text=NASTY),
    Case(
        tools=(Tool(NASTY, NASTY, {NASTY: NASTY}),),
        messages=(Message("user", NASTY), Message("tool", NASTY, tool_call_id=NASTY, name=NASTY)),
        reply=Message("assistant", NASTY, NASTY, (ToolCall(NASTY, {NASTY: NASTY}, NASTY),)),
        options={NASTY: NASTY},
    ),
    (NASTY,),
)


def summary(*bugs, **changes):
    oracles = {oracle: Tally(passed=10) for oracle in ORACLES[:-2]}
    oracles["round-trip"] = Tally(5, len(bugs), 1, 2, 3)
    table = {f"text:feature-{n}": dict.fromkeys(oracles, "ok") for n in range(40)}
    table["text:delimiter"] = {**dict.fromkeys(oracles, "ok"), "round-trip": "FAIL" if bugs else "ok", "ids": "limit"}
    given = {
        "target": "local:gemma4",
        "model": "gemma4",
        "version": "abc",
        "dialect": "gemma4",
        "seed": 7,
        "cases": 1234,
        "checks": 5678,
        "seconds": 12.34,
        "oracles": oracles,
        "left_out": {"reference-identical": "no reference template", "injection": "no reference template"},
        "table": table,
        "bugs": bugs,
    }
    return Summary(**{**given, **changes})


def started():
    return CampaignStarted("local:gemma4", "gemma4", "abc", "gemma4", 7, tuple(ORACLES), {})


def printed(*events, width=80, known=(), terminal=False, brief=False, **options):
    options = {"no_color": True} | options
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, _environ={}, **options)
    report = TerminalReport(
        console,
        crasher_path=lambda digest: Path("crashers") / f"{digest}.json",
        known=lambda digest: digest in known,
        brief=brief,
    )
    for event in events:
        report(event)
    report.close()
    return console.file.getvalue()


# -- the terminal ------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_plain_lines():
    found = bug()
    text = printed(
        started(),
        PhaseStarted("sweep", 40),
        Progress("sweep", 10, 20, 1.0, 0),
        BugSeen(replace(found, shrunk=False)),
        BugShrunk(found, found.fingerprint),
        CampaignEnded(summary(found)),
    )
    assert "\x1b" not in text and "\r" not in text
    assert text.index("seen  round-trip-parser-") < text.index("found round-trip-parser-") < text.index("FAIL round")
    assert "sweep" not in text


def test_the_block_has_all_that_a_reader_needs():
    digest = bug().fingerprint.digest()
    text = printed(started(), CampaignEnded(summary(bug())))
    block = text[text.index("FAIL round-trip") :]
    for said in (
        "blame: parser · text-cut · 3 cases · new",
        "The text of city is cut off.",
        'call      get_weather({"city": "a,b"})',
        'text      call:get_weather{city:<|"|>a,b<|"|>}␠',
        'expected  {"city": "a,b"}',
        'actual    {"city": "a"}',
        f"crasher   crashers/{digest}.json",
        f"tcfuzz replay crashers/{digest}.json",
        "FAIL local:gemma4: 1,234 cases, 5,678 checks in 12.3 s, 1 finding",
        "left out: reference-identical, injection (no reference template)",
    ):
        assert said in block


def test_the_difference_is_marked():
    lines = block_text(bug(replace(FINDING, expected="abcXYdef", actual="abcZdef"))).splitlines()
    actual = next(line for line in lines if line.strip().startswith("actual"))
    carets = lines[lines.index(actual) + 1]
    assert carets.index("^") == actual.index("Z") and carets.count("^") == 1


@pytest.mark.parametrize(("expected", "actual"), [("abc", ""), ("", "abc"), ("a" * 900 + "b", "a" * 900), ("x", None)])
def test_any_difference_has_a_mark_in_its_line(expected, actual):
    lines = block_text(bug(replace(FINDING, expected=expected, actual=actual)), width=80).splitlines()
    index = next(i for i, line in enumerate(lines) if line.strip().startswith("actual"))
    assert "^" in lines[index + 1]
    assert len(lines[index + 1]) <= len(lines[index]) <= 80


def test_the_map_shows_what_fails_and_counts_the_others():
    lines = [line.plain for line in feature_map(summary(bug()), Look(80))]
    heads, row, others = lines[0].split(), lines[1], lines[2]
    assert heads[:3] == ["acc", "rt", "ko"]
    assert row.split()[:3] == ["text:delimiter", "ok", "FAIL"] and "(40 others)" in others
    assert "limit" in "".join(lines)
    assert "rt=round-trip" in "".join(lines)
    assert max(map(len, lines)) <= 80


def test_a_green_map_is_short():
    green = summary(table={f"f{n}": {"accepts": "ok", "ids": "-"} for n in range(50)})
    assert [line.plain.split() for line in feature_map(green, Look(80))][:2] == [["acc"], ["(50", "features)", "ok"]]
    assert list(feature_map(summary(table={}, oracles={}), Look(80))) == []


def test_heads_are_distinct():
    assert abbreviations(["ids", "idsx", "round-trip", "raw-text"]) == {
        "ids": "ids", "idsx": "ids2", "round-trip": "rt", "raw-text": "rt2",
    }  # fmt: skip


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_nasty_strings_are_harmless_everywhere(width, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=out, width=width, no_color=True, _environ={})
    report = TerminalReport(console, crasher_path=lambda digest: Path(NASTY.replace("\x00", "")), known=lambda d: False)
    nasty = summary(
        NASTY_BUG,
        target=NASTY,
        left_out={"ids": NASTY},
        unknowns={NASTY: 2},
        infos=(NASTY_BUG.finding,),
        table={NASTY: {"round-trip": "FAIL"}},
        interrupted=NASTY,
    )
    for event in (
        CampaignStarted(NASTY, NASTY, NASTY, NASTY, 1, (), {}),
        BugSeen(NASTY_BUG),
        BugShrunk(NASTY_BUG, NASTY_BUG.fingerprint),
        CampaignEnded(nasty),
    ):
        report(event)
    show(console, from_bug(NASTY_BUG, target=TargetInfo(NASTY, NASTY), now=datetime(2026, 1, 1, tzinfo=UTC)), Path("x"))
    written = out.buffer.getvalue().decode(encoding)
    assert all(line.isprintable() for line in written.split("\n"))
    assert "[31m" in written and "[red]" in written


def test_a_terminal_has_a_live_line_that_ends():
    found = bug()
    text = printed(
        started(),
        Progress("sweep", 1000, 20, 2.0, 0),
        BugSeen(found),
        Progress("sweep", 1100, 20, 2.0, 1, shrinking=True),
        BugShrunk(found, found.fingerprint),
        CampaignEnded(summary(found)),
        terminal=True,
    )
    assert "sweep · 1,000 cases · 500/s · 0 findings" in text
    assert "shrinking" in text
    assert text.rstrip().removesuffix("\x1b[0m").endswith("(no reference template)")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_no_color_is_respected():
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    events = (started(), CampaignEnded(summary(bug())))
    assert not colour.search(printed(*events, terminal=True, no_color=True))
    assert colour.search(printed(*events, terminal=True, no_color=False, color_system="standard"))


def test_closing_twice_or_without_a_start_is_fine():
    assert printed() == ""
    assert "\x1b[?25h" in printed(started(), terminal=True)


def test_the_summary_tells_known_from_new():
    known = bug()
    new = bug(replace(FINDING, kind="call-lost"))
    text = printed(CampaignEnded(summary(known, new)), known={known.fingerprint.digest()})
    assert "2 findings of 1 cause (1 new, 1 known)" in text and "3 cases · known" in text
    text = printed(CampaignEnded(summary(known)), known={known.fingerprint.digest()})
    assert "\nok   local:gemma4" in text


def test_what_was_not_decided_or_cut_short_is_said():
    text = printed(CampaignEnded(summary(unknowns={"ids broke": 4}, infos=(FINDING,), interrupted="Ctrl-C")))
    for said in ("not decided 4×: ids broke", "info: round-trip: The text of city is cut off.", "stopped: Ctrl-C"):
        assert said in text
    assert "nothing was tested" in printed(CampaignEnded(summary(checks=0)))


def test_brief_is_one_line_for_a_green_target():
    text = printed(started(), CampaignEnded(summary()), brief=True)
    assert text == "ok   local:gemma4: 1,234 cases, 5,678 checks in 12.3 s, 0 findings\n"
    assert "FAIL round-trip" in printed(started(), CampaignEnded(summary(bug())), brief=True)


def test_a_small_failure_that_is_known_is_said_in_a_pipe():
    found = bug()
    assert "again round-trip" in printed(started(), BugSeen(found), BugShrunk(found, found.fingerprint, again=True))


def test_an_overview_of_several_targets():
    console = Console(file=io.StringIO(), width=80, _environ={})
    overview(console, [summary(), summary(bug(), target="local:hermes")])
    lines = console.file.getvalue().splitlines()
    assert lines[1].split()[:3] == ["local:gemma4", "ok", "ok"]
    assert lines[2].split()[:3] == ["local:hermes", "ok", "FAIL"]
    assert max(map(len, lines)) <= 80


def test_a_renderer_s_block_shows_the_messages_and_long_ones_are_cut():
    many = Case(messages=tuple(Message("user", f"m{n} " + "x" * 5000) for n in range(30)), reply=Message("assistant"))
    text = block_text(bug(replace(FINDING, blame="renderer", text=None), many), width=80)
    assert "after 24 earlier messages" in text and "m29" in text and "m5 " not in text
    assert len(text.splitlines()) < 50 and max(map(len, text.splitlines())) <= 80


def test_a_stream_s_block_shows_the_chunks():
    text = block_text(bug(replace(FINDING, blame="stream", chunks=("call:", "x\n"))))
    assert '"call:" "x\\n"' in text


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1.0, "b": [True, None]}, '{"a": 1.0, "b": [true, null]}'),
        (Pairs((("a", 1), ("a", -0.0))), '{"a": 1, "a": -0.0}'),
        ([16**5000], "[0x1" + "0" * 5000 + "]"),
        ("é\n", '"é\\n"'),
        ((1, 2), "[1, 2]"),
    ],
)
def test_literals(value, text):
    assert literal(value) == text


def test_pretty_is_json_in_lines():
    value = {"name": "f", "arguments": {"long": "x" * 40, "list": [1, 2, 3], "deep": [{"a": {"b": "y" * 30}}]}, "e": {}}
    assert json.loads("\n".join(pretty(value))) == value
    assert pretty({"prompt": "one\ntwo\n" + "x" * 30}) == [
        "{", '  "prompt": "one\\n"', '  "two\\n"', f'  "{"x" * 30}"', "}",
    ]  # fmt: skip


def test_values_nested_deeply():
    value = "deep"
    for _ in range(400):
        value = {"a": [value]}
    found = bug(replace(FINDING, actual=value, blame="renderer"), CASE.with_(messages=(Message("assistant", None,
        tool_calls=(ToolCall("f", value),)),)))  # fmt: skip
    assert len(block_text(found)) < 5000
    console = Console(file=io.StringIO(), width=100, _environ={})
    show(console, from_bug(found, target=TargetInfo("local"), now=datetime(2026, 1, 1, tzinfo=UTC)))
    assert "deep" in console.file.getvalue()


def test_folding_counts_columns():
    assert fold("漢字ab", 4) == ["漢字", "ab"]
    assert fold("", 4) == [""]
    assert wrap("one two threefour 漢字", 6) == ["one", "two", "threef", "our", "漢字"]
    assert wrap("", 4) == [""]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_expected_beside_actual(width):
    expected = {"same": 1, "changed": "old " * 30, "only here": [1], "wide": "漢" * 30}
    actual = {"same": 1, "changed": "new " * 30, "wide": "漢" * 29, "not there": {"a": 1}}
    lines = [line.plain for line in comparison(expected, actual, Look(width))]
    assert max(map(cell_len, lines)) <= width
    assert any(line.startswith("  ") and '"same": 1' in line for line in lines)
    assert any(line.startswith("! ") and "only here" in line for line in lines)
    together = [line for line in lines if "old" in line and "new" in line]
    assert bool(together) == (width >= 80)


@pytest.mark.parametrize("width", [60, 100])
def test_long_values_are_cut_to_what_differs(width):
    expected, actual = ["line"] * 300, ["line"] * 200 + ["other"] + ["line"] * 99
    lines = [line.plain for line in comparison(expected, actual, Look(width))]
    assert any("(198 equal lines)" in line for line in lines) and any("other" in line for line in lines)
    assert len(lines) < 30
    lines = [line.plain for line in comparison(["a"] * 9000, list(range(9000)), Look(width))]
    assert any("(8602 more lines)" in line for line in lines)
    assert len(lines) < 900


def test_show_has_everything():
    console = Console(file=io.StringIO(), width=100, _environ={})
    made = from_bug(
        bug(), target=TargetInfo("local:gemma4", version="1.2"), now=datetime(2026, 1, 2, tzinfo=UTC), rule="MUST"
    )
    show(console, replace(made, issue="https://example.org/1", notes="look here"), Path("a b/c.json"))
    text = console.file.getvalue()
    for said in (
        "status: open", "MUST", "local:gemma4, 1.2", "text:delimiter", "https://example.org/1", "look here",
        'call_0: get_weather({"city": "a,b"})', 'get_weather({"type": "object"}) "d"', "found 2026-01-02", "seed 7",
        "tcfuzz replay 'a b/c.json'", '! {"city": "a,b"}',
    ):  # fmt: skip
        assert said in text


# -- files -------------------------------------------------------------------------------------------------------------


def test_json_has_the_documented_shape(tmp_path):
    digest = bug().fingerprint.digest()
    shape = json_report.report(summary(bug()), lambda d: Path("crashers/x.json"), {digest})
    assert list(shape)[:10] == [
        "tcfuzz", "target", "version", "dialect", "seed", "cases", "checks", "seconds", "oracles", "findings",
    ]  # fmt: skip
    assert shape["oracles"]["round-trip"] == {"pass": 5, "fail": 1, "unknown": 1, "not_applicable": 2}
    (finding,) = shape["findings"]
    assert list(finding)[:9] == [
        "id", "fingerprint", "oracle", "blame", "severity", "kind", "features", "count", "crasher",
    ]  # fmt: skip
    assert (finding["fingerprint"], finding["crasher"], finding["known"]) == (digest, "crashers/x.json", True)
    json_report.write(tmp_path / "r.json", json_report.combine([shape, shape]))
    assert json.loads((tmp_path / "r.json").read_text())["targets"] == [shape, shape]
    assert os.listdir(tmp_path) == ["r.json"]  # noqa: PTH208


def test_json_takes_nasty_strings(tmp_path):
    shape = json_report.report(summary(NASTY_BUG), lambda digest: None)
    json_report.write(tmp_path / "r.json", shape)
    assert (tmp_path / "r.json").read_bytes().isascii()
    assert json.loads((tmp_path / "r.json").read_text())["findings"][0]["kind"] == NASTY


@pytest.mark.parametrize("name", ["none/r.xml", ""])
def test_a_report_that_cannot_be_written_is_one_line(tmp_path, name):
    with pytest.raises(UsageError, match="cannot write the report"):
        junit.write(tmp_path / name, [])
    with pytest.raises(UsageError, match="cannot write the report"):
        json_report.write(tmp_path / name, {})


def test_junit_has_a_suite_a_target_and_a_case_an_oracle(tmp_path):
    other = bug(replace(FINDING, kind="call-lost"))
    quiet = summary(oracles={"ids": Tally(unknown=2), "total": Tally()}, target="local:hermes")
    results = [(summary(bug(), other), lambda digest: Path(f"{digest}.json")), (quiet, lambda digest: None)]
    junit.write(tmp_path / "r.xml", results)
    root = ElementTree.parse(tmp_path / "r.xml").getroot()
    first, second = root.findall("testsuite")
    assert first.get("name") == "local:gemma4" and first.get("time") == "12.340"
    cases = {case.get("name"): case for case in first.findall("testcase")}
    assert list(cases) == ORACLES
    failures = cases["round-trip"].findall("failure")
    assert [failure.get("type") for failure in failures] == ["parser: text-cut", "parser: call-lost"]
    assert f"{bug().fingerprint.digest()}.json" in failures[0].text
    assert cases["injection"].find("skipped").get("message") == "no reference template"
    assert (first.get("tests"), first.get("failures"), first.get("skipped")) == ("16", "1", "2")
    assert [second.find(f"testcase/{tag}") is not None for tag in ("error", "skipped")] == [True, True]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("20", "1", "1")


def test_junit_is_valid_for_nasty_strings():
    nasty = summary(NASTY_BUG, target=NASTY, model=NASTY, left_out={NASTY: NASTY})
    root = ElementTree.fromstring(junit.document([(nasty, lambda digest: None)]))
    text = root.find(".//failure").text
    assert "\\ud800" in text and "[red]" in text
