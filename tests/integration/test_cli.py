"""The command line as a user meets it: exit codes, one line for wrong usage, reports, what reaches the terminal."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tcfuzz import crashers, dialects, oracles, strategies
from tcfuzz.cli import main
from tcfuzz.targets.llama_cpp import build
from tests import program
from tests.program import Ran

Cli = Callable[..., Ran]
NASTY = "\x1b[31m\r\u202e\x9b2J\x07"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process, in a folder of its own with a few translators and broken files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(program.MISBEHAVING)
    (tmp_path / "naive.py").write_bytes(program.NAIVE.read_bytes())
    (tmp_path / "broken.jinja").write_text("{% if %}")
    (tmp_path / "unknown.jinja").write_text("hello {{ messages[0].content }}")
    (tmp_path / "no.json").write_text("not json")
    (tmp_path / "later.json").write_text('{"format": "tcfuzz-crasher", "version": 99}')
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "empty").mkdir()

    def run(*arguments: str) -> Ran:
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ran(code, *capsys.readouterr())

    return run


def one_line(ran: Ran) -> str:
    """The line that wrong usage is answered with."""
    assert ran.code == 2, ran
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.startswith("tcfuzz: ")
    assert program.ESCAPE not in ran.err
    return ran.err


# -- wrong usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "COMMAND"),
        ("nonsense", "nonsense"),
        ("target", "NAME"),
        ("target locl", "did you mean local?"),
        ("target local:hermess", "did you mean hermes"),
        ("target local --dialect hermess", "did you mean hermes"),
        ("target local:hermes --dialect qwen3", "contradict"),
        ("target local:hermes --oracle round-trp", "did you mean round-trip?"),
        ("target local:hermes --feature value:bol", "did you mean value:bool"),
        ("target local:hermes --template unknown.jinja", "--template goes with jinja"),
        ("target local:hermes --bogus", "--bogus"),
        ("target local:hermes --shard 5/4", "no shard"),
        ("target local:hermes --shard 0/4", "no shard"),
        ("target local:hermes --shard x", "no shard"),
        ("target local:hermes --max-time soon", "no duration"),
        ("target local:hermes --max-time 0", "no duration"),
        ("target local:hermes --max-examples 0", "no number from 1 on"),
        ("target local:hermes --max-examples many", "no number from 1 on"),
        ("target local:hermes --seed x", "--seed"),
        ("target local:hermes --timeout -1", "--timeout"),
        ("target local:hermes --reference none.jinja", "none.jinja"),
        ("target local:hermes --reference broken.jinja", "broken.jinja:1"),
        ("target local:hermes --tools none.json", "none.json"),
        ("target local:hermes --tools no.json", "no JSON"),
        ("target local:hermes --tools other.json", "holds no tools"),
        ("target local:hermes --crashers no.json", "no folder"),
        ("target local:hermes --json none/report.json", "none/report.json"),
        ("target local:hermes --junit empty", "empty"),
        ("target jinja", "needs a template"),
        ("target jinja --template none.jinja", "none.jinja"),
        ("target jinja --template broken.jinja", "broken.jinja:1"),
        ("target jinja --template unknown.jinja", "--dialect"),
        ("target jinja --template empty", "empty"),
        ("target python:", "names no file"),
        ("target python:none.py", "there is no file none.py"),
        ("target python:naive.py:nothing", ":Gemma4Parser"),
        ("target python:no_such_module", "no_such_module"),
        ("target python:naive.py --dialect gema4", "did you mean gemma4"),
        ("replay", "PATH"),
        ("replay none", "none"),
        ("replay empty", "no crashers there"),
        ("replay no.json", "broken crasher"),
        ("replay later.json", "version 99"),
        ("replay other.json", "no crasher"),
        ("show", "CRASHER"),
        ("show none.json", "none.json"),
        ("show no.json", "broken crasher"),
        ("show later.json", "version 99"),
        ("show empty", "empty"),
        ("list", "WHAT"),
        ("list oracls", "oracls"),
        ("doctor now", "now"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, typed: str, said: str) -> None:
    ran = cli(*typed.split())
    assert said in one_line(ran)
    assert ran.out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("targets = [", "no valid TOML"),
        ("colour = true", "unknown key 'colour'"),
        ("max-example = 3", "did you mean 'max-examples'?"),
        ("max-time = 'soon'", "max-time must be a duration"),
        ("targets = []", "targets must be"),
        ("oracles = ['round-trp']", "did you mean round-trip?"),
        ("features = ['value:bol']", "did you mean value:bool"),
    ],
)
def test_a_wrong_configuration_is_one_line(cli: Cli, text: str, said: str) -> None:
    Path("tcfuzz.toml").write_text(text)
    assert said in one_line(cli("target", "local:hermes"))


def test_an_unreadable_configuration_is_one_line(cli: Cli) -> None:
    Path("tcfuzz.toml").write_bytes(b"\xff\xfe\x00")
    assert "tcfuzz.toml" in one_line(cli("target", "local:hermes"))
    Path("tcfuzz.toml").unlink()
    Path("tcfuzz.toml").mkdir()
    assert "tcfuzz.toml" in one_line(cli("target", "local:hermes"))


def tool_file(shape: str, schema: dict[str, Any], name: str = "act") -> str:
    """A file with one tool, in OpenAI's or MCP's shape; its path."""
    openai = [{"type": "function", "function": {"name": name, "description": "Acts.", "parameters": schema}}]
    mcp = {"tools": [{"name": name, "description": "Acts.", "inputSchema": schema}]}
    Path("tools.json").write_text(json.dumps(openai if shape == "openai" else mcp))
    return "tools.json"


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize("shape", ["openai", "mcp"])
@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (an_object(a={"type": "array", "prefixItems": [{}]}), "prefixItems"),
        (an_object(a={"$ref": "#/$defs/none"}), "$ref"),
        (an_object(a={"enum": []}), "no arguments satisfy its schema"),
        (an_object(a=False), "no arguments satisfy its schema"),
        (an_object(a={"type": "integer", "minimum": 3, "maximum": 2}), "no arguments satisfy its schema"),
        ({"type": "string"}, "tools take an object"),
        (an_object(a={"type": "nothing"}), "no JSON schema"),
    ],
)
def test_tools_that_cannot_serve_are_said_by_name(cli: Cli, shape: str, schema: dict[str, Any], said: str) -> None:
    line = one_line(cli("target", "local:hermes", "--tools", tool_file(shape, schema)))
    assert said in line
    assert "'act'" in line


def test_nothing_tested_is_not_green(cli: Cli) -> None:
    few = ("--max-examples", "20")
    line = one_line(cli("target", "python:naive.py", "--oracle", "content-kept", *few))
    assert "nothing was tested" in line
    assert "the target cannot render" in line
    line = one_line(cli("target", "local:chatml", "--feature", "value:bool", *few))
    assert "it can take no case with these features" in line
    # Where a command covers several dialects, one that a feature means nothing to is none.
    assert cli("target", "local", "--feature", "value:bool", *few).code == 0


def test_a_parser_without_a_dialect_is_told_to_name_one(cli: Cli) -> None:
    Path("plain.py").write_text(
        "class target:\n    def parse(self, text, tools):\n        return {'role': 'assistant', 'content': text}\n"
    )
    assert "--dialect" in one_line(cli("target", "python:plain.py", "--max-examples", "30"))


# -- what there is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "target", "replay", "show", "list", "doctor"])
def test_help(cli: Cli, command: str) -> None:
    ran = cli(*command.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "usage: tcfuzz" in ran.out


def test_the_version(cli: Cli) -> None:
    assert re.fullmatch(r"tcfuzz \d+\.\d+\.\d+\n", cli("--version").out)


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("targets", ("local", "jinja", "python", "ollama", "llama-cpp")),
        ("dialects", dialects.names()),
        ("oracles", oracles.names()),
        ("features", strategies.registry.names()),
    ],
)
def test_list_is_a_line_a_thing(cli: Cli, what: str, names: tuple[str, ...]) -> None:
    ran = cli("list", what)
    assert (ran.code, ran.err) == (0, "")
    assert tuple(line.split("\t")[0] for line in ran.out.splitlines()) == names
    assert all(line.split("\t")[-1].strip() for line in ran.out.splitlines())


def test_doctor(cli: Cli) -> None:
    ran = cli("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split("\t")[:2] for line in ran.out.splitlines()] == [
        ["local", "ready"],
        ["jinja", "ready"],
        ["python", "ready"],
        ["ollama", "ready"],
        ["llama-cpp", "ready" if build.missing() is None else "missing"],
    ]


# -- results -----------------------------------------------------------------------------------------------------------

KEYS = ("tcfuzz", "target", "version", "dialect", "seed", "cases", "checks", "seconds", "oracles", "findings")
FINDING_KEYS = ("id", "fingerprint", "oracle", "blame", "severity", "kind", "features", "count", "crasher")
BOOLEANS = ("--feature", "value:bool", "--oracle", "round-trip", "--oracle", "accepts", "--max-examples", "40")


def report(path: str = "report.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text("ascii"))
    return found


def test_json_of_one_target(cli: Cli) -> None:
    assert cli("target", "python:naive.py", *BOOLEANS, "--seed", "7", "--json", "report.json").code == 1
    shape = report()
    assert tuple(shape)[: len(KEYS)] == KEYS
    assert (shape["target"], shape["dialect"], shape["seed"]) == ("python:naive.py", "gemma4", 7)
    assert set(shape["oracles"]) == {"round-trip", "accepts"}
    for tally in shape["oracles"].values():
        assert tuple(tally) == ("pass", "fail", "unknown", "not_applicable")
        assert sum(tally.values()) == shape["cases"] == 40
    (found,) = shape["findings"]
    assert tuple(found)[: len(FINDING_KEYS)] == FINDING_KEYS
    assert (found["oracle"], found["blame"], found["severity"]) == ("round-trip", "parser", "must")
    assert found["id"].endswith(found["fingerprint"])
    assert Path(found["crasher"]).is_file()


def test_json_of_several_targets(cli: Cli) -> None:
    assert cli("target", "local", "--max-examples", "10", "--json", "report.json").code == 0
    assert [shape["dialect"] for shape in report()["targets"]] == list(dialects.names())
    assert all(tuple(shape)[: len(KEYS)] == KEYS for shape in report()["targets"])


def test_a_green_run_leaves_no_folder(cli: Cli) -> None:
    assert cli("target", "local:hermes", "--max-examples", "10").code == 0
    assert not Path("crashers").exists()


def test_junit(cli: Cli) -> None:
    assert cli("target", "python:bad.py:Prints", *BOOLEANS, "--junit", "report.xml").code == 1
    root = ElementTree.parse("report.xml").getroot()
    assert (root.tag, root.get("failures"), root.get("errors")) == ("testsuites", "1", "0")
    (failure,) = root.iter("failure")
    assert "replay    tcfuzz replay" in str(failure.text)
    assert {case.get("name") for case in root.iter("testcase")} == {"round-trip", "accepts"}


@pytest.mark.parametrize("shape", ["openai", "mcp"])
def test_own_tools_find_a_parsers_bug(cli: Cli, shape: str) -> None:
    schema = an_object(loud={"type": "boolean"}, words={"type": "string"})
    typed = ("--tools", tool_file(shape, schema), "--oracle", "round-trip", "--max-examples", "150")
    assert cli("target", "python:naive.py", *typed, "--json", "report.json").code == 1
    by_features = {tuple(found["features"]): found for found in report()["findings"]}
    crasher = crashers.read(Path(by_features["value:bool",]["crasher"]))
    assert crasher.case.reply is not None
    assert {call.name for call in crasher.case.reply.tool_calls} == {"act"}
    assert [tool.name for tool in crasher.case.tools] == ["act"]
    assert cli("replay", "crashers").code == 0


def test_own_tools_are_fine_where_nothing_is_wrong(cli: Cli) -> None:
    schema = an_object(loud={"type": "boolean"}, list={"type": "array", "items": {"type": "string"}, "maxItems": 3})
    ran = cli("target", "local:gemma4", "--tools", tool_file("mcp", schema), "--max-examples", "60")
    assert (ran.code, ran.err) == (0, "")


def test_show_every_crasher(cli: Cli) -> None:
    assert cli("target", "python:naive.py", "--oracle", "round-trip", "--max-examples", "300").code == 1
    files = crashers.find([Path("crashers")])
    assert len(files) > 4
    for file in files:
        ran = cli("show", str(file))
        assert (ran.code, ran.err) == (0, "")
        assert crashers.read(file).id in ran.out
        assert "expected" in ran.out


def test_shards_draw_other_cases(cli: Cli) -> None:
    seen = []
    for shard in ("1/3", "2/3", "3/3"):
        assert (
            cli("target", "local:hermes", "--shard", shard, "--max-examples", "90", "--json", "report.json").code == 0
        )
        assert report()["cases"] == 30
        seen.append(set(report()["table"]))
    assert not seen[0] & seen[1] and not seen[1] & seen[2]


def test_the_time_bounds_the_whole_command(cli: Cli) -> None:
    assert cli("target", "local", "--max-time", "10s", "--json", "report.json").code == 0
    assert sum(shape["seconds"] for shape in report()["targets"]) < 18
    assert len(report()["targets"]) == len(dialects.names())


def test_the_configuration_of_the_folder_holds(cli: Cli) -> None:
    Path("tcfuzz.toml").write_text(
        'crashers = "kept"\nmax-examples = 30\noracles = ["round-trip"]\n'
        'targets = [{name = "python:naive.py", features = ["value:bool"]}]\n'
    )
    assert cli("target", "python:naive.py", "--json", "report.json").code == 1
    assert (report()["cases"], set(report()["oracles"])) == (30, {"round-trip"})
    assert report()["findings"][0]["crasher"].startswith("kept/")
    # What is typed goes before it.
    assert cli("target", "python:naive.py", "--max-examples", "12", "--json", "report.json").code == 0
    assert report()["cases"] == 12


# -- the terminal ------------------------------------------------------------------------------------------------------


def controls(text: str) -> set[str]:
    """What a terminal would obey instead of show."""
    return set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", text))


@pytest.mark.parametrize("changed", [{}, {"NO_COLOR": "1"}, {"COLUMNS": "40"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_a_pipe_gets_plain_text(tmp_path: Path, changed: dict[str, str]) -> None:
    (tmp_path / "naive.py").write_bytes(program.NAIVE.read_bytes())
    ran = program.run("target", "python:naive.py", *BOOLEANS, cwd=tmp_path, **changed)
    assert (ran.code, ran.err) == (1, "")
    assert controls(ran.out) == set()
    assert "FAIL" in ran.out


def test_nasty_input_never_reaches_the_terminal_raw(cli: Cli) -> None:
    features = [f"text:{name}" for name in ("control", "rtl", "surrogate", "line-separator", "zero-width")]
    Path("cut.py").write_text(
        "class target:\n    dialect = 'hermes'\n"
        "    def parse(self, text, tools):\n"
        "        return {'role': 'assistant', 'content': text[:-1]}\n"
    )
    typed = [word for feature in features for word in ("--feature", feature)]
    ran = cli("target", "python:cut.py", *typed, "--max-examples", "150")
    assert ran.code == 1
    assert controls(ran.out + ran.err) == set()
    for file in crashers.find([Path("crashers")]):
        assert controls(cli("show", str(file)).out) == set()


@pytest.mark.parametrize(
    "typed",
    [("target", NASTY), ("target", f"python:{NASTY}.py"), ("replay", NASTY), ("show", NASTY), (NASTY,),
     ("target", "local", "--dialect", NASTY), ("target", "local", "--seed", NASTY), ("list", NASTY),
     ("target", "local", "--tools", NASTY), ("target", "jinja", "--template", NASTY)],
    ids=lambda typed: typed[0] if typed[0] != NASTY else "command",
)  # fmt: skip
def test_nasty_arguments_are_made_visible(cli: Cli, typed: tuple[str, ...]) -> None:
    assert controls(one_line(cli(*typed))) == set()


def test_nasty_errors_of_a_target_are_one_visible_line(cli: Cli) -> None:
    Path("nasty.py").write_text(f"raise ValueError({NASTY!r} + '\\nsecond line')")
    assert controls(one_line(cli("target", "python:nasty.py"))) == set()


def test_nasty_file_names_can_be_replayed_and_shown(cli: Cli) -> None:
    assert cli("target", "python:naive.py", *BOOLEANS).code == 1
    (file,) = crashers.find([Path("crashers")])
    renamed = file.rename(file.with_name(f"{NASTY}é.json"))
    for ran in (cli("replay", "crashers"), cli("show", str(renamed))):
        assert (ran.code, ran.err) == (0, "")
        assert controls(ran.out) == set()


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    with program.start("list", "features", cwd=tmp_path) as listing:
        assert listing.stdout is not None and listing.stderr is not None
        listing.stdout.readline()
        listing.stdout.close()
        assert "Traceback" not in listing.stderr.read()


def test_what_is_known_of_a_target_without_a_dialect_is_known(cli: Cli) -> None:
    Path("plain.py").write_text(
        "class target:\n"
        "    def render(self, messages, tools, *, add_generation_prompt):\n"
        "        return str([m.get('tool_calls') for m in messages])\n"
    )
    typed = ("target", "python:plain.py", "--feature", "history:tool-results", "--oracle", "arguments-as-string")
    assert cli(*typed, "--max-examples", "20", "--json", "report.json").code == 1
    (found,) = report()["findings"]
    (file,) = crashers.find([Path("crashers")])
    assert crashers.read(file).fingerprint.digest() == found["fingerprint"]
    assert cli("replay", "crashers").code == 0
    assert cli(*typed, "--max-examples", "20").code == 0


# -- crashers of other times -------------------------------------------------------------------------------------------


def test_a_crasher_of_an_unknown_oracle_is_one_line(cli: Cli) -> None:
    assert cli("target", "python:naive.py", *BOOLEANS).code == 1
    (file,) = crashers.find([Path("crashers")])
    file.write_text(file.read_text().replace('"id": "round-trip"', '"id": "round-trap"'))
    assert "unknown oracle 'round-trap'" in one_line(cli("replay", "crashers"))


def test_a_crasher_that_somebody_broke_is_left_as_it_is(cli: Cli) -> None:
    assert cli("target", "python:naive.py", *BOOLEANS).code == 1
    (file,) = crashers.find([Path("crashers")])
    file.write_text(file.read_text()[:-20])
    before = file.read_bytes()
    assert "broken crasher" in one_line(cli("target", "python:naive.py", *BOOLEANS))
    assert file.read_bytes() == before


def test_an_unavailable_target_is_exit_code_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("target", "python:naive.py", *BOOLEANS).code == 1

    def fails(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("tcfuzz.targets.python.subprocess.Popen", fails)
    ran = cli("target", "python:naive.py", *BOOLEANS)
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "cannot start a process" in ran.err
    ran = cli("replay", "crashers")
    assert ran.code == 3
    assert "SKIPPED" in ran.out
