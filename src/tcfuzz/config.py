"""What is configured: `tcfuzz.toml`, or `[tool.tcfuzz]` in pyproject.toml, of one folder.

    [tool.tcfuzz]
    targets = ["local", {name = "jinja", template = "chat.jinja", dialect = "hermes", max-examples = 500}]
    crashers = "crashers"
    max-time = "60s"

Paths are relative to that folder. tcfuzz.toml goes before pyproject.toml, where both are there.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tcfuzz.errors import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One target and what is set for it alone; None and empty: what holds for all.

    settings: the options that only some kinds of targets have, by the name of their flag.
    """

    name: str
    dialect: str | None = None
    template: Path | None = None
    settings: tuple[tuple[str, str], ...] = ()
    reference: Path | None = None
    tools: Path | None = None
    max_examples: int | None = None
    max_time: float | None = None
    timeout: float | None = None
    oracles: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration. `max_time` and `timeout` (of one call) in seconds; None: the caller's default.

    shards: parts of a target's campaign under pytest, a fixed number so that the cases do not depend on the workers.
    folder: what paths are relative to; source: the file that was read, None where there is none.
    """

    folder: Path
    source: Path | None = None
    targets: tuple[TargetConfig, ...] = (TargetConfig(name="local"),)
    crashers: Path = field(default=Path("crashers"))
    seed: int = 0
    max_examples: int | None = None
    max_time: float | None = None
    shards: int = 4
    oracles: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    timeout: float = 5.0
    strict: bool = False


def load(start: Path) -> Config:
    """The configuration of a folder, the defaults where it has none.

    Raises UsageError, one line with file, key and what is allowed, for anything that is not understood.
    """
    source = start / "tcfuzz.toml"
    table: Any = _read(source)
    if table is None:
        source = start / "pyproject.toml"
        tools = (_read(source) or {}).get("tool", {})
        table = tools.get("tcfuzz") if isinstance(tools, dict) else None
    if table is None:
        return Config(folder=start, crashers=start / "crashers")
    reader = _Reader(source, start)
    values = reader.table(table, _KEYS, "")
    return Config(**{"folder": start, "source": source, "crashers": start / "crashers", **values})


def parse_duration(text: str) -> float:
    """Seconds of `90`, `60s`, `2m`, `1h`, `500ms`. Raises UsageError."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|min|h)?\s*", text)
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if not found or not 0 < seconds < math.inf:
        raise UsageError(f"{text!r} is no duration: write 60s, 2m, 1h or 500ms")
    return seconds


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no valid TOML: {' '.join(str(error).split())}") from None


class _Reader:
    """Turns TOML values into ours; knows where it stands, for its errors."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source = source
        self.folder = folder

    def table(self, table: Any, keys: Mapping[str, _Field], where: str) -> dict[str, Any]:
        """The values of a table by the names of our fields."""
        if not isinstance(table, dict):
            raise self.error(where or "tool.tcfuzz", "a table")
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in keys:
                raise UsageError(f"{self.source}: unknown key {where + key!r}: {_hint(key, keys)}")
            values[key.replace("-", "_")] = keys[key](self, value, where + key)
        return values

    def error(self, key: str, allowed: str) -> UsageError:
        """The one line: file, key, what is allowed."""
        return UsageError(f"{self.source}: {key} must be {allowed}")


_Field = Callable[[_Reader, Any, str], Any]


def _hint(key: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key.replace("_", "-"), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _text(reader: _Reader, value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise reader.error(key, "a text")
    return value


def _texts(reader: _Reader, value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise reader.error(key, 'a list of texts, like ["round-trip", "ids"]')
    return tuple(value)


def _path(reader: _Reader, value: Any, key: str) -> Path:
    return reader.folder / _text(reader, value, key)


def _seed(reader: _Reader, value: Any, key: str) -> int:
    if type(value) is not int or value < 0:
        raise reader.error(key, "an integer of at least 0")
    return value


def _count(reader: _Reader, value: Any, key: str) -> int:
    if type(value) is not int or value < 1:
        raise reader.error(key, "an integer of at least 1")
    return value


def _seconds(reader: _Reader, value: Any, key: str) -> float:
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return parse_duration(str(value))
    except UsageError:
        pass
    raise reader.error(key, 'a duration: seconds, or a text like "60s", "2m", "1h", "500ms"')


def _flag(reader: _Reader, value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise reader.error(key, "true or false")
    return value


def _switch(reader: _Reader, value: Any, key: str) -> str:
    return "yes" if _flag(reader, value, key) else ""


def _targets(reader: _Reader, value: Any, key: str) -> tuple[TargetConfig, ...]:
    if not isinstance(value, list) or not value:
        raise reader.error(key, 'a list of names or tables, like ["local", {name = "jinja", template = "chat.jinja"}]')
    return tuple(_target(reader, item, f"{key}[{index}]") for index, item in enumerate(value))


def _target(reader: _Reader, value: Any, where: str) -> TargetConfig:
    if isinstance(value, str):
        return TargetConfig(name=_text(reader, value, where))
    if not isinstance(value, dict) or "name" not in value:
        raise reader.error(where, 'a name, or a table with one, like {name = "local:gemma4"}')
    values = reader.table(value, _TARGET_KEYS, f"{where}.")
    settings = {key: values.pop(key.replace("-", "_")) for key in _SETTINGS if key.replace("-", "_") in values}
    return TargetConfig(**values, settings=tuple((key, text) for key, text in settings.items() if text))


_BUDGET_KEYS: dict[str, _Field] = {
    "max-examples": _count,
    "max-time": _seconds,
    "oracles": _texts,
    "features": _texts,
    "timeout": _seconds,
}
_KEYS: dict[str, _Field] = {
    "targets": _targets,
    "crashers": _path,
    "seed": _seed,
    **_BUDGET_KEYS,
    "shards": _count,
    "strict": _flag,
}
_SETTINGS: dict[str, _Field] = {
    "model": _text,
    "renderer": _text,
    "parser": _text,
    "ollama-version": _text,
    "url": _text,
    "end-to-end": _switch,
    "server": _text,
    "server-build": _text,
}
_TARGET_KEYS: dict[str, _Field] = {
    "name": _text,
    "dialect": _text,
    **_SETTINGS,
    "template": _path,
    "reference": _path,
    "tools": _path,
    **_BUDGET_KEYS,
}
