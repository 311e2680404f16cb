"""llama.cpp's model files: the package that writes them, and what a file says of its chat template and tokens.

`gguf`'s own reader makes an object of each token and each merge, half a minute's worth for a vocabulary of 250,000. A
template and some special tokens are in a file's first part, which is read here in a fraction of a second.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tcfuzz.errors import TargetUnavailable, UsageError
from tcfuzz.targets.llama_cpp.build import INSTALL

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_UNKNOWN, _CONTROL, _PLAIN = 2, 3, 4
"""Of a token's types, those that are found in a text before it is cut up: the server hides the first two."""

_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_TEMPLATES = ("tokenizer.chat_template.tool_use", "tokenizer.chat_template")
"""A server that gets tools takes the first of these that there is."""
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|end|>", "<end_of_utterance>", "[EOT]", "<EOT>")
"""What ends a turn in models whose file names only the end of a text."""


@dataclass(frozen=True)
class ModelFile:
    """What a file says: the chat template if it has one, its control and user-defined tokens, and those with a role.

    A role that no token has is empty. `stop` ends a turn, where that is another token than `eos`.
    """

    template: str | None
    control: tuple[str, ...]
    plain: tuple[str, ...]
    bos: str
    eos: str
    stop: str


def import_gguf() -> ModuleType:
    """The `gguf` package, imported where it is needed. Raises TargetUnavailable where it is missing."""
    try:
        import gguf
    except ImportError as error:
        raise TargetUnavailable(
            f"llama.cpp's model files need the package {error.name or 'gguf'}: type {INSTALL}"
        ) from None
    return gguf


def read(path: Path) -> ModelFile:
    """What a model's file says. Raises UsageError for a file that cannot be read or is no GGUF model."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise _no_model(path, "it does not begin as one")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _said(path, _Reader(data))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}): name another model file") from None
    except (struct.error, UnicodeDecodeError, OverflowError):
        raise _no_model(path, "it is cut off or damaged") from None


def _no_model(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is no GGUF model ({why}): name a .gguf file that llama.cpp loads")


def _said(path: Path, reader: _Reader) -> ModelFile:
    version = reader.number("I")
    if version not in _VERSIONS:
        raise _no_model(path, f"its version is {version}")
    facts = reader.facts()
    tokens, types = _tokens(facts), facts.get(_TYPES, ())
    types = types if isinstance(types, tuple) else ()
    if len(types) > len(tokens):
        raise _no_model(path, "it has fewer tokens than types of tokens")
    by_type = {
        kind: tuple(reader.at(tokens[index]) for index, each in enumerate(types) if each == kind)
        for kind in (_UNKNOWN, _CONTROL, _PLAIN)
    }
    bos, eos, stop = (_with_role(reader, facts, role) for role in ("bos", "eos", "eot"))
    control = (*by_type[_UNKNOWN], *by_type[_CONTROL])
    if not stop and eos not in _TURN_ENDS:
        stop = next((token for token in _TURN_ENDS if token in control or token in by_type[_PLAIN]), "")
    template = next((facts[name] for name in _TEMPLATES if isinstance(facts.get(name), str)), None)
    return ModelFile(template, control, by_type[_PLAIN], bos, eos, "" if stop == eos else stop)


def _tokens(facts: Mapping[str, Any]) -> list[_Place]:
    """Where all tokens are; none in a file that has no list of strings there."""
    tokens = facts.get(_TOKENS)
    return tokens if isinstance(tokens, list) else []


def _with_role(reader: _Reader, facts: Mapping[str, Any], role: str) -> str:
    """The token with a role, or nothing."""
    tokens, number = _tokens(facts), facts.get(f"tokenizer.ggml.{role}_token_id")
    return reader.at(tokens[number]) if isinstance(number, int) and 0 <= number < len(tokens) else ""


_Place = tuple[int, int]
"""Where a string's bytes begin and end."""


class _Reader:
    """A file's first part: a number of facts, each a name, a type and a value. Raises struct.error where it ends."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def facts(self) -> dict[str, Any]:
        """All of them by name. In a list of strings each is a place: see `at`."""
        _tensors, count = self.number("Q"), self.number("Q")
        return {self.at(self._place()): self._value(self.number("I")) for _ in range(count)}

    def at(self, place: _Place) -> str:
        """The string at a place."""
        begin, end = place
        if end > len(self._data):
            raise struct.error("a string ends behind the file")
        return self._data[begin:end].decode()

    def number(self, kind: str) -> Any:
        """The next number, of one of struct's kinds."""
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return value

    def _place(self) -> _Place:
        begin = self._at + 8
        self._at = begin + self.number("Q")
        return begin, self._at

    def _places(self, count: int) -> list[_Place]:
        """As `_place`, often: there are a million of them in a large vocabulary with its merges."""
        length, data, at, places = struct.Struct("<Q").unpack_from, self._data, self._at, []
        for _ in range(count):
            begin = at + 8
            at = begin + length(data, at)[0]
            places.append((begin, at))
        self._at = at
        return places

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.at(self._place())
        if kind == _ARRAY:
            return self._list(self.number("I"), self.number("Q"))
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        raise struct.error(f"type {kind} is unknown")

    def _list(self, kind: int, count: int) -> Any:
        if kind == _STRING:
            return self._places(count)
        if kind not in _NUMBERS:
            raise struct.error(f"lists of type {kind} are unknown")
        kinds = f"<{count}{_NUMBERS[kind]}"
        values = struct.unpack_from(kinds, self._data, self._at)
        self._at += struct.calcsize(kinds)
        return values
