"""Campaigns against the published chat templates of real models: what they declare to be limits is no finding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tcfuzz import crashers
from tcfuzz.cli import main
from tests import program
from tests.program import SHARED_TEMPLATES

TEMPLATES = {
    "hermes": "Qwen-Qwen2.5-7B-Instruct.jinja",
    "qwen3": "Qwen-Qwen3-0.6B.jinja",
    "qwen3-coder": "Qwen3-Coder.jinja",
    "gemma4": "gemma4_e2b_chat_template.jinja",
    "llama3.1": "meta-llama-Llama-3.1-8B-Instruct.jinja",
    "mistral-nemo": "mistralai-Mistral-Nemo-Instruct-2407.jinja",
    "deepseek-v3.1": "deepseek-ai-DeepSeek-V3.1.jinja",
}
"""A dialect to the file of the template that it is written after. No published template serves `chatml`; that of
`llama4` is not among the files."""
each = pytest.mark.parametrize(("dialect", "file"), TEMPLATES.items(), ids=list(TEMPLATES))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def template(folder: Path, file: str) -> str:
    """A copy of a template below the folder, so that its name is the same everywhere."""
    path = SHARED_TEMPLATES / file
    if not path.is_file():
        pytest.skip(f"the real chat template {file} is not here (../shared/templates)")
    (folder / file).write_bytes(path.read_bytes())
    return file


@each
def test_a_real_template_is_green(dialect: str, file: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["target", "jinja", "--template", template(folder, file), "--max-examples", "150", "--json", "report.json"]
    code = main(typed)
    assert (code, capsys.readouterr()[1]) == (0, ""), (folder / "report.json").read_text()
    report = json.loads((folder / "report.json").read_text())
    assert report["dialect"] == dialect
    assert (report["cases"], report["findings"], report["unknowns"]) == (150, [], {})
    assert report["oracles"]["round-trip"]["pass"] > 50
    assert report["oracles"]["content-kept"]["pass"] > 50


@each
def test_a_template_is_identical_to_itself(dialect: str, file: str, folder: Path) -> None:
    name = template(folder, file)
    typed = ["target", "jinja", "--template", name, "--reference", name, "--oracle", "reference-identical"]
    assert main([*typed, "--max-examples", "60", "--json", "report.json"]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["oracles"]["reference-identical"]["pass"] > 30


@each
def test_a_planted_difference_is_found_and_replayed(
    dialect: str, file: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = template(folder, file)
    text = (folder / name).read_text("utf-8")
    (folder / "changed.jinja").write_text(f"{text}{{{{ '!' if tools }}}}", "utf-8")
    typed = ["target", "jinja", "--template", "changed.jinja", "--dialect", dialect]
    only = ["--reference", name, "--oracle", "reference-identical", "--max-examples", "30"]
    assert main([*typed, *only, "--json", "report.json"]) == 1
    report = json.loads((folder / "report.json").read_text())
    assert {(found["oracle"], found["blame"]) for found in report["findings"]} == {("reference-identical", "renderer")}
    # A crasher brings its reference along, also where the next run names none.
    assert main(["replay", "crashers"]) == 0
    assert main([*typed, *only]) == 0
    assert crashers.read(Path(report["findings"][0]["crasher"])).target.arguments["reference"] == name
    capsys.readouterr()
    (folder / name).unlink()
    assert main(["replay", "crashers"]) == 2
    assert f"cannot read the chat template {name}" in capsys.readouterr().out


def test_a_template_that_trims_results_is_found(folder: Path) -> None:
    name = template(folder, TEMPLATES["hermes"])
    text = (folder / name).read_text("utf-8")
    changed = text.replace("{{- message.content }}", "{{- message.content | trim }}")
    assert changed != text
    (folder / "trims.jinja").write_text(changed, "utf-8")
    typed = ["target", "jinja", "--template", "trims.jinja", "--oracle", "content-kept"]
    typed += ["--feature", "history:tool-results", "--feature", "text:outer-whitespace", "--max-examples", "200"]
    assert main([*typed, "--json", "report.json"]) == 1
    found = json.loads((folder / "report.json").read_text())["findings"]
    assert {(f["oracle"], f["blame"]) for f in found} == {("content-kept", "renderer")}
    assert [f["features"] for f in found] == [["history:tool-results", "text:outer-whitespace"]]


SKIPS = """
import pytest


def test_wants_data():
    pytest.skip("the data is not here (../shared/templates)")


def test_skips_for_another_reason():
    pytest.skip("not on this system")
"""


@pytest.mark.parametrize(("wanted", "outcome"), [("", "2 skipped"), ("1", "1 failed, 1 skipped")])
def test_a_skip_for_want_of_data_fails_where_it_must_be_there(tmp_path: Path, wanted: str, outcome: str) -> None:
    (tmp_path / "conftest.py").write_bytes((program.ROOT / "tests" / "conftest.py").read_bytes())
    (tmp_path / "test_skips.py").write_text(SKIPS)
    typed = ("-q", "-p", "no:cacheprovider", "test_skips.py")
    ran = program.run(*typed, module="pytest", cwd=tmp_path, TCFUZZ_REQUIRE_SHARED=wanted)
    assert outcome in ran.out
