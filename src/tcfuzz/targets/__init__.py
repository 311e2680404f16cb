"""The targets, by what is typed after `tcfuzz target`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from tcfuzz.errors import UsageError
from tcfuzz.registry import Registry
from tcfuzz.targets.base import Capability, Delta, Parses, Renders, Streams, Target

__all__ = [
    "Available",
    "Capability",
    "Delta",
    "Parses",
    "Renders",
    "Request",
    "Streams",
    "Target",
    "TargetKind",
    "describe",
    "kind_of",
    "registry",
    "resolve",
]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: `spec` as typed, `rest` what stands after its first colon, and the options.

    `timeout` is in seconds, for one call. `settings` are the options that only some kinds of targets have, by the
    name of their flag.
    """

    spec: str
    rest: str
    dialect: str | None
    template: Path | None
    timeout: float
    settings: Mapping[str, str] = field(default_factory=dict)


class TargetKind(Protocol):
    """One kind of target: its first word, a line about it, and how to make those that a request names.

    settings: the flags beyond --dialect and --timeout that it takes.
    """

    name: str
    usage: str
    summary: str
    settings: frozenset[str]

    def missing(self) -> str | None:
        """What to do to have it here; None where it can run."""

    def make(self, request: Request) -> list[Target]:
        """The targets. Raises UsageError for what cannot be, TargetUnavailable for what is not there."""


class Available(NamedTuple):
    """One line of `tcfuzz list targets` and `tcfuzz doctor`. `how` is how to type it, or how to get it."""

    name: str
    summary: str
    available: bool
    how: str


# The kinds import what they need when they are asked: a worker process passes through here, too, and is to start fast.


class _Local:
    name = "local"
    usage = "tcfuzz target local[:DIALECT]"
    summary = "the built-in dialects themselves: finds nothing, or a bug in tcfuzz"
    settings: frozenset[str] = frozenset()

    def missing(self) -> str | None:
        return None

    def make(self, request: Request) -> list[Target]:
        from tcfuzz import dialects
        from tcfuzz.targets.local import LocalTarget

        if request.rest and request.dialect not in (None, request.rest):
            raise UsageError(f"{request.spec} and --dialect {request.dialect} contradict each other: leave one out")
        name = request.rest or request.dialect
        chosen = [dialects.get(name)] if name else list(dialects.registry)
        return [LocalTarget(dialect) for dialect in chosen]


class _Jinja:
    name = "jinja"
    usage = "tcfuzz target jinja --template FILE.jinja [--dialect DIALECT]"
    summary = "a chat template, rendered as Hugging Face does"
    settings = frozenset({"template"})

    def missing(self) -> str | None:
        return None

    def make(self, request: Request) -> list[Target]:
        from tcfuzz import dialects
        from tcfuzz.targets.jinja import JinjaTarget

        template = request.template or (Path(request.rest) if request.rest else None)
        if template is None:
            raise UsageError(f"jinja needs a template: type {self.usage}")
        return [JinjaTarget(template, dialects.get(request.dialect) if request.dialect else None)]


class _Python:
    name = "python"
    usage = "tcfuzz target python:FILE_OR_MODULE[:NAME] [--dialect DIALECT]"
    summary = "an object of your own with render, parse or stream"
    settings: frozenset[str] = frozenset()

    def missing(self) -> str | None:
        import os

        return None if os.name == "posix" else "run it on Linux or macOS: its processes need POSIX"

    def make(self, request: Request) -> list[Target]:
        from tcfuzz.targets.python import PythonTarget

        if not request.rest:
            raise UsageError(f"python names no file: type {self.usage}")
        return [PythonTarget(request.spec, dialect=request.dialect, timeout=request.timeout)]


class _Ollama:
    name = "ollama"
    usage = "tcfuzz target ollama --model MODEL"
    summary = "Ollama's renderers, templates and parsers, in-process or of a running server"
    settings = frozenset({"template", "model", "renderer", "parser", "ollama-version", "url", "raw", "end-to-end"})

    def missing(self) -> str | None:
        from tcfuzz.targets.ollama import go

        return None if go.toolchain() is not None else go.INSTALL_GO

    def make(self, request: Request) -> list[Target]:
        from tcfuzz.targets.ollama.kind import make

        return make(request)


class _LlamaCpp:
    name = "llama-cpp"
    usage = "tcfuzz target llama-cpp --template FILE.jinja"
    summary = "a real llama-server with a chat template: renders, parses and streams, no model needed"
    settings = frozenset({"template", "server", "server-build", "url", "end-to-end"})

    def missing(self) -> str | None:
        from tcfuzz.targets.llama_cpp import build

        return build.missing()

    def make(self, request: Request) -> list[Target]:
        from tcfuzz.targets.llama_cpp.kind import make

        return make(request)


registry: Registry[TargetKind] = Registry("target")
for _kind in (_Local(), _Jinja(), _Python(), _Ollama(), _LlamaCpp()):
    registry.add(_kind.name, _kind)


def kind_of(spec: str) -> TargetKind:
    """The kind of target that a spec begins with. Raises UsageError for none."""
    return registry.get(spec.partition(":")[0])


def resolve(
    spec: str,
    *,
    dialect: str | None = None,
    template: Path | None = None,
    timeout: float = 5.0,
    settings: Mapping[str, str] | None = None,
) -> list[Target]:
    """The targets that `spec` names: `local` is one for each dialect. Close each of them.

    `timeout` is in seconds, for one call. Raises UsageError (unknown, missing, contradicting) and TargetUnavailable.
    """
    kind, rest = kind_of(spec), spec.partition(":")[2]
    settings = settings or {}
    for given in (*(["template"] if template is not None else []), *settings):
        if given not in kind.settings:
            takers = [other for other in registry if given in other.settings]
            others = " and ".join(other.name for other in takers)
            raise UsageError(f"--{given} goes with {others}, not with {spec}: type {takers[0].usage}")
    return kind.make(Request(spec, rest, dialect, template, timeout, settings))


def describe() -> list[Available]:
    """Every kind of target, whether it can run here, and what to type or do."""
    lines = []
    for kind in registry:
        missing = kind.missing()
        lines.append(Available(kind.name, kind.summary, missing is None, missing or kind.usage))
    return lines
