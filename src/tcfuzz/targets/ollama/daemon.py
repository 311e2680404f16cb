"""A real Ollama server of our own: started with a scripted runner in its own folder, ended with all that it started."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tcfuzz.case import Json
from tcfuzz.errors import TargetFailure, TargetUnavailable
from tcfuzz.escape import visible
from tcfuzz.targets.ollama import runner
from tcfuzz.targets.supervised import MAX_ANSWER, Supervised, free_port, own_folder, received, without_proxies

START = 60.0
"""Seconds that a server may take until it answers."""
LOAD = 30.0
"""Seconds that a model may take to load, however short calls are to be."""
PORT_TRIES = 3
"""Another program may take a free port before the server does."""
CONTEXT = 1 << 20
"""Tokens of context: no prompt is ever cut."""
_CRASHES = (b"panic: ", b"fatal error: ", b"SIGSEGV")


class Daemon:
    """A server of a binary, started when it is needed and again when it has died. Not for several threads at once."""

    def __init__(self, binary: Path, timeout: float) -> None:
        self._binary = binary
        self._timeout = timeout
        self._process: _Process | None = None
        self._models: dict[str, Mapping[str, Json]] = {}
        self._said: bytes | None = None

    def version(self) -> str:
        """`v0.34.4`, as the server says. Raises TargetUnavailable where none can be started."""
        return "v" + str(self._running().ask("GET", "/api/version")["version"]).removeprefix("v")

    def model(self, name: str, **settings: Json) -> frozenset[str]:
        """Create a model (`renderer`, `parser`, `template`); what it can: completion, tools, thinking."""
        process = self._running()
        process.create(name, settings)
        self._models[name] = settings
        return frozenset(process.ask("POST", "/api/show", {"model": name}).get("capabilities") or ())

    def say(self, chunks: Sequence[str]) -> None:
        """What every model says from now on."""
        said = runner.speech(chunks)
        if said != self._said:
            self._running().say(said)
            self._said = said

    def post(self, path: str, body: Mapping[str, Json]) -> httpx.Response:
        """The answer to a request, read to its end, whatever its status.

        Raises TargetFailure where none comes: the server is ended then, and started again at the next call.
        """
        process = self._running()
        try:
            return process.post(path, body, self._timeout)
        except httpx.TimeoutException:
            self.kill()
            raise TargetFailure("hung", "timeout", f"no answer within {self._timeout:g} s") from None
        except OverflowError:
            self.kill()
            raise TargetFailure("flooded", "text", f"more than {MAX_ANSWER >> 20} MiB in one answer") from None
        except httpx.TransportError as error:
            self._process = None
            status, output = process.end()
            raise TargetFailure("died", status, output or f"{type(error).__name__}: {error}") from None
        except BaseException:
            # Ctrl-C: the server may still be at it.
            self.kill()
            raise

    def _running(self) -> _Process:
        if self._process is None:
            self._process = _started(self._binary)
            for name, settings in self._models.items():
                self._process.create(name, settings)
            if self._said is not None:
                self._process.say(self._said)
        return self._process

    @property
    def url(self) -> str:
        """Where the server answers."""
        return self._running().url

    @property
    def pid(self) -> int | None:
        """The process group of the server that runs now."""
        return None if self._process is None else self._process.pid

    def kill(self) -> None:
        """End the server at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    close = kill


def _started(binary: Path) -> _Process:
    for attempt in range(PORT_TRIES):
        process = _Process(binary)
        try:
            process.wait()
            return process
        except TargetUnavailable as error:
            process.kill()
            if "address already in use" not in str(error) or attempt == PORT_TRIES - 1:
                raise
        except BaseException:
            process.kill()
            raise
    raise AssertionError("unreachable")


class _Process:
    """A running server in its own folder."""

    def __init__(self, binary: Path) -> None:
        try:
            with own_folder("tcfuzz-ollama-") as self.folder:
                program = _installed(binary, self.folder)
                host = f"127.0.0.1:{free_port()}"
                environment = _environment(self.folder, host)
                self._process = Supervised([str(program), "serve"], self.folder, environment, _CRASHES)
        except OSError as error:
            raise TargetUnavailable(f"{binary} cannot be started as a server: {error.strerror or error}") from None
        self.pid = self._process.pid
        self.url = f"http://{host}"
        self.client = httpx.Client(base_url=self.url, trust_env=False)

    def wait(self) -> None:
        """Until it answers. Raises TargetUnavailable with its last line."""
        self._process.wait(
            lambda: self.client.get("/api/version", timeout=1.0).status_code == 200,
            START, "the Ollama server", self._last_words,
        )  # fmt: skip

    def create(self, name: str, settings: Mapping[str, Json]) -> None:
        """Make a model and have it loaded. Raises TargetUnavailable, one line."""
        digest = f"sha256:{hashlib.sha256(TINY_MODEL).hexdigest()}"
        given = {key: value for key, value in settings.items() if value}
        self.ask("POST", f"/api/blobs/{digest}", TINY_MODEL)
        self.ask("POST", "/api/create", {"model": name, "files": {"tiny.gguf": digest}, "stream": False, **given})
        self.ask("POST", "/api/chat", {"model": name, "messages": [], "stream": False})

    def ask(self, method: str, path: str, body: Mapping[str, Json] | bytes | None = None) -> Any:
        """What it answers to a request that has to do with no case. Raises TargetUnavailable, one line."""
        content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}
        try:
            answer = self.client.request(method, path, timeout=LOAD, **content)
        except httpx.TransportError as error:
            said = self._last_words() or str(error)
            raise TargetUnavailable(f"the Ollama server did not answer {path}: {said}") from None
        if answer.status_code >= 400:
            said = visible(answer.text.strip())[:500]
            raise TargetUnavailable(f"the Ollama server refused {path}: {said}")
        return answer.json() if answer.content else {}

    def say(self, said: bytes) -> None:
        """Have the runner say this; whole at once, for it may be reading."""
        fresh = self.folder / "speech.new"
        fresh.write_bytes(said)
        fresh.replace(self.folder / "speech")

    def post(self, path: str, body: Mapping[str, Json], timeout: float) -> httpx.Response:
        """See `Daemon`."""
        return received(self.client, path, body, timeout)

    def end(self) -> tuple[str, str]:
        """How it ended, or that it hung up, and what it said last."""
        self.client.close()
        return self._process.end(), self._last_words()

    def _last_words(self) -> str:
        """The line that says what it died of, or else the last of its log."""
        lines = self._process.log()
        crashes = [line for line in lines if line.startswith(("panic: ", "fatal error: "))]
        return visible((crashes or lines[-1:] or ["it said nothing"])[0])[:500]

    def kill(self) -> None:
        """End it and what it started, remove its folder, and wait until it is gone."""
        self.client.close()
        self._process.kill()


def _installed(binary: Path, folder: Path) -> Path:
    """The binary in a folder of its own, with the runner where it looks for one."""
    program, library = folder / "bin" / "ollama", folder / "lib" / "ollama"
    program.parent.mkdir()
    library.mkdir(parents=True)
    try:
        os.link(binary.resolve(strict=True), program)
    except (PermissionError, OSError):
        shutil.copy2(binary, program)
    stand_in = library / "llama-server"
    command = shlex.join([sys.executable, "-S", "-E", str(Path(runner.__file__).resolve())])
    # A shebang of Python's path would fail where that is long, or has a space in it.
    stand_in.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
    stand_in.chmod(0o755)
    return program


def _environment(folder: Path, host: str) -> dict[str, str]:
    """None of the user's own Ollama settings, nothing of theirs read or written, nothing fetched."""
    return without_proxies(("OLLAMA_", "LLAMA_", "GGML_")) | {
        "HOME": str(folder / "home"),
        "OLLAMA_HOST": host,
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_MAX_LOADED_MODELS": "1",
        "OLLAMA_CONTEXT_LENGTH": str(CONTEXT),
        "GIN_MODE": "release",
        runner.SPEECH: str(folder / "speech"),
    }


def _tiny_model() -> bytes:
    """The smallest GGUF file that a server takes: an architecture and one number."""
    key, architecture, tensor = b"general.architecture", b"llama", b"s.dummy"
    head = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1)
    head += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(architecture)) + architecture
    head += struct.pack("<Q", len(tensor)) + tensor + struct.pack("<IQIQ", 1, 1, 0, 0)
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + b"\0" * 32


TINY_MODEL = _tiny_model()
