"""`python:FILE_OR_MODULE[:NAME]`: an object of the user's own, in a process of its own, so that a hanging call ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tcfuzz
from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool
from tcfuzz.deltas import message_from_openai
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import TargetFailure, TargetUnavailable, UsageError
from tcfuzz.targets import wire
from tcfuzz.targets.base import Capability, Delta

START = 60.0
"""Seconds that a target's own imports may take."""
TAIL = 8192
"""Bytes kept of what a target prints."""
HASH_SEED, FRESH_HASH_SEED = "0", "1"
"""A set of strings comes in another order in a fresh process, and in the same one every time."""
_GOODBYE = 0.5
_PACKAGES = str(Path(tcfuzz.__file__).parent.parent)


class PythonTarget:
    """The target that `spec` names. See `Target` for what its attributes mean.

    Raises UsageError where it cannot be imported, found, made or called, TargetUnavailable where no process can be
    started. `timeout` is in seconds, for one call. A process that hung, flooded or died is replaced at the next call.
    """

    is_template = False

    def __init__(
        self, spec: str, *, dialect: str | None = None, timeout: float = 5.0, hash_seed: str = HASH_SEED
    ) -> None:
        self.name = spec
        self._timeout = timeout
        self._dialect_name = dialect
        self._worker = Worker(spec, hash_seed)
        about = self._worker.start()
        self.version: str = about["version"]
        self.capabilities: frozenset[Capability] = frozenset(about["capabilities"])
        self.utf8: bool = about["utf8"]
        self.options: frozenset[str] | None = None if about["options"] is None else frozenset(about["options"])
        self.dialect: Dialect | None = self._dialect(dialect or about["dialect"])
        self.model = self.dialect.name if self.dialect else Path(self._worker.where).stem

    def _dialect(self, name: str | None) -> Dialect | None:
        try:
            return dialects.get(name) if name else None
        except UsageError:
            self.close()
            raise

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """See `Renders`."""
        shapes = [message.to_openai(arguments_as_string=arguments_as_string) for message in messages]
        prompt: str = self._call("render", shapes, _openai(tools), add_generation_prompt, dict(options or {}))
        return prompt

    def parse(self, text: str, tools: Sequence[Tool]) -> Message:
        """See `Parses`."""
        return message_from_openai(self._call("parse", text, _openai(tools)))

    def stream(self, chunks: Sequence[str], tools: Sequence[Tool]) -> list[list[Delta]]:
        """See `Streams`."""
        deltas: list[list[Delta]] = self._call("stream", list(chunks), _openai(tools))
        return deltas

    def _call(self, *request: Any) -> Any:
        return self._worker.call(request, self._timeout)

    def fresh(self) -> PythonTarget:
        """The same in another process, with another order of sets."""
        return PythonTarget(self.name, dialect=self._dialect_name, timeout=self._timeout, hash_seed=FRESH_HASH_SEED)

    def close(self) -> None:
        """End the process and all that it started in its session."""
        self._worker.close()


def _openai(tools: Sequence[Tool]) -> list[dict[str, Json]]:
    return [tool.to_openai() for tool in tools]


def split_spec(spec: str) -> tuple[str, str]:
    """(an absolute path or a module's name, the object's name) of `python:FILE_OR_MODULE[:NAME]`."""
    where = spec.removeprefix("python:")
    head, colon, name = where.rpartition(":")
    if not colon or where.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        head, name = where, "target"
    if not head:
        raise UsageError(f"{spec!r} names no file: type python:FILE.py or python:MODULE:NAME")
    path = Path(head)
    if path.suffix != ".py" and os.sep not in head and not path.is_file():
        return head, name
    if not path.is_file():
        raise UsageError(f"{spec}: there is no file {head}: check the path (type python:FILE.py or python:MODULE)")
    return str(path.absolute()), name


class Worker:
    """The process of one target: started when needed, ended when a call does not come back."""

    def __init__(self, spec: str, hash_seed: str) -> None:
        self.spec = spec
        self.where, self._name = split_spec(spec)
        self._hash_seed = hash_seed
        self._process: _Process | None = None

    def start(self) -> dict[str, Any]:
        """Start it: `{"capabilities", "options", "dialect", "utf8", "version"}`. Raises UsageError, one line."""
        process = self._process = _Process(self.where, self._name, self._hash_seed)
        _running.add(process)
        try:
            kind, value = wire.unframe(process.receive(START))
        except TimeoutError:
            self.kill()
            raise UsageError(f"{self.spec}: importing it took more than {START:.0f} s: import it by hand") from None
        except (EOFError, OSError):
            status, output = process.end()
            self._process = None
            raise UsageError(f"{self.spec}: importing it ended the process ({status}) {output}".rstrip()) from None
        except BaseException:
            self.kill()
            raise
        if kind == "usage":
            self.kill()
            raise UsageError(f"{self.spec}: {value}")
        about: dict[str, Any] = value
        return about

    def call(self, request: tuple[Any, ...], timeout: float) -> Any:
        """One answer. Raises TargetFailure for what came instead within `timeout` seconds."""
        data = wire.frame(request)
        if self._process is None:
            self.start()
        assert self._process is not None
        try:
            body = self._process.exchange(data, timeout)
        except TimeoutError:
            self.kill()
            raise TargetFailure("hung", "timeout", f"no answer within {timeout:g} s") from None
        except OverflowError:
            self.kill()
            raise TargetFailure("flooded", "text", f"more than {wire.MAX_TEXT >> 20} MiB in one answer") from None
        except (EOFError, OSError):
            raise self._died() from None
        except BaseException:
            # Ctrl-C: its answer would be taken for that of the next call.
            self.kill()
            raise
        answer = wire.unframe(body)
        if answer[0] == "failed":
            raise TargetFailure(*answer[1:])
        return answer[1]

    def _died(self) -> TargetFailure:
        assert self._process is not None
        status, output = self._process.end()
        self._process = None
        return TargetFailure("died", status, output)

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Let it end by itself, and see that it does."""
        process, self._process = self._process, None
        if process is not None:
            process.close()


class _Process:
    """A running worker, its socket, and the end of what it printed."""

    def __init__(self, where: str, name: str, hash_seed: str) -> None:
        self._socket, theirs = socket.socketpair()
        self._owner = os.getpid()
        # The system ends a child with the thread that started it, not with the process.
        parent = self._owner if threading.current_thread() is threading.main_thread() else 0
        with theirs:
            self._popen = self._start(theirs.fileno(), parent, where, name, hash_seed)
        self._output = b""
        self._drain = threading.Thread(target=self._keep_tail, daemon=True)
        self._drain.start()

    def _start(self, fd: int, parent: int, where: str, name: str, hash_seed: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "tcfuzz.targets.worker", str(fd), str(parent), where, name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(fd,),
                start_new_session=True,
                env=_environment(hash_seed),
            )
        except OSError as error:
            self._socket.close()
            raise TargetUnavailable(
                f"cannot start a process for {where} ({error.strerror}): check the limits on processes and memory"
            ) from None

    def _keep_tail(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as pipe:
            while data := os.read(pipe.fileno(), 65536):
                self._output = (self._output + data)[-TAIL:]

    def exchange(self, data: bytes, timeout: float) -> bytearray:
        """Send a frame, receive one. Raises TimeoutError, EOFError, OSError, OverflowError."""
        deadline = time.monotonic() + timeout
        self._socket.settimeout(timeout)
        self._socket.sendall(data)
        return self._receive(deadline)

    def receive(self, timeout: float) -> bytearray:
        """The body of the next frame. Raises as `exchange` does."""
        return self._receive(time.monotonic() + timeout)

    def _receive(self, deadline: float) -> bytearray:
        buffer = bytearray()
        wanted = wire.HEADER.size
        while len(buffer) < wanted:
            # Never zero: what has come in already is an answer, however late this process woke up.
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            buffer += data
            if wanted == wire.HEADER.size and len(buffer) >= wanted:
                (size,) = wire.HEADER.unpack_from(buffer)
                if size > 2 * wire.MAX_TEXT:
                    raise OverflowError
                wanted += size
        del buffer[: wire.HEADER.size]
        return buffer

    def end(self) -> tuple[str, str]:
        """How a process that hung up ended (`SIGSEGV`, `exit 3`), and the last lines that it printed."""
        try:
            code: int | None = self._popen.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        self._drain.join(_GOODBYE)
        lines = self._output.decode("utf-8", "replace").strip().splitlines()[-3:]
        return _status(code), " | ".join(line.strip() for line in lines)[-500:]

    def close(self) -> None:
        """Hang up, give its own exit handlers a moment, then end whatever is left."""
        if self._owner == os.getpid():
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                self._socket.settimeout(_GOODBYE)
                self._socket.recv(1)  # nothing comes but the end
        self.kill()

    def kill(self) -> None:
        """End it and what it started, and wait until it is gone."""
        self._socket.close()
        _running.discard(self)
        if self._owner != os.getpid():
            return  # a fork of ours: the process is not its to end
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()


def _environment(hash_seed: str) -> dict[str, str]:
    path = [part for part in (os.environ.get("PYTHONPATH"), _PACKAGES) if part]
    if Path(_PACKAGES).name == "site-packages":
        path = path[:-1]  # found there anyway; named here it would stand before the standard library
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": hash_seed,
        "PYTHONIOENCODING": "utf-8:backslashreplace",  # what a target prints is to fail nowhere
    }


def _status(code: int | None) -> str:
    if code is None:
        return "hang-up"
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


_running: weakref.WeakSet[_Process] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for process in list(_running):
        process.kill()
