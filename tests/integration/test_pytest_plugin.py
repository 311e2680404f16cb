"""`pytest tcfuzz`: what it collects, what it says, and that its verdict does not depend on how it is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tcfuzz import crashers
from tests import program
from tests.program import Ran

NAIVE = """\
max-examples = 48
shards = 2
targets = [{name = "python:naive.py", features = ["value:bool", "name:dot"]}, "local:hermes"]
"""
GROUPS = ("parse", "render", "stream", "robust")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the naive parser and a small budget."""
    (tmp_path / "naive.py").write_bytes(program.NAIVE.read_bytes())
    (tmp_path / "tcfuzz.toml").write_text(NAIVE)
    return tmp_path


def pytest_run(folder: Path, *arguments: str, **changed: str) -> Ran:
    """`pytest ARGUMENTS` in the folder, with a line for each outcome."""
    plugin = () if installed() else ("-p", "tcfuzz.pytest_plugin")
    typed = (*plugin, "-p", "no:cacheprovider", "-q", "-rA", "--color=no", *arguments)
    return program.run(*typed, module="pytest", cwd=folder, **changed)


def installed() -> bool:
    """Whether this environment knows the plugin by itself."""
    from importlib.metadata import entry_points

    return any(entry.value == "tcfuzz.pytest_plugin" for entry in entry_points(group="pytest11"))


def outcomes(ran: Ran) -> set[tuple[str, str]]:
    """(node id, outcome) of each item; skipped ones are summed up by pytest itself."""
    lines = re.findall(r"^(PASSED|FAILED|XFAIL|XPASS|ERROR) (tcfuzz::\S+)", ran.out, re.MULTILINE)
    return {(node, outcome) for outcome, node in lines}


def last_line(ran: Ran) -> str:
    """pytest's summary without its time."""
    return ran.out.splitlines()[-1].partition(" in ")[0]


# -- what is collected -------------------------------------------------------------------------------------------------


def test_an_empty_folder_runs_all_dialects(tmp_path: Path) -> None:
    ran = pytest_run(tmp_path, "tcfuzz", "--collect-only")
    names = re.findall(r"^tcfuzz::(local:[\w.-]+)\[(\w+)-(\d+)/(\d+)\]$", ran.out, re.MULTILINE)
    assert ran.code == 0
    assert {name for name, *_ in names} == {f"local:{name}" for name in program_dialects()}
    assert {group for _, group, *_ in names} == set(GROUPS)
    (shards,) = {int(of) for *_, of in names}
    assert len(names) == len(set(names)) == len(program_dialects()) * len(GROUPS) * shards


def program_dialects() -> tuple[str, ...]:
    from tcfuzz import dialects

    return dialects.names()


def test_a_small_budget_is_green_in_a_folder_without_crashers(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.tcfuzz]\nmax-examples = 8\nshards = 1\n")
    ran = pytest_run(tmp_path, "tcfuzz", "-n", "2")
    assert (ran.code, last_line(ran)) == (0, f"{len(program_dialects()) * len(GROUPS)} passed")
    assert not (tmp_path / "crashers").exists()


def test_one_item_can_be_named(folder: Path) -> None:
    ran = pytest_run(folder, "tcfuzz::local:hermes[parse-2/2]")
    assert outcomes(ran) == {("tcfuzz::local:hermes[parse-2/2]", "PASSED")}
    assert ran.code == 0


def test_k_selects(folder: Path) -> None:
    ran = pytest_run(folder, "tcfuzz", "-k", "hermes and parse")
    assert outcomes(ran) == {(f"tcfuzz::local:hermes[parse-{shard}/2]", "PASSED") for shard in (1, 2)}


def test_a_folder_of_that_name_is_left_to_pytest(folder: Path) -> None:
    (folder / "tcfuzz").mkdir()
    (folder / "tcfuzz" / "test_own.py").write_text("def test_own():\n    pass\n")
    ran = pytest_run(folder, "tcfuzz")
    assert (ran.code, last_line(ran)) == (0, "1 passed")
    assert "test_own" in ran.out


def test_other_tests_are_not_disturbed(folder: Path) -> None:
    (folder / "test_own.py").write_text("def test_own():\n    pass\n")
    ran = pytest_run(folder)
    assert (ran.code, last_line(ran)) == (0, "1 passed")
    assert "tcfuzz::" not in ran.out


# -- the verdict -------------------------------------------------------------------------------------------------------


def verdict(folder: Path, *arguments: str, **changed: str) -> tuple[set[tuple[str, str]], str, int]:
    """The outcome of each item of a run that starts without crashers, the last line, and the exit code."""
    for path in crashers.find([folder / "crashers"]) if (folder / "crashers").is_dir() else ():
        path.unlink()
    ran = pytest_run(folder, "tcfuzz", *arguments, **changed)
    return outcomes(ran), last_line(ran), ran.code


def test_the_verdict_is_the_same_however_it_is_run(folder: Path) -> None:
    alone = verdict(folder, "-n", "0")
    assert alone[2] == 1
    assert ("tcfuzz::local:hermes[parse-1/2]", "PASSED") in alone[0]
    assert {node for node, outcome in alone[0] if outcome == "FAILED"} & {
        f"tcfuzz::python:naive.py[parse-{shard}/2]" for shard in (1, 2)
    }
    assert "2 skipped" in alone[1]  # the parser has no stream
    assert verdict(folder, "-n", "2") == alone
    assert verdict(folder, "-n", "0", CI="1") == alone


def test_a_failing_item_shows_the_block(folder: Path) -> None:
    ran = pytest_run(folder, "tcfuzz", "-k", "naive and parse")
    assert ran.code == 1
    for text in ("blame: parser", "expected", "actual", "crasher   crashers/", "replay    tcfuzz replay crashers/"):
        assert text in ran.out
    assert "Traceback" not in ran.out
    assert "pytest_suite.py:" not in ran.out.partition("short test summary")[0]


def test_crashers_come_first_and_the_known_are_expected(folder: Path) -> None:
    assert verdict(folder, "-k", "naive")[2] == 1
    files = crashers.find([folder / "crashers"])
    nodes = {f"tcfuzz::{file.relative_to(folder / 'crashers').as_posix()}" for file in files}
    ran = pytest_run(folder, "tcfuzz")
    assert ran.code == 0
    assert {node for node, outcome in outcomes(ran) if outcome == "XFAIL"} == nodes
    assert not [outcome for _, outcome in outcomes(ran) if outcome not in ("PASSED", "XFAIL")]

    # One that was fixed and fails again, and one that passes and is not said to be fixed, fail.
    files[0].write_text(files[0].read_text().replace('"status": "open"', '"status": "fixed"'))
    ran = pytest_run(folder, "tcfuzz", "-k", "json")
    assert ran.code == 1
    assert [node for node, outcome in outcomes(ran) if outcome == "FAILED"] == [
        f"tcfuzz::{files[0].relative_to(folder / 'crashers').as_posix()}"
    ]
    assert "its status is fixed" in ran.out
    (folder / "naive.py").write_text(CORRECT)
    files[1].unlink()
    (left,) = set(files) - {files[0], files[1]} if len(files) == 3 else {files[0]}
    left.write_text(left.read_text().replace('"status": "fixed"', '"status": "open"'))
    ran = pytest_run(folder, "tcfuzz", "-k", left.stem)
    assert ran.code == 1
    assert "FIXED" in ran.out
    left.write_text(left.read_text().replace('"status": "open"', '"status": "fixed"'))
    ran = pytest_run(folder, "tcfuzz", "-k", left.stem)
    assert (ran.code, last_line(ran).partition(",")[0]) == (0, "1 passed")


CORRECT = """\
from tcfuzz import dialects
from tcfuzz.case import Tool


class target:
    dialect = "gemma4"

    def parse(self, text, tools):
        declared = [Tool(t["function"]["name"], None, t["function"].get("parameters")) for t in tools]
        return dialects.get("gemma4").parse(text, declared).to_openai()
"""


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["0", "2"])
def test_nothing_executed_is_not_green(folder: Path, workers: str) -> None:
    (folder / "tcfuzz.toml").write_text('targets = ["python:naive.py"]\noracles = ["content-kept"]\nshards = 1\n')
    ran = pytest_run(folder, "tcfuzz", "-n", workers)
    assert ran.code == 2
    assert "nothing was executed" in ran.out
    assert "the target cannot render" in ran.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = true", "unknown key 'colour'"),
        ("targets = [", "no valid TOML"),
        ("oracles = ['round-trp']", "did you mean round-trip?"),
        ("features = ['value:bol']", "did you mean value:bool"),
        ("targets = ['locl']", "did you mean local?"),
        ("targets = [{name = 'jinja', template = 'none.jinja'}]", "none.jinja"),
        ("targets = [{name = 'local:hermes', tools = 'none.json'}]", "none.json"),
    ],
)
def test_a_wrong_configuration_is_one_line(folder: Path, text: str, said: str) -> None:
    (folder / "tcfuzz.toml").write_text(f"{text}\nshards = 1\nmax-examples = 4\n" if "[\n" not in text else text)
    ran = pytest_run(folder, "tcfuzz", "-x")
    assert ran.code != 0
    assert said in ran.out
    assert "Traceback" not in ran.out
    assert "pytest_suite.py" not in ran.out


def test_a_broken_crasher_is_one_line(folder: Path) -> None:
    (folder / "crashers").mkdir()
    (folder / "crashers" / "broken.json").write_text("{")
    ran = pytest_run(folder, "tcfuzz", "-k", "broken")
    assert ran.code == 1
    assert "broken crasher" in ran.out
    assert "Traceback" not in ran.out
