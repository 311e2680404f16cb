"""A server's process of our own: in a session and a folder of its own, ended with all that it started, its log kept."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from tcfuzz.errors import TargetUnavailable
from tcfuzz.targets import keeper

TAIL = 64 << 10
"""Bytes of the log that are kept."""
MAX_ANSWER = 64 << 20
"""Bytes of one answer: more is a flood."""
_GOODBYE = 2.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on; another program may still take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def own_folder(prefix: str) -> Iterator[Path]:
    """A new folder, removed where the block fails; the process that is started in it removes it later."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class Supervised:
    """A running program and the end of what it wrote. It ends when its owner does, however that ends.

    folder: removed when it ends. crashes: what the log says when the program crashes; from there on its beginning is
    kept and not its end. Raises OSError where the program cannot be started.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], crashes: Sequence[bytes] = ()
    ) -> None:
        self._owner = os.getpid()
        self._crashes = tuple(crashes)
        self._crashed = False
        self._lock = threading.Lock()
        self._log = b""
        self.folder = folder
        reading, lifeline = os.pipe()
        self._lifeline: int | None = lifeline
        kept = [sys.executable, "-S", "-E", keeper.__file__, str(reading), str(folder), *command]
        try:
            self._popen = subprocess.Popen(
                kept, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, pass_fds=(reading,), start_new_session=True,
            )  # fmt: skip
        except OSError:
            os.close(lifeline)
            raise
        finally:
            os.close(reading)
        self.pid = self._popen.pid
        self._drain = threading.Thread(target=self._keep_log, daemon=True)
        self._drain.start()
        _living.add(self)

    def _keep_log(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as pipe:
            while data := os.read(pipe.fileno(), 65536):
                if self._crashed:
                    self._log = (self._log + data)[: 2 * TAIL]
                    continue
                self._log = (self._log + data)[-TAIL:]
                self._crashed = any(sign in self._log for sign in self._crashes)

    def wait(self, answers: Callable[[], bool], seconds: float, name: str, words: Callable[[], str]) -> None:
        """Until `answers()`, which may raise httpx.TransportError. Raises TargetUnavailable: `words()` are its last."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                status = self.end()
                raise TargetUnavailable(f"{name} ended before it answered ({status}): {words()}")
            with contextlib.suppress(httpx.TransportError):
                if answers():
                    return
            time.sleep(0.01)
        raise TargetUnavailable(f"{name} did not answer within {seconds:.0f} s: {words()}")

    def log(self) -> list[str]:
        """The lines of the log that are kept, none of them empty."""
        return [line.strip() for line in self._log.decode("utf-8", "replace").splitlines() if line.strip()]

    def end(self) -> str:
        """How a process that hung up ended: `exit 1`, `SIGABRT`, `hang-up`. It is gone afterwards, its log complete."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_GOODBYE)
        code = self._popen.poll()
        self.kill()
        self._drain.join(_GOODBYE)
        return "hang-up" if code is None else status(code)

    def has_ended(self) -> bool:
        """Whether it has gone by itself."""
        return self._popen.poll() is not None

    def kill(self) -> None:
        """End it and what it started, remove its folder, and wait until it is gone."""
        _living.discard(self)
        if self._owner != os.getpid():
            return  # a fork of ours: the process is not its to end
        with self._lock:  # several threads may end it at a time
            lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            os.close(lifeline)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_GOODBYE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def status(code: int) -> str:
    """How a process ended, by its exit code as its keeper passes it on."""
    if code < 0:
        return signal.Signals(-code).name
    with contextlib.suppress(ValueError):
        if code > 128:
            return signal.Signals(code - 128).name
    return f"exit {code}"


def received(client: httpx.Client, path: str, body: object, timeout: float, **headers: str) -> httpx.Response:
    """The answer to a POST, read to its end. `timeout` (seconds) is for all of it: an endless stream ends, too.

    Raises httpx.TimeoutException, httpx.TransportError, and OverflowError for more than MAX_ANSWER.
    """
    deadline = time.monotonic() + timeout
    with client.stream("POST", path, json=body, timeout=timeout, headers=headers) as answer:
        pieces, size = [], 0
        for piece in answer.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_ANSWER:
                raise OverflowError
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("")
    return httpx.Response(answer.status_code, content=b"".join(pieces))


def without_proxies(dropped: tuple[str, ...]) -> dict[str, str]:
    """This process's environment without proxies and without what begins with one of these prefixes."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(dropped) and not key.lower().endswith("_proxy")
    }


_living: weakref.WeakSet[Supervised] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for process in list(_living):
        process.kill()
