"""`python:` targets: real little target files, each of which does one thing wrong (or right)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tcfuzz.case import Message, Tool, ToolCall
from tcfuzz.errors import TargetFailure, TargetUnavailable, UsageError
from tcfuzz.targets import resolve
from tcfuzz.targets.python import PythonTarget, split_spec

Make = Callable[..., PythonTarget]

ECHO = """
    class Echo:
        def __init__(self):
            self.calls = 0

        def render(self, messages, tools, *, add_generation_prompt, **options):
            return repr((messages, tools, add_generation_prompt, options))

        def parse(self, text, tools):
            self.calls += 1
            return {"content": text, "tool_calls": [{"function": {"name": "f", "arguments": t}} for t in tools]}

        def stream(self, tools):
            return Stream()

    class Stream:
        def feed(self, chunk):
            return [{"content": chunk}]

        def finish(self):
            return []

    target = Echo
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a target of a source text; closes it at the end and sees that its process is gone."""
    made: list[PythonTarget] = []

    def maker(source: str, name: str = "", **parameters: object) -> PythonTarget:
        file = tmp_path / "mine.py"
        file.write_text(textwrap.dedent(source), "utf-8", errors="surrogatepass")
        target = PythonTarget(f"python:{file}{name}", **parameters)  # type: ignore[arg-type]
        made.append(target)
        return target

    yield maker
    pids = [pid_of(target) for target in made]
    for target in made:
        target.close()
    assert not [pid for pid in pids if pid and alive(pid)]


def pid_of(target: PythonTarget) -> int | None:
    process = target._worker._process
    return process._popen.pid if process else None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or ") Z " not in Path(f"/proc/{pid}/stat").read_text()


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return not alive(pid)


def failure(function: Callable[[], object]) -> TargetFailure:
    with pytest.raises(TargetFailure) as caught:
        function()
    return caught.value


# -- what goes through -------------------------------------------------------------------------------------------------


def test_what_a_target_can_do_is_told(make: Make) -> None:
    target = make(ECHO, dialect="hermes")
    assert target.capabilities == {"render", "parse", "stream"}
    assert target.options is None
    assert target.dialect is not None and target.dialect.name == target.model == "hermes"
    assert len(target.version) == 12
    assert target.utf8 and not target.is_template


NASTY = ["\ud83d", "\ud83d\ude00", "\ude00\ud83d", "\x00\x1b", "😀", "\u2028", "", "~int"]


@pytest.mark.parametrize("text", NASTY)
def test_strings_go_through_unaltered(make: Make, text: str) -> None:
    target = make(ECHO)
    message = target.parse(text, [])
    assert message.content == text and len(message.content or "") == len(text)
    assert target.stream([text, text], []) == [[{"content": text}], [{"content": text}], []]


def test_values_go_through_unaltered(make: Make) -> None:
    schema = {"z": [-0.0, 1.0, 10**400, 5e-324, True, None], "a": {"": {}}, "\ud800": 1}
    target = make(ECHO)
    arguments = target.parse("", [Tool("f", parameters=schema)]).tool_calls[0].arguments
    assert repr(arguments) == repr({"type": "function", "function": {"name": "f", "parameters": schema}})


def test_render_gets_openai_dicts(make: Make) -> None:
    history = [Message("assistant", None, tool_calls=(ToolCall("f", {"b": 1, "a": 2}, "c1"),))]
    target = make(ECHO)
    shown = target.render(history, [], add_generation_prompt=False, options={"enable_thinking": True})
    assert shown == repr(([m.to_openai() for m in history], [], False, {"enable_thinking": True}))
    assert """'{"b": 1, "a": 2}'""" in target.render(history, [], arguments_as_string=True)


def test_an_answer_of_a_megabyte_comes_whole(make: Make) -> None:
    text = "é" * 1_000_000
    assert make(ECHO).parse(text, []).content == text


def test_subclasses_of_plain_types_are_read_as_plain(make: Make) -> None:
    target = make("""
        import collections, enum
        class Text(str):
            def __str__(self):
                return "wrong"
        class Level(enum.IntEnum):
            LOW = 1
        class target:
            def parse(self, text, tools):
                arguments = collections.OrderedDict(z=Level.LOW, a=Text("right"), t=(1, 2))
                return {"content": Text("right"), "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    """)
    message = target.parse("", [])
    assert message.content == "right"
    assert repr(message.tool_calls[0].arguments) == "{'z': 1, 'a': 'right', 't': [1, 2]}"


def test_what_a_target_prints_disturbs_nothing(make: Make) -> None:
    target = make("""
        import os, sys
        print("at import")
        class target:
            def parse(self, text, tools):
                print("x" * 300_000, "\\ud800")
                os.write(2, b"y" * 300_000)
                return {"content": text}
    """)
    assert [target.parse(text, []).content for text in "abc"] == ["a", "b", "c"]


# -- what a target is --------------------------------------------------------------------------------------------------

FORMS = {
    "object": "class T:\n    def parse(self, text, tools): return {}\ntarget = T()",
    "class": "class target:\n    def parse(self, text, tools): return {}",
    "function": "class T:\n    def parse(self, text, tools): return {}\ndef target(): return T()",
    "namespace": "class target:\n    @staticmethod\n    def parse(text, tools): return {}",
    "dataclass": (
        "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass target:\n"
        "    n: int = 0\n    def parse(self, text, tools): return {}"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_target(make: Make, form: str) -> None:
    assert make(FORMS[form]).parse("", []) == Message("assistant")


def test_a_name_may_be_given(make: Make) -> None:
    source = (
        "class Space:\n    class Inner:\n        dialect = 'gemma4'\n        def parse(self, text, tools): return {}"
    )
    target = make(source, ":Space.Inner")
    assert target.capabilities == {"parse"}
    assert target.dialect is not None and target.dialect.name == "gemma4"


def test_options_are_the_keywords_of_render(make: Make) -> None:
    target = make("""
        class target:
            def render(self, messages, tools, *, add_generation_prompt, enable_thinking=True, date=""):
                return f"{enable_thinking}{date}"
    """)
    assert target.options == {"enable_thinking", "date"}
    assert target.render([], [], options={"enable_thinking": False}) == "False"


def test_a_file_beside_it_can_be_imported(make: Make, tmp_path: Path) -> None:
    (tmp_path / "helper_of_mine.py").write_text("ANSWER = 'helped'")
    source = (
        "import helper_of_mine\nclass target:\n    def parse(self, t, o): return {'content': helper_of_mine.ANSWER}"
    )
    assert make(source).parse("", []).content == "helped"


def test_a_module_is_found_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "__init__.py").touch()
    (tmp_path / "package_of_mine" / "reader.py").write_text(FORMS["class"])
    monkeypatch.chdir(tmp_path)
    (target,) = resolve("python:package_of_mine.reader")
    try:
        assert target.name == "python:package_of_mine.reader"
        assert target.capabilities == {"parse"}
    finally:
        target.close()


def test_an_edited_file_is_read_anew(make: Make) -> None:
    sources = [f"class target:\n    def parse(self, t, o): return {{'content': '{word}'}}" for word in ("one", "two")]
    first, second = make(sources[0]), make(sources[1])
    assert (first.parse("", []).content, second.parse("", []).content) == ("one", "two")
    assert first.version != second.version


WRONG = {
    "no such name": ("other = 1", "it has no 'target' (it defines nothing)"),
    "another name": ("class Mine:\n    def parse(self, t, o): return {}", "name the target, as in :Mine"),
    "no ability": ("target = 5", "is a int without render, parse or stream"),
    "no default": ("class target:\n    def __init__(self, model): pass", "cannot be called without arguments"),
    "raises": ("class target:\n    def __init__(self): raise OSError('no model\\nat all')", "OSError: no model"),
    "exits": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "syntax": ("class target:\n  def", "SyntaxError"),
    "import": ("import not_a_module_at_all", "No module named 'not_a_module_at_all' (line 1)"),
    "parse": ("class target:\n    def parse(self, text): return {}", "write parse(text, tools)"),
    "stream": ("class target:\n    def stream(self): return {}", "write stream(tools)"),
    "render": ("class target:\n    def render(self, messages, tools): return ''", "add_generation_prompt, **options)"),
    "async": ("class target:\n    async def parse(self, text, tools): return {}", "parse is async"),
    "dialect": ("class target:\n    dialect = 'gemma5'\n    def parse(self, t, o): return {}", "did you mean gemma4"),
    "dialect type": (
        "class target:\n    dialect = 5\n    def parse(self, t, o): return {}",
        "its dialect is of type int",
    ),
    "death": ("import os\nos.write(2, b'out of luck')\nos._exit(7)", "ended the process (exit 7) out of luck"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_usage_is_one_line(make: Make, wrong: str) -> None:
    source, expected = WRONG[wrong]
    with pytest.raises(UsageError) as caught:
        make(source)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("python:not_there.py", "there is no file not_there.py"),
        ("python:not_there.py:Name", "there is no file not_there.py"),
        ("python:not_there_at_all", "there is no module 'not_there_at_all'"),
        ("python:", "names no file"),
        ("python::Name", "names no file"),
    ],
)
def test_what_is_not_there_is_one_line(spec: str, expected: str) -> None:
    with pytest.raises(UsageError, match=r".*" + expected):
        resolve(spec)


def test_a_spec_names_a_file_or_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b.py").touch()
    assert split_spec("python:a:b.py") == (str(tmp_path / "a:b.py"), "target")
    assert split_spec("python:a:b.py:T.x") == (str(tmp_path / "a:b.py"), "T.x")
    assert split_spec("python:pkg.mod:T") == ("pkg.mod", "T")
    assert split_spec("python:pkg.mod") == ("pkg.mod", "target")


# -- failures ----------------------------------------------------------------------------------------------------------

FAILING = """
    import os, re, signal, sys, time
    class target:
        def parse(self, text, tools):
            if text == "ok":
                return {"content": "fine"}
            if text == "loop":
                while True: pass
            if text == "regex":
                re.match(r"(a+)+$", "a" * 60 + "b")
            if text == "raise":
                raise ValueError("bad\\nthing")
            if text == "address":
                raise ValueError(f"at {object()!r}")
            if text == "recursion":
                return self.parse(text, tools)
            if text == "exit":
                sys.exit(4)
            if text == "quit":
                print("last words", file=sys.stderr, flush=True)
                os._exit(3)
            if text == "kill":
                os.kill(os.getpid(), signal.SIGSEGV)
            if text == "flood":
                return {"content": "x" * (70 << 20)}
            if text == "memory":
                return {"content": [0] * (1 << 40)}
            if text == "fds":
                os.closerange(3, 256)
                return {}
            if text == "interrupt":
                raise KeyboardInterrupt
            if text == "object":
                return {"content": "x", "tool_calls": [{"function": {"name": "f", "arguments": {"a": object()}}}]}
            if text == "cycle":
                made = []
                made.append(made)
                return made
            if text == "list":
                return [1]
"""

FAILURES = {
    "loop": ("hung", "timeout", "no answer within 0.3 s"),
    "regex": ("hung", "timeout", "no answer within 0.3 s"),
    "raise": ("raised", "ValueError", "bad"),
    "address": ("raised", "ValueError", "at <object object at 0x…>"),
    "recursion": ("raised", "RecursionError", ""),
    "exit": ("raised", "SystemExit", "4"),
    "quit": ("died", "exit 3", "last words"),
    "kill": ("died", "SIGSEGV", ""),
    "fds": ("died", "exit 1", None),
    "interrupt": ("raised", "KeyboardInterrupt", ""),
    "memory": ("flooded", "memory", "took more than 4 GiB of memory"),
    "object": ("malformed", "parse", None),
    "cycle": ("malformed", "parse", None),
    "list": ("malformed", "message", "the message is of type list, not an object with content and tool_calls"),
    "none": ("malformed", "message", "the message is missing, not an object with content and tool_calls"),
}


@pytest.mark.parametrize("text", FAILURES)
def test_a_failure_is_told_and_the_next_call_works(make: Make, text: str) -> None:
    target = make(FAILING, timeout=0.3 if FAILURES[text][0] == "hung" else 20.0)
    kind, error, message = FAILURES[text]
    told = failure(lambda: target.parse(text, []))
    assert (told.kind, told.error) == (kind, error)
    assert message is None or told.message == message
    target._timeout = 20.0
    assert target.parse("ok", []).content == "fine"


def test_a_flood_of_text_is_told(make: Make) -> None:
    target = make(FAILING, timeout=20.0)
    told = failure(lambda: target.parse("flood", []))
    assert (told.kind, told.error, told.message) == ("flooded", "text", "more than 64 MiB in one answer")


STREAMS = """
    import itertools
    class Parser:
        def __init__(self, tools):
            self.tools = tools
        def feed(self, chunk):
            if chunk == "endless":
                return ({"content": "x"} for _ in itertools.count())
            if chunk == "long":
                return ({"content": "x" * (1 << 20)} for _ in itertools.count())
            if chunk == "dict":
                return {"content": "x"}
            if chunk == "none":
                return None
            if chunk == "raise":
                raise KeyError("k")
            return ({"content": c} for c in chunk)
        def finish(self):
            return [{"content": "!"}]
    class target:
        stream = Parser
"""


@pytest.mark.parametrize(
    ("chunk", "kind", "error"),
    [
        ("endless", "flooded", "deltas"),
        ("long", "flooded", "text"),
        ("dict", "malformed", "feed"),
        ("none", "malformed", "feed"),
        ("raise", "raised", "KeyError"),
    ],
)
def test_failures_of_a_stream(make: Make, chunk: str, kind: str, error: str) -> None:
    target = make(STREAMS, timeout=20.0)
    told = failure(lambda: target.stream(["a", chunk], []))
    assert (told.kind, told.error) == (kind, error)
    assert target.stream(["ab", "c"], []) == [
        [{"content": "a"}, {"content": "b"}],
        [{"content": "c"}],
        [{"content": "!"}],
    ]


# -- processes ---------------------------------------------------------------------------------------------------------


def test_a_fresh_target_is_another_process_with_another_order_of_sets(make: Make) -> None:
    target = make("""
        import os
        class target:
            dialect = "hermes"
            def parse(self, text, tools):
                return {"content": ",".join({str(n) for n in range(50)}), "reasoning": str(os.getpid())}
    """)
    one, two = target.fresh(), target.fresh()
    try:
        assert target.parse("", []) == target.parse("", [])
        assert one.parse("", []).content == two.parse("", []).content != target.parse("", []).content
        assert len({t.parse("", []).reasoning_content for t in (target, one, two)}) == 3
        assert one.dialect is target.dialect and one.name == target.name
    finally:
        one.close()
        two.close()


def test_a_fresh_target_remembers_nothing(make: Make) -> None:
    target = make("""
        seen = []
        class target:
            def parse(self, text, tools):
                seen.append(text)
                return {"content": "".join(seen)}
    """)
    assert [target.parse("x", []).content for _ in range(3)] == ["x", "xx", "xxx"]
    other = target.fresh()
    try:
        assert other.parse("x", []).content == "x"
    finally:
        other.close()


def test_what_a_target_started_ends_with_it(make: Make) -> None:
    target = make(
        """
        import subprocess
        child = subprocess.Popen(["sleep", "600"])
        class target:
            def parse(self, text, tools):
                while text: pass
                return {"content": str(child.pid)}
    """,
        timeout=20.0,
    )
    first = int(target.parse("", []).content or "0")
    assert alive(first)
    target._timeout = 0.3
    assert failure(lambda: target.parse("hang", [])).kind == "hung"
    target._timeout = 20.0
    assert gone(first)
    second = int(target.parse("", []).content or "0")
    target.close()
    assert gone(second)


def test_ctrl_c_in_a_call_spoils_no_later_answer(make: Make) -> None:
    target = make(
        """
        import os, signal
        class target:
            def parse(self, text, tools):
                if text == "interrupt":
                    os.kill(os.getppid(), signal.SIGINT)
                    os.read(os.pipe()[0], 1)
                return {"content": text}
    """,
        timeout=20.0,
    )
    with pytest.raises(KeyboardInterrupt):
        target.parse("interrupt", [])
    assert target.parse("after", []).content == "after"


def test_the_worker_is_out_of_the_terminals_reach(make: Make) -> None:
    target = make("import os\nclass target:\n    def parse(self, t, o): return {'content': str(os.getsid(0))}")
    assert int(target.parse("", []).content or "0") == pid_of(target) != os.getsid(0)


PARENT = """
import sys, threading
from tcfuzz.targets.python import PythonTarget
made = []
def make():
    made.append(PythonTarget(sys.argv[1], timeout=60))
if sys.argv[2] == "thread":
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
else:
    make()
print(made[0].parse("pid", []).content, flush=True)
if sys.argv[3] == "hang":
    made[0].parse("hang", [])
"""

CHILD = """
import os, time
class target:
    def parse(self, text, tools):
        while text == "hang":
            time.sleep(0.01)
        return {"content": str(os.getpid())}
"""


@pytest.mark.parametrize("thread", ["main", "thread"])
@pytest.mark.parametrize("end", ["exit", "hang"])
def test_no_worker_outlives_its_parent(tmp_path: Path, thread: str, end: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CHILD)
    command = [sys.executable, "-c", PARENT, f"python:{file}", thread, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        if end == "hang":
            parent.send_signal(signal.SIGKILL)
        parent.wait(20)
    assert gone(worker)


def test_close_may_come_twice_and_after_a_death(make: Make) -> None:
    target = make(FAILING)
    assert failure(lambda: target.parse("quit", [])).kind == "died"
    target.close()
    target.close()


def test_a_forked_copy_leaves_the_process_alone(make: Make) -> None:
    target = make(ECHO)
    process = target._worker._process
    assert process is not None
    pid = process._popen.pid
    process._owner += 1  # what a fork sees: another process's worker
    process.close()
    process._owner -= 1
    assert alive(pid)
    process.kill()
    assert gone(pid)


def test_no_process_to_be_had_is_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/not/there/python")
    with pytest.raises(TargetUnavailable, match="cannot start a process"):
        make(ECHO)
