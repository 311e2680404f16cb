"""`tcfuzz build llama-server` from end to end, with the real pip and CMake, on a source that is built at once."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tcfuzz.targets.llama_cpp import build
from tests.llama_source import CMAKE, left, needs_compiler, release, settings
from tests.program import environment, run, start

pytestmark = needs_compiler

BROKEN = '#include <cstdio>\n#error "a mistake of ours"\nint main() {}\n'


def test_a_server_is_built_once(tmp_path: Path) -> None:
    release(tmp_path / "index", 11434, {"models/templates/one.jinja": "x"})
    variables = settings(tmp_path / "index", tmp_path)
    ran = run("build", "llama-server", cwd=tmp_path, **variables)
    program = tmp_path / "cache" / "llama.cpp" / "b11434" / "llama-server"
    assert (ran.code, ran.out.splitlines()) == (
        0, [f"build 11434 of llama-server: {program}", "next: tcfuzz target llama-cpp --template FILE.jinja"],
    )  # fmt: skip
    steps = ("fetching the source", "unpacking", "configuring", "compiling")
    assert ran.err.splitlines() == [f"llama-server b11434: {step}" for step in steps]
    # Only the program and the templates stay; it knows its number, and the flags have reached it.
    place = "cache/llama.cpp/b11434"
    assert left(tmp_path) == [
        "cache/llama.cpp", place, f"{place}/llama-server", f"{place}/templates", f"{place}/templates/one.jinja",
    ]  # fmt: skip
    assert build.version(program) == "b11434"
    said = subprocess.run([program], capture_output=True, text=True, check=True).stderr
    assert "built with native OFF, tests OFF" in said

    again = run("build", "llama-server", cwd=tmp_path, **variables)
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith(f"build 11434 of llama-server is there already: {program}\nnext: ")


def test_another_build_stands_beside_it(tmp_path: Path) -> None:
    release(tmp_path / "index", 9310)
    release(tmp_path / "index", 11434)
    variables = settings(tmp_path / "index", tmp_path)
    assert run("build", "llama-server", cwd=tmp_path, **variables).code == 0
    ran = run("build", "llama-server", "--build", "b9310", cwd=tmp_path, **variables)
    assert ran.code == 0
    assert ran.out.endswith("next: tcfuzz target llama-cpp --server-build 9310 --template FILE.jinja\n")
    programs = [tmp_path / "cache" / "llama.cpp" / name / "llama-server" for name in ("b9310", "b11434")]
    assert [build.version(program) for program in programs] == ["b9310", "b11434"]


def test_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    release(tmp_path / "index", 11434)
    ours, theirs = os.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "tcfuzz", "build", "llama-server"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs,
        env=environment(**settings(tmp_path / "index", tmp_path), TERM="xterm"),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal's end is on Linux
        while said := os.read(ours, 4096):
            shown += said
    os.close(ours)
    out, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    assert out.startswith(b"build 11434 of llama-server: ")
    assert re.search(rb"llama-server b11434: compiling \[(2/2|100%)\]", shown)


def test_a_failed_compile_names_the_last_error_and_the_log(tmp_path: Path) -> None:
    release(tmp_path / "index", 11434, {"server.cpp": BROKEN})
    variables = settings(tmp_path / "index", tmp_path)
    ran = run("build", "llama-server", cwd=tmp_path, **variables)
    line = ran.err.splitlines()[-1]
    log = tmp_path / "cache" / "llama.cpp" / "b11434.log"
    assert (ran.code, ran.out) == (3, "")
    assert line.startswith("tcfuzz: compiling llama.cpp's build 11434 failed: ")
    assert "server.cpp:2:2: error: " in line and "a mistake of ours" in line
    assert line.endswith(f"(all of it: {log})")
    assert str(tmp_path / "temporary") not in line
    assert "$ " in log.read_text("utf-8") and "a mistake of ours" in log.read_text("utf-8")
    assert left(tmp_path) == ["cache/llama.cpp", "cache/llama.cpp/b11434.log"]
    # What went wrong once is forgotten when it goes well.
    release(tmp_path / "index", 11434)
    assert run("build", "llama-server", cwd=tmp_path, **variables).code == 0
    assert not log.exists()


FAILURES = {
    "a mistake in a CMakeLists": (
        {"CMakeLists.txt": CMAKE + 'message(FATAL_ERROR "no such thing here")\n'},
        "configuring llama.cpp's build 11434 failed: CMake Error at CMakeLists.txt:8 (message): no such thing here (",
    ),
    "a full disk": (
        {"CMakeLists.txt": CMAKE + 'message(FATAL_ERROR "x.o: No space left on device")\n'},
        "No space left on device: make room in the temporary folder (",
    ),
    "a CMake that is too old": (
        {"CMakeLists.txt": "cmake_minimum_required(VERSION 99.0)\n"},
        f"this CMake is too old to build llama.cpp's build 11434 with: type {build.INSTALL}",
    ),
    "a program elsewhere": (
        {"CMakeLists.txt": CMAKE.replace("/bin)", "/elsewhere)")},
        "compiling llama.cpp's build 11434 failed: it made no bin/llama-server (all",
    ),
    "a program that is another": (
        {"server.cpp": "#include <cstdio>\nint main() { std::puts(\"hello\"); }\n"},
        "is no llama-server: to --version it says: hello (all",
    ),
    "undefined references": (
        {"server.cpp": "int other(); int main() { return other(); }\n"}, "undefined reference to",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_whatever_goes_wrong_is_one_line_more_than_the_steps(name: str, tmp_path: Path) -> None:
    files, said = FAILURES[name]
    release(tmp_path / "index", 11434, files)
    ran = run("build", "llama-server", cwd=tmp_path, **settings(tmp_path / "index", tmp_path))
    *steps, line = ran.err.splitlines()
    assert (ran.code, ran.out) == (3, "")
    assert all(step.startswith("llama-server b11434: ") for step in steps)
    assert said in line and line.startswith("tcfuzz: ")
    assert not any(name.startswith("temporary") or name.endswith("llama-server") for name in left(tmp_path))


@pytest.mark.parametrize("compiler", ["CC", "CXX"])
def test_no_compiler_is_one_line(compiler: str, tmp_path: Path) -> None:
    release(tmp_path / "index", 11434)
    variables = settings(tmp_path / "index", tmp_path)
    ran = run("build", "llama-server", cwd=tmp_path, **variables, **{compiler: "no-such-compiler"})
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == (
        "tcfuzz: no C++ compiler: install g++ or clang, then tcfuzz build llama-server"
    )  # fmt: skip
    assert left(tmp_path) == []


BUILDS_FOR_EVER = """
cmake_minimum_required(VERSION 3.14)
project(stand-in NONE)
file(WRITE ${CMAKE_BINARY_DIR}/wait.sh "exec 3> '@HERE@/alive'; echo started >&3; read never < '@HERE@/never'")
add_custom_target(llama-server COMMAND sh ${CMAKE_BINARY_DIR}/wait.sh)
"""


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_build_that_is_ended_leaves_nothing(sign: int, code: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    os.mkfifo(tmp_path / "never")
    release(tmp_path / "index", 11434, {"CMakeLists.txt": BUILDS_FOR_EVER.replace("@HERE@", str(tmp_path))})
    variables = settings(tmp_path / "index", tmp_path)
    program = start("build", "llama-server", cwd=tmp_path, **variables)
    with (tmp_path / "alive").open() as alive:
        assert alive.readline() == "started\n"
        program.send_signal(sign)
        # The pipe ends when nobody is left that could write into it.
        assert alive.read() == ""
    _, err = program.communicate(timeout=60)
    assert program.returncode == code
    assert "Traceback" not in err
    assert err.endswith("tcfuzz: interrupted\n") is (sign == signal.SIGINT)
    assert left(tmp_path) == []
