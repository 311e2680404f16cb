"""Whether every dialect's parser takes time in proportion to the text, however nasty, whole and streamed.

python benchmarks/dialects.py [--size CHARACTERS] [--chunk CHARACTERS] [DIALECT …]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from tcfuzz import dialects
from tcfuzz.case import Message, Tool, ToolCall
from tcfuzz.dialects import Dialect
from tcfuzz.errors import OutOfDomain

SIZE, CHUNK = 1_000_000, 16
MOST = 3.0
"""From which ratio on twice the text takes more than twice the time: 2 is linear, 4 is quadratic."""
CLEAR = 0.05
"""Seconds from which on a ratio says something."""
LOOKS = 5
VALUE = "gauge"
OPENING_ROLES = ("call-open", "param-open", "quote", "reasoning-open", "separator")
Texts = Iterator[tuple[str, Callable[[int], str]]]


def nasty(dialect: Dialect) -> Texts:
    """(what it is, the text by its length), each kind once."""
    yield "<", repeated("<")
    for sign in sorted({marker.text.lstrip()[0] for marker in dialect.markers if marker.text.strip()} - {"<"}):
        yield sign, repeated(sign)
    for marker in dict.fromkeys(marker.text for marker in dialect.markers if marker.role in OPENING_ROLES):
        yield f"{marker!r} over and over", repeated(marker)
        yield f"{marker!r}, never closed", repeated("a", marker)
        yield f"{marker!r}, then white space", repeated(" \n", marker)
    yield "white space", repeated(" \n")
    before = call_up_to_value(dialect)
    if before is not None:
        for what, unit in (("an unclosed string", "a"), ("backslashes", "\\"), ("quotes", '"'), ("newlines", "\n")):
            yield f"a call, {what}", repeated(unit, before)
        for unit in ("[", "{", "(", '{"a":', "[1,"):
            yield f"a call, {unit} without end", repeated(unit, before.rstrip("\"'"))
        for marker in dict.fromkeys(m.text for m in dialect.markers if m.role in ("call-close", "param-close")):
            yield f"a call, {marker[:-1]!r} over and over", repeated(marker[:-1], before)
        yield "calls that end early", repeated(before)
    close = dialect.marker("reasoning-close")
    if dialect.marker("reasoning-open") and close:
        yield f"a thought, {close[:-1]!r} over and over", repeated(close[:-1], dialect.marker("reasoning-open") or "")


def repeated(unit: str, before: str = "") -> Callable[[int], str]:
    """A text of some length: a beginning, then one piece over and over."""
    return lambda length: before + unit * (max(0, length - len(before)) // len(unit))


def call_up_to_value(dialect: Dialect) -> str | None:
    """The native text of a call up to its argument; None where the format has no calls."""
    tool = Tool("probe", "Probes.", {"type": "object", "properties": {"key": {"type": "string"}}})
    reply = Message("assistant", "", tool_calls=(ToolCall("probe", {"key": VALUE}, "call00000"),))
    try:
        text = dialect.emit(reply, [tool])
    except OutOfDomain:
        return None
    return text.partition(VALUE)[0] if VALUE in text else None


def whole(dialect: Dialect, text: str) -> float:
    """Seconds of the processor to parse a text."""
    started = time.process_time()
    dialect.parse(text)
    return time.process_time() - started


def streamed(dialect: Dialect, chunk: int, text: str) -> float:
    """Seconds of the processor to read a text in pieces."""
    pieces = [text[at : at + chunk] for at in range(0, len(text), chunk)]
    started = time.process_time()
    stream = dialect.stream()
    for piece in pieces:
        stream.feed(piece)
    stream.finish()
    return time.process_time() - started


def measured(run: Callable[[str], float], text: Callable[[int], str], size: int) -> tuple[float, float]:
    """Seconds for the whole size, and how many times those for half of it; looked at again where it seems too much.

    What is quadratic stays so on a longer text, what other work on the machine did to a short one does not.
    """
    seconds, ratio = _looked_at(run, text, size, LOOKS)
    return seconds, _looked_at(run, text, 2 * size, 2)[1] if is_too_slow(seconds, ratio) else ratio


def _looked_at(run: Callable[[str], float], text: Callable[[int], str], size: int, most: int) -> tuple[float, float]:
    """The same for one size. Whole and half take turns, and of several looks the shortest times count."""
    halves: list[float] = []
    wholes: list[float] = []
    for _ in range(most):
        halves.append(run(text(size // 2)))
        wholes.append(run(text(size)))
        if min(wholes) < CLEAR or min(wholes) <= MOST * min(halves):
            break
    return min(wholes), min(wholes) / max(min(halves), 1e-9)


def is_too_slow(seconds: float, ratio: float) -> bool:
    return seconds >= CLEAR and ratio > MOST


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--chunk", type=int, default=CHUNK)
    parser.add_argument("names", metavar="DIALECT", nargs="*")
    arguments = parser.parse_args()
    print(f"{arguments.size:,} characters; streamed in pieces of {arguments.chunk}; the slowest text of each dialect")
    print(f"{'dialect':26} {'texts':>5}  {'whole':>7} {'2n/n':>5}  {'streamed':>8} {'2n/n':>5}  slowest when streamed")
    slow = []
    for name in arguments.names or dialects.names():
        dialect = dialects.get(name)
        rows = []
        for what, text in nasty(dialect):
            by_whole = measured(partial(whole, dialect), text, arguments.size)
            by_stream = measured(partial(streamed, dialect, arguments.chunk), text, arguments.size)
            rows.append((what, by_whole, by_stream))
            slow += [f"{name}, whole: {what}: {by_whole}"] if is_too_slow(*by_whole) else []
            slow += [f"{name}, streamed: {what}: {by_stream}"] if is_too_slow(*by_stream) else []
        first = max(rows, key=lambda row: row[1][0])[1]
        what, _, second = max(rows, key=lambda row: row[2][0])
        print(
            f"{name:26} {len(rows):5}  {first[0]:6.2f}s {first[1]:5.1f}  {second[0]:7.2f}s {second[1]:5.1f}  {what}",
            flush=True,
        )
    for line in slow:
        print(f"not linear: {line}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
