"""What the tests of the llama.cpp target share: a skip where no llama-server is, and a server with a tiny model."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tcfuzz.errors import TargetUnavailable
from tcfuzz.targets.llama_cpp import build
from tcfuzz.targets.supervised import free_port

REQUIRE = "TCFUZZ_REQUIRE_LLAMA_CPP"
"""With this variable set to 1, tests run without a server, too, and fail."""
NO_SERVER = f"no llama-server on this machine: {build.BUILD_COMMAND}"
NO_GGUF = f"no package to write llama.cpp's models with: {build.INSTALL}"
TEMPLATES = Path(__file__).parents[2] / "shared" / "templates"
_HEALTH_EVERY = 0.02


def server_program() -> Path:
    """The server that tcfuzz would use. Raises TargetUnavailable."""
    return build.choose(None, None)


@functools.cache
def _skips() -> bool:
    if os.environ.get(REQUIRE) == "1":
        return False
    try:
        server_program()
    except TargetUnavailable:
        return True
    return False


needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None and os.environ.get(REQUIRE) != "1", reason=NO_GGUF
)
needs_server = pytest.mark.skipif(_skips(), reason=NO_SERVER)


def require_server() -> None:
    """The same for fixtures."""
    if _skips():
        pytest.skip(NO_SERVER)


def template(name: str) -> Path:
    """A real chat template, or a skip where there are none."""
    path = TEMPLATES / f"{name}.jinja"
    if not path.exists():
        pytest.skip(f"no ../shared/templates/{path.name} beside this checkout")
    return path


@contextlib.contextmanager
def serving(
    model: Path, chat_template: Path | None = None, context: int = 4096, **flags: str
) -> Iterator[httpx.Client]:
    """A client of a server of this model, ended with the block. `flags`: more of the server's, without their dashes."""
    port, log = free_port(), model.with_suffix(".log")
    command = [str(server_program()), "-m", str(model), "--host", "127.0.0.1", "--port", str(port)]
    command += ["-c", str(context), "-np", "1", "-t", "1", "--jinja", "--no-warmup", "-fa", flags.pop("fa", "off")]
    command += [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]
    if chat_template is not None:
        command += ["--chat-template-file", str(chat_template)]
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=written)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            _wait(process, client, log)
            yield client
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    """Until the server answers."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").status_code == 200:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(_HEALTH_EVERY)
            raise AssertionError(f"llama-server ended with {status}: {log.read_text('utf-8', 'replace')[-2000:]}")


def posted(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """The JSON answer."""
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def streamed(client: httpx.Client, path: str, body: dict[str, Any]) -> list[Any]:
    """The JSON of each event; events are told apart by line feeds, for other line ends may be in them."""
    response = client.post(path, json={**body, "stream": True}, headers={"Connection": "close"})
    assert response.status_code == 200, response.text
    lines = [line.removeprefix(b"data: ") for line in response.content.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]
