"""Starts tcfuzz as a user does, and holds the translators that these tests put before it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAIVE = ROOT / "examples" / "naive_gemma4.py"
SHARED_TEMPLATES = ROOT.parent / "shared" / "templates"
ESCAPE = "\x1b"


@dataclass(frozen=True)
class Ran:
    """How a program ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


def environment(**changed: str) -> dict[str, str]:
    """This process's environment without what would change a program's look or its draws, and with `changed`."""
    left_out = {"CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTHONHASHSEED"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100", **changed}


def start(*arguments: str, cwd: Path, module: str = "tcfuzz", **changed: str) -> subprocess.Popen[str]:
    """A running `python -m tcfuzz ARGUMENTS`, its output line by line."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", module, *arguments],
        cwd=cwd,
        env=environment(**changed),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=_as_from_a_terminal,
    )


def _as_from_a_terminal() -> None:
    """Whoever runs the tests in the background may have told them to ignore what ends a program."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_DFL)


def run(*arguments: str, cwd: Path, module: str = "tcfuzz", timeout: float = 120, **changed: str) -> Ran:
    """`python -m tcfuzz ARGUMENTS` to its end."""
    program = start(*arguments, cwd=cwd, module=module, **changed)
    out, err = program.communicate(timeout=timeout)
    return Ran(program.returncode, out, err)


MISBEHAVING = '''
"""Hermes parsers that do something else than answer when an argument is a boolean."""

import os
import signal

from tcfuzz import dialects
from tcfuzz.case import Tool

HERMES = dialects.get("hermes")


def has_bool(value):
    if isinstance(value, (dict, list)):
        return any(map(has_bool, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bool)


class Parser:
    dialect = "hermes"

    def parse(self, text, tools):
        functions = [tool["function"] for tool in tools]
        declared = [Tool(f["name"], f.get("description"), f.get("parameters")) for f in functions]
        message = HERMES.parse(text, declared).to_openai()
        if any(has_bool(call["function"]["arguments"]) for call in message.get("tool_calls", ())):
            return self.meet(message)
        return message


class Raises(Parser):
    def meet(self, message):
        raise KeyError("boom")


class Leaves(Parser):
    def meet(self, message):
        raise SystemExit(0)


class Hangs(Parser):
    def meet(self, message):
        signal.pause()


class Exits(Parser):
    def meet(self, message):
        os._exit(3)


class Kills(Parser):
    def meet(self, message):
        os.kill(os.getpid(), signal.SIGKILL)


class Floods(Parser):
    def meet(self, message):
        return {**message, "content": "x" * (65 << 20)}


class Prints(Parser):
    def meet(self, message):
        os.write(1, b"\\x1b[31mred" * 100_000)
        raise ValueError("\\x1b[31mred\\n\\u202e")


class LosesLast(Parser):
    """Loses the last item of every array, at any depth and of any size."""

    def parse(self, text, tools):
        message = super().parse(text, tools)
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = self.cut(call["function"]["arguments"])
        return message

    def meet(self, message):
        return message

    def cut(self, value):
        if isinstance(value, dict):
            return {key: self.cut(item) for key, item in value.items()}
        return [self.cut(item) for item in value[:-1]] if isinstance(value, list) else value


class TwoBugs(Parser):
    """Two bugs behind one oracle: booleans become texts, texts lose the white space around them."""

    def parse(self, text, tools):
        message = super().parse(text, tools)
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = self.changed(call["function"]["arguments"])
        return message

    def meet(self, message):
        return message

    def changed(self, value):
        if isinstance(value, dict):
            return {key: self.changed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.changed(item) for item in value]
        if isinstance(value, bool):
            return str(value)
        return value.strip() if isinstance(value, str) else value
'''
