"""The frames between a `python:` target and its process: a length, then plain data as Python's `marshal` writes it.

Both ends run the same interpreter, so `marshal` serves: it is fast and exact for plain data (lone surrogates, integers
of any size, -0.0, the order of keys) and refuses everything else. Its version 2 has no back references, so a value
that contains itself is refused, too.
"""

from __future__ import annotations

import marshal
import os
import struct
from collections.abc import Mapping
from typing import Any

HEADER = struct.Struct("<Q")
VERSION = 2
MAX_TEXT = 64 * 1024 * 1024
"""The most bytes in one answer; more is a flood."""
MAX_DELTAS = 200_000
"""The most deltas of one stream; more is a flood."""
_READ = 1 << 20


class NotPlain(Exception):
    """A value is no plain data; the text says which, by type and place."""


def frame(value: Any) -> bytes:
    """A value as a frame. Raises NotPlain for what is neither plain data nor derived from it."""
    try:
        body = marshal.dumps(value, VERSION)
    except ValueError:
        body = _frame_of_plain(value)
    return HEADER.pack(len(body)) + body


def unframe(body: bytes | bytearray) -> Any:
    """The value of a frame's body."""
    return marshal.loads(body)


def _frame_of_plain(value: Any) -> bytes:
    try:
        return marshal.dumps(plain(value), VERSION)
    except (RecursionError, ValueError):
        raise NotPlain("nested too deeply") from None


def plain(value: Any, where: str = "") -> Any:
    """The value with subclasses of plain types (an enum, a Markup, an OrderedDict) as the types themselves."""
    if value is None or isinstance(value, bool):
        return value
    # The types' own conversions: a subclass may have overridden str() and the like.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {plain(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise NotPlain(f"{where.lstrip('.') or 'it'} is of type {type(value).__name__}")


# -- the worker's end, blocking ----------------------------------------------------------------------------------------


def read(fd: int) -> Any:
    """The next value from a file descriptor. Raises EOFError when the other end is gone."""
    (size,) = HEADER.unpack(_exactly(fd, HEADER.size))
    return unframe(_exactly(fd, size))


def _exactly(fd: int, count: int) -> bytes:
    data = os.read(fd, count)
    if len(data) == count:
        return data
    pieces = bytearray(data)
    while data and len(pieces) < count:
        data = os.read(fd, min(count - len(pieces), _READ))
        pieces += data
    if len(pieces) < count:
        raise EOFError
    return bytes(pieces)


def write(fd: int, data: bytes) -> None:
    """All of a frame to a file descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
