"""`.ci/prove.py` is green for what is right and red for what is not."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tcfuzz import dialects
from tcfuzz.dialects.hermes import Hermes
from tests.unit.test_benchmark_dialects import loaded

ROOT = Path(__file__).parents[2]
prove = loaded(ROOT / ".ci" / "prove.py")


class Raises(Hermes):
    """Hermes that gives up at a text that ends within a call."""

    name = "raises"

    def parse(self, text, tools=()):
        if text.endswith(('"', "{")):
            raise KeyError("end")
        return super().parse(text, tools)


class Other(Hermes):
    """Hermes that loses the line break before a call, but not in a stream."""

    name = "other"

    def parse(self, text, tools=()):
        return super().parse(text.replace("\n\n", "\n"), tools)


class Cuts(Hermes):
    """Hermes that ends a text in history where a token ends a turn."""

    name = "cuts"

    def render(self, messages, tools, **options):
        cut = [replace(message, content=(message.content or "").partition("x<|im_end|>")[0]) for message in messages]
        return super().render(cut, tools, **options)


@pytest.mark.parametrize("name", ["hermes", "gemma4", "llama4", "chatml"])
def test_nothing_is_found_where_nothing_is(name):
    raised, differs, streams = prove.texts(dialects.get(name), 200, 0)
    assert (raised, differs) == ([], [])
    assert streams > 1000


def test_a_parser_that_raises_is_found():
    raised, _, _ = prove.texts(Raises(), 300, 0)
    assert raised
    assert "KeyError" in raised[0]


def test_a_stream_that_says_other_is_found():
    _, differs, _ = prove.texts(Other(), 300, 0)
    assert differs


@pytest.mark.parametrize("name", ["hermes", "chatml"])
def test_a_dialect_carries_its_own_markers_or_says_that_it_does_not(name):
    count, found = prove.findings_of(dialects.get(name))
    assert (count > 50, found) == (True, [])


def test_a_marker_that_does_harm_is_found():
    _, found = prove.findings_of(Cuts())
    assert "round-trip: content-lost (renderer)" in found[0]
    assert all("x<|im_end|>" in text for text in found)


def test_texts_are_damaged_and_the_same_each_time():
    first = [case.text for case in prove.mutated(dialects.get("hermes"), 100, 0)]
    assert first == [case.text for case in prove.mutated(dialects.get("hermes"), 100, 0)]
    assert first != [case.text for case in prove.mutated(dialects.get("hermes"), 100, 1)]
    assert len(set(first)) > 90


def run(*typed):
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "prove.py", *typed], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_four_lines_a_dialect():
    ran = run("--examples", "60", "--texts", "30", "chatml", "hermes")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *lines, last = ran.stdout.splitlines()
    assert [line.split(":")[0].split() for line in lines] == [["ok", "chatml"]] * 4 + [["ok", "hermes"]] * 4
    assert "60 cases" in lines[0]
    assert last == "2 dialects, 0 with findings"


def test_findings_make_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(prove.dialects, "get", lambda name: Raises())
    monkeypatch.setattr(prove, "campaign", lambda *_: ("ok   local:raises: 1 case, 0 findings", ""))
    monkeypatch.setattr(sys, "argv", ["prove.py", "--texts", "300", "raises"])
    assert prove.main() == 1
    out = capsys.readouterr().out
    assert "FAIL raises: 300 mutated texts" in out
    assert "KeyError" in out


def test_a_red_campaign_is_told_whole(monkeypatch, capsys):
    line, report = prove.campaign("no-such-dialect", 10, 0)
    assert "unknown dialect" in report
    assert line
