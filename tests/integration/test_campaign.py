"""Whole campaigns against the small parser of `examples/`: what is found, and that it is found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tcfuzz import crashers
from tcfuzz.cli import main
from tests import program

CAUSES = {
    ("calls:reasoning",),
    ("name:dot",),
    ("name:hyphen",),
    ("schema:nullable", "value:null"),
    ("value:array",),
    ("value:bool",),
    ("value:empty-array",),
    ("value:empty-object",),
    ("value:object",),
}
SMALL = 160
"""Characters of a native text that fits on a line or two."""


def campaign(folder: Path, *arguments: str, **changed: str) -> tuple[program.Ran, dict[str, Any]]:
    """A campaign against the naive parser in a process of its own, and its JSON report."""
    (folder / "naive.py").write_bytes(program.NAIVE.read_bytes())
    typed = ("target", "python:naive.py", "--json", "report.json", *arguments)
    ran = program.run(*typed, cwd=folder, **changed)
    return ran, json.loads((folder / "report.json").read_text())


def facts(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings without where their files are."""
    return [{key: value for key, value in found.items() if key != "crasher"} for found in report["findings"]]


def causes(report: dict[str, Any]) -> list[tuple[str, ...]]:
    found = [f for f in report["findings"] if (f["oracle"], f["blame"]) == ("round-trip", "parser")]
    return sorted(tuple(f["features"]) for f in found)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, program.Ran, dict[str, Any]]:
    """A run with the default budget and seed: (its folder, how it ended, its report). Not to be changed."""
    folder = tmp_path_factory.mktemp("naive")
    return folder, *campaign(folder)


def test_the_naive_parsers_causes_are_found(whole: tuple[Path, program.Ran, dict[str, Any]]) -> None:
    _, ran, report = whole
    assert (ran.code, ran.err) == (1, "")
    assert report["cases"] == 2000
    assert set(causes(report)) >= CAUSES
    assert len(causes(report)) == len(set(causes(report)))
    assert {f["blame"] for f in report["findings"]} == {"parser"}


def test_each_is_shrunk_and_small(whole: tuple[Path, program.Ran, dict[str, Any]]) -> None:
    folder, _, report = whole
    assert all(found["shrunk"] for found in report["findings"])
    for found in report["findings"]:
        crasher = crashers.read(folder / found["crasher"])
        assert crasher.fingerprint.digest() == found["fingerprint"]
        assert crasher.case.text is not None
        assert len(crasher.case.text) <= SMALL, (found["id"], crasher.case.text)
        assert len(crasher.case.tools) <= 1
        assert len(crasher.case.messages) <= 1
    assert not list(folder.rglob(f"{crashers.UNSHRUNK}*"))


def test_one_cause_is_not_reported_twice(whole: tuple[Path, program.Ran, dict[str, Any]]) -> None:
    rules = [(found["oracle"], found["blame"], tuple(found["features"])) for found in whole[2]["findings"]]
    assert len(rules) == len(set(rules))
    found = causes(whole[2])
    assert not [(small, large) for small in found for large in found if set(small) < set(large)]


@pytest.mark.parametrize("changed", [{"CI": "1"}, {"PYTHONHASHSEED": "77"}], ids=lambda changed: next(iter(changed)))
def test_one_seed_finds_the_same(
    tmp_path: Path, changed: dict[str, str], whole: tuple[Path, program.Ran, dict[str, Any]]
) -> None:
    _, report = campaign(tmp_path, **changed)
    assert facts(report) == facts(whole[2])
    assert report["oracles"] == whole[2]["oracles"]
    assert report["table"] == whole[2]["table"]


def test_another_seed_finds_the_same_causes(tmp_path: Path, whole: tuple[Path, program.Ran, dict[str, Any]]) -> None:
    _, report = campaign(tmp_path, "--seed", "12345", "--oracle", "round-trip")
    assert set(causes(report)) >= CAUSES
    assert facts(report) != facts(whole[2])


def test_the_life_of_a_crasher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    parser = tmp_path / "naive.py"
    parser.write_bytes(program.NAIVE.read_bytes())
    typed = ["target", "python:naive.py", "--feature", "value:bool", "--oracle", "round-trip", "--max-examples", "60"]
    assert main(typed) == 1
    (file,) = crashers.find([tmp_path / "crashers"])
    before = file.read_bytes()

    # Known from then on: nothing new, and nothing is written.
    assert main(typed) == 0
    assert "known" in capsys.readouterr().out
    assert main(["replay", "crashers"]) == 0
    assert "FAILS" in capsys.readouterr().out
    assert main(["replay", "crashers", "--strict"]) == 1
    capsys.readouterr()
    assert file.read_bytes() == before

    # Mended: said until somebody says so in the file.
    mended = parser.read_text().replace("    try:\n        return int(text)", MEND, 1)
    assert mended != parser.read_text()
    parser.write_text(mended)
    assert main(["replay", "crashers"]) == 1
    assert "FIXED" in capsys.readouterr().out
    assert main(typed) == 1
    file.write_bytes(before.replace(b'"status": "open"', b'"status": "fixed"'))
    assert main(["replay", "crashers"]) == 0
    assert "PASSES" in capsys.readouterr().out
    assert main(typed) == 0

    # Broken again.
    parser.write_bytes(program.NAIVE.read_bytes())
    capsys.readouterr()
    assert main(["replay", "crashers"]) == 1
    assert "its status is fixed" in capsys.readouterr().out
    assert main(typed) == 1


MEND = """\
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)"""


def test_a_target_that_is_not_there_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    parser = tmp_path / "naive.py"
    parser.write_bytes(program.NAIVE.read_bytes())
    typed = ["target", "python:naive.py", "--feature", "value:bool", "--oracle", "round-trip", "--max-examples", "40"]
    assert main(typed) == 1
    parser.unlink()
    capsys.readouterr()
    assert main(["replay", "crashers"]) == 2
    out = capsys.readouterr().out
    assert "ERROR" in out
    assert "there is no file naive.py" in out
