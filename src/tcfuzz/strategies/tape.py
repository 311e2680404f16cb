"""Bytes as a list of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Tape:
    """Turns a fixed-size byte string into decisions, one or two bytes each; past its end it reads zeros.

    A case is drawn as a few such byte strings and not as hundreds of Hypothesis draws, for three reasons. A draw
    costs about 25 µs and reading a byte less than one. Byte 0 is always the simplest decision, so the all-zero tape
    is the plainest case and Hypothesis, which minimises the bytes of a string each on its own, shrinks towards it;
    every feature owns a tape at a fixed address, so zeroing one leaves the meaning of the others alone. And
    Hypothesis mixes constants found in the modules that happen to be imported into `integers()`, `text()` and
    `sampled_from()`: byte strings of an unusual fixed size are immune to that, so a seed gives the same cases
    wherever it runs.
    """

    __slots__ = ("_data", "_pos")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    def byte(self) -> int:
        """The next byte, 0 to 255."""
        pos = self._pos
        self._pos = pos + 1
        return self._data[pos] if pos < len(self._data) else 0

    def below(self, n: int) -> int:
        """A number from 0 to n - 1 (n up to 65,536), rising with the bytes: one byte up to 256, else two."""
        if n <= 256:
            return self.byte() * n >> 8
        return (self.byte() << 8 | self.byte()) * n >> 16

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, the first for byte 0."""
        return options[self.below(len(options))]

    def chance(self, numerator: int, denominator: int) -> bool:
        """True in `numerator` of `denominator` cases, never for byte 0."""
        return self.byte() >= 256 - 256 * numerator // denominator
