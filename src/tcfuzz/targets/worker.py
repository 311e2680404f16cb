"""The process in which a `python:` target runs: `python -m tcfuzz.targets.worker FD PARENT WHERE NAME`.

FD is the socket to the parent, PARENT its process id when the worker may ask the system to die with it (0: it may
not), WHERE an absolute path or a module's name, NAME the object in it. The first frame says what was found, then
each request gets one answer:

    ("ready", {...}) | ("usage", one line)
    ("render", messages, tools, add_generation_prompt, options) | ("parse", text, tools) | ("stream", chunks, tools)
    ("ok", value) | ("failed", kind, error, message)

It imports as little as it can: the target's own imports are to find a plain interpreter, and a start is to be quick.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import itertools
import os
import re
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tcfuzz.targets import wire

_SIGNATURES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "render": (
        "render(messages, tools, *, add_generation_prompt, **options)",
        ([], []),
        {"add_generation_prompt": True},
    ),
    "parse": ("parse(text, tools)", ("", []), {}),
    "stream": ("stream(tools)", ([],), {}),
}
"""Each ability as it is to be written, and the arguments with which it will be called."""
MEMORY = 4 * 1024**3
"""Bytes that a target may take beyond what it has once it is loaded; a runaway list ends here, not the machine."""
MAX_MESSAGE = 500
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


class Unusable(Exception):
    """The target cannot be used as it is; the text is one line: the cause and what to type next."""


class Failure(Exception):
    """What the target did instead of answering: kind, error, message."""


# -- finding the target ------------------------------------------------------------------------------------------------


def load(where: str, name: str) -> tuple[Any, str]:
    """The target object and the version of its source. Raises Unusable."""
    file = where.endswith(".py") or os.sep in where
    sys.argv = [where]
    sys.path.insert(0, os.path.dirname(where) if file else os.getcwd())  # noqa: PTH109, PTH120
    module = _load_file(Path(where)) if file else _load_module(where)
    return _make(_named(module, name), name), _version(module)


def _load_file(path: Path) -> types.ModuleType:
    """The module of a file, from its source: a cached compilation may be that of a file edited a moment ago."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read it ({error.strerror}): check the path") from None
    taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names or not path.stem.isidentifier()
    module = types.ModuleType(f"target_{path.stem}" if taken else path.stem)
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is told, not raised
        raise Unusable(f"importing it raised {_told(error, str(path))}: run `python {path}` to see it whole") from None
    return module


def _load_module(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise Unusable(
                f"there is no module {error.name!r} here: give the path of a .py file, or install it"
            ) from None
        raise Unusable(f"importing it raised {_told(error)}: run `python -c 'import {name}'` to see it whole") from None
    except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is told, not raised
        raise Unusable(f"importing it raised {_told(error)}: run `python -c 'import {name}'` to see it whole") from None


def _named(module: types.ModuleType, name: str) -> Any:
    item: Any = module
    for part in name.split("."):
        try:
            item = getattr(item, part)
        except AttributeError:
            raise Unusable(_missing(module, name)) from None
    return item


def _missing(module: types.ModuleType, name: str) -> str:
    own = [
        key
        for key, item in vars(module).items()
        if not key.startswith("_") and getattr(item, "__module__", None) == module.__name__
    ]
    usable = [key for key in own if any(hasattr(getattr(module, key), ability) for ability in _SIGNATURES)]
    if usable:
        return f"it has no {name!r}: name the target, as in :{usable[0]}"
    defined = ", ".join(own[:5]) or "nothing"
    return f"it has no {name!r} (it defines {defined}): define one, an object with render, parse or stream"


def _make(item: Any, name: str) -> Any:
    """The object itself, or what a class or function without arguments makes."""
    if not inspect.isclass(item) and (_abilities(item) or not callable(item)):
        return item
    try:
        inspect.signature(item).bind()
    except TypeError as error:
        raise Unusable(f"{name} cannot be called without arguments ({error}): give them defaults") from None
    except ValueError:
        pass  # a signature that cannot be seen: the call tells
    try:
        return item()
    except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is told, not raised
        raise Unusable(f"{name}() raised {_told(error)}: mend it, then run again") from None


def _version(module: types.ModuleType) -> str:
    path = getattr(module, "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] if path else "unknown"


# -- what it can do ----------------------------------------------------------------------------------------------------


def describe(target: Any, name: str) -> dict[str, Any]:
    """`{"capabilities", "options", "dialect", "utf8"}` of a target. Raises Unusable for wrong signatures.

    A dialect that the object does not name may be named by its module. Strings are taken to be UTF-8 text unless it
    says `utf8 = False`: lone surrogates are then tried, too.
    """
    abilities = _abilities(target)
    if not abilities:
        raise Unusable(f"{name} is a {type(target).__name__} without render, parse or stream: write one of them")
    for ability in abilities:
        _check(ability, getattr(target, ability))
    module = sys.modules.get(getattr(target, "__module__", None) or type(target).__module__)
    dialect = getattr(target, "dialect", getattr(module, "dialect", None))
    if dialect is not None and not isinstance(dialect, str):
        raise Unusable(
            f"its dialect is of type {type(dialect).__name__}: write the name of one, see tcfuzz list dialects"
        )
    options = _options(target.render) if "render" in abilities else []
    utf8 = bool(getattr(target, "utf8", True))
    return {"capabilities": abilities, "options": options, "dialect": dialect, "utf8": utf8}


def _abilities(target: Any) -> list[str]:
    return [ability for ability in _SIGNATURES if callable(getattr(target, ability, None))]


def _check(ability: str, method: Any) -> None:
    usage, positional, named = _SIGNATURES[ability]
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise Unusable(f"{ability} is async: write a plain {usage}")
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*positional, **named)
    except TypeError:
        raise Unusable(f"{ability}{signature} has a wrong signature: write {usage}") from None


def _options(render: Any) -> list[str] | None:
    """The keyword names that `render` takes beyond the three of its own; None for any."""
    try:
        parameters = inspect.signature(render).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    by_name = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    own = {*positional[:2], "messages", "tools", "add_generation_prompt"}
    return [name for name in by_name if name not in own]


# -- calls -------------------------------------------------------------------------------------------------------------


def answer(target: Any, request: tuple[Any, ...]) -> bytes:
    """The frame that answers a request, whatever the target does short of ending the process."""
    try:
        return _bounded(wire.frame(("ok", _CALLS[request[0]](target, *request[1:]))))
    except Failure as failure:
        return wire.frame(("failed", *failure.args))
    except wire.NotPlain as error:
        message = f"{request[0]} gave no plain data: {error}; give dicts, lists, strings and numbers"
        return wire.frame(("failed", "malformed", request[0], message))
    except MemoryError:
        return wire.frame(("failed", "flooded", "memory", f"took more than {MEMORY >> 30} GiB of memory"))
    except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is told, not raised
        return wire.frame(("failed", "raised", type(error).__name__, message_of(error)))


def _render(target: Any, messages: Any, tools: Any, add_generation_prompt: bool, options: dict[str, Any]) -> Any:
    prompt = target.render(messages, tools, add_generation_prompt=add_generation_prompt, **options)
    if not isinstance(prompt, str):
        raise Failure("malformed", "render", f"render gave a {type(prompt).__name__}, not a string")
    return _sized(prompt)


def _parse(target: Any, text: str, tools: Any) -> Any:
    return target.parse(text, tools)


def _stream(target: Any, chunks: list[str], tools: Any) -> list[list[Any]]:
    parser = target.stream(tools)
    budget = Budget()
    answers = [budget.take(parser.feed(chunk), "feed") for chunk in chunks]
    return [*answers, budget.take(parser.finish(), "finish")]


_CALLS: dict[str, Callable[..., Any]] = {"render": _render, "parse": _parse, "stream": _stream}


class Budget:
    """What one stream may still give."""

    def __init__(self) -> None:
        self.deltas = wire.MAX_DELTAS
        self.text = wire.MAX_TEXT

    def take(self, deltas: Any, method: str) -> list[Any]:
        """The deltas as a list, counted while they come: a generator may never end."""
        if isinstance(deltas, (str, bytes, dict)) or not isinstance(deltas, Iterable):
            raise Failure("malformed", method, f"{method} gave a {type(deltas).__name__}, not a list of deltas")
        taken = []
        for delta in itertools.islice(deltas, self.deltas + 1):
            self.deltas -= 1
            self.text -= _length(delta)
            if self.deltas < 0:
                raise Failure("flooded", "deltas", f"more than {wire.MAX_DELTAS} deltas in one stream")
            if self.text < 0:
                raise _too_long()
            taken.append(delta)
        return taken


def _length(delta: Any) -> int:
    """The characters of a delta's own texts; what is nested deeper is counted when the answer is written."""
    if not isinstance(delta, dict):
        return 0
    return sum(len(item) for item in delta.values() if isinstance(item, str))


def _sized(text: str) -> str:
    if len(text) > wire.MAX_TEXT:
        raise _too_long()
    return text


def _bounded(data: bytes) -> bytes:
    if len(data) > wire.MAX_TEXT:
        raise _too_long()
    return data


def _too_long() -> Failure:
    return Failure("flooded", "text", f"more than {wire.MAX_TEXT >> 20} MiB in one answer")


def message_of(error: BaseException) -> str:
    """An exception's text: its first line, without addresses that differ each time."""
    if isinstance(error, RecursionError):
        return ""  # where exactly the stack ended is chance
    try:
        lines = str(error).strip().splitlines()
    except BaseException:  # noqa: BLE001 - it is the target's own text
        return ""
    return _ADDRESS.sub("0x…", lines[0])[:MAX_MESSAGE] if lines else ""


def _told(error: BaseException, path: str | None = None) -> str:
    """`NameError: name 'x' is not defined (line 3)`; the line where the target's own file has it."""
    message = message_of(error)
    told = f"{type(error).__name__}: {message}" if message else type(error).__name__
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return f"{told} (line {lines[-1]})" if lines else told


# -- the process -------------------------------------------------------------------------------------------------------


def die_with(parent: int, fd: int) -> None:
    """End this process when its parent ends, however busy the target is."""
    if parent and sys.platform == "linux" and _ask_for_signal():
        if os.getppid() != parent:
            os._exit(1)
        return
    threading.Thread(target=_watch, args=(fd,), daemon=True).start()


def _ask_for_signal() -> bool:
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(1, signal.SIGKILL) == 0)  # 1: PR_SET_PDEATHSIG
    except (ImportError, OSError, AttributeError):
        return False


def _watch(fd: int) -> None:
    """Where no signal tells: the other end of the socket is gone when it hangs up."""
    import select

    poll = select.poll()
    poll.register(fd, 0)  # only what cannot be masked: hang-ups and errors
    poll.poll()
    os.killpg(0, signal.SIGKILL)


def limit_memory() -> None:
    """Bound what the target takes from here on."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    except (ImportError, OSError, ValueError):
        pass  # not Linux: nothing to bound it by


def main(arguments: list[str]) -> None:
    """Load the target, say what it is, answer until the parent hangs up."""
    fd, parent, where, name = int(arguments[0]), int(arguments[1]), arguments[2], arguments[3]
    os.set_inheritable(fd, False)
    die_with(parent, fd)
    try:
        target, version = load(where, name)
        ready = {**describe(target, name), "version": version}
    except Unusable as error:
        wire.write(fd, wire.frame(("usage", " ".join(str(error).split()))))
        return
    wire.write(fd, wire.frame(("ready", ready)))
    limit_memory()
    while True:
        try:
            request = wire.read(fd)
        except EOFError:
            return
        wire.write(fd, answer(target, request))


if __name__ == "__main__":
    main(sys.argv[1:])
