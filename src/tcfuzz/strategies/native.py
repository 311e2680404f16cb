"""Features of malformed native text: `native:*`. A plain reply as the dialect emits it, then damaged on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from tcfuzz.case import Case, Message
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import OutOfDomain
from tcfuzz.strategies import markers
from tcfuzz.strategies.draft import Draft
from tcfuzz.strategies.feature import Feature, Scope
from tcfuzz.strategies.tape import Tape

Mutate = Callable[[str, "Damage"], str]
STRAY_SPACES = ("\n\n\n", "   ", " \t ", "\r\n", "\t\n\t")
GARBAGE = ("}~{", '"}]', "\\", "\x00?", "<|<", "::{{", '":,', "'''\"", "]]>", "\ufffd\ufffd", '{"":', "=>|<=")
OPENINGS = ('{"a": ', "[", "{", "[[{", "(", '{"a": [')
OPENING_ROLES = ("call-open", "reasoning-open", "quote")
"""What begins something that has an end: a parser that looks for the end from each of them takes quadratic time."""
FEW = 50
"""From how many repetitions on a text is called repetitive."""


class Damage:
    """What a mutation may use: the decisions, the dialect's markers, words, and how much to repeat."""

    def __init__(self, tape: Tape, draft: Draft) -> None:
        self.tape = tape
        self.words = draft.words
        self.markers = own_markers(draft.dialect)
        opening = [m.text for m in (draft.dialect.markers if draft.dialect else ()) if m.role in OPENING_ROLES]
        self.openings = tuple(dict.fromkeys(opening)) or ("{",)
        self.pieces = markers.marker_texts(draft.dialect).partial or ("<",)
        self.many = FEW + tape.byte() * draft.scale(50, 1000, 10_000) // 256

    def place(self, text: str) -> int:
        """A position in a text, its end for a zero."""
        return len(text) - self.tape.below(len(text) + 1 if len(text) < 65_536 else 65_536)

    def present(self, text: str) -> list[re.Match[str]]:
        """The own markers in a text."""
        return list(re.finditer("|".join(map(re.escape, self.markers)), text)) if self.markers else []

    def marker(self) -> str:
        """An own marker, or a brace where there is none."""
        return self.tape.pick(self.markers) if self.markers else "{"


def own_markers(dialect: Dialect | None) -> tuple[str, ...]:
    """The markers of calls and reasoning of a dialect, the longest first."""
    chosen = (
        {m.text for m in dialect.markers if m.role not in ("turn", "bos", "stop", "media", "toggle")} if dialect else ()
    )
    return tuple(sorted(chosen, key=lambda text: (-len(text), text)))


# -- mutations --------------------------------------------------------------------------------------------------------


def _truncate(text: str, damage: Damage) -> str:
    return text[: max(damage.place(text) - 1, 0)]


def _double(text: str, damage: Damage) -> str:
    found = damage.present(text)
    if not found:
        return text + damage.marker() * 2
    match = damage.tape.pick(found)
    gap = damage.tape.pick(("", "\n", " "))
    return text[: match.end()] + gap + match.group() + text[match.end() :]


def _drop(text: str, damage: Damage) -> str:
    found = damage.present(text)
    if not found:
        return damage.marker() + text
    match = damage.tape.pick(found)
    return text[: match.start()] + text[match.end() :]


def _misspell(text: str, damage: Damage) -> str:
    found = damage.present(text)
    piece = damage.tape.pick(damage.pieces)
    if not found:
        return text + piece
    match = damage.tape.pick(found)
    return text[: match.start()] + piece + text[match.end() :]


def _around(text: str, damage: Damage) -> str:
    where = damage.tape.below(3)
    before = damage.words.phrase() + damage.tape.pick(("", "\n", " ")) if where != 1 else ""
    after = damage.tape.pick(("", "\n", " ")) + damage.words.phrase() if where != 0 else ""
    return before + text + after


def _spaces(text: str, damage: Damage) -> str:
    found = damage.present(text)
    stray = damage.tape.pick(STRAY_SPACES)
    place = damage.place(text)
    if found and damage.tape.chance(2, 3):
        match = damage.tape.pick(found)
        place = match.end() if damage.tape.chance(1, 2) else match.start()
    return text[:place] + stray + text[place:]


def _garbage(text: str, damage: Damage) -> str:
    place = damage.place(text)
    return text[:place] + damage.tape.pick(GARBAGE) + text[place:]


def _junk(text: str, damage: Damage) -> str:
    """Openings that are never closed, after a marker where there is one."""
    found = damage.present(text)
    opening = damage.tape.pick((*OPENINGS, damage.marker())) * (6 + damage.tape.below(20))
    if not found:
        return opening + text
    match = damage.tape.pick(found)
    return text[: match.end()] + opening + (text[match.end() :] if damage.tape.chance(1, 2) else "")


def _repeat(text: str, damage: Damage) -> str:
    """One marker, piece or brace many times: time must stay in proportion to the length."""
    tape = damage.tape
    opening = tape.pick(damage.openings)
    unit = tape.pick((opening, damage.marker(), "{", "<", tape.pick(damage.pieces), opening, '"', "\\", "[", "\n"))
    # At the end, where no more ends of calls follow, most parsers have the most to do.
    place = damage.place(text) if tape.chance(1, 2) else len(text)
    return text[:place] + unit * damage.many + text[place:]


MUTATIONS: dict[str, tuple[str, Mutate]] = {
    "truncated": ("a call cut off at any character", _truncate),
    "marker-doubled": ("a marker twice", _double),
    "marker-dropped": ("a marker missing", _drop),
    "marker-misspelt": ("a marker misspelt or cut short", _misspell),
    "text-around": ("text right before and after a call", _around),
    "whitespace": ("white space where none is written", _spaces),
    "garbage": ("characters that belong nowhere", _garbage),
    "nested-junk": ("openings that are never closed", _junk),
    "long-repeat": ("one piece repeated many times", _repeat),
}


def emitted(case: Case, dialect: Dialect | None) -> str:
    """The reply's native text, its content alone where the format cannot carry it."""
    reply = case.reply or Message("assistant", "")
    if dialect is None:
        return reply.content or "{}"
    try:
        return dialect.emit(reply, case.tools)
    except OutOfDomain:
        return reply.content or "{}"


# -- how they are recognised ------------------------------------------------------------------------------------------


def find_native(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """What may be wrong with a text that has no reply. Malformed text admits several explanations; all are given."""
    text = case.text
    if text is None or case.reply is not None:
        return frozenset()
    own = own_markers(dialect)
    found = {name for name, holds in _MARKER_TESTS.items() if own and holds(text, own)}
    found |= {"whitespace"} if any(stray in text for stray in STRAY_SPACES) else set()
    found |= {"garbage"} if any(piece in text for piece in GARBAGE) else set()
    found |= {"nested-junk"} if _runs(text, (*OPENINGS, *own), 6) else set()
    pieces = markers.marker_texts(dialect).partial
    found |= {"long-repeat"} if _runs(text, (*own, *pieces, "{", "<", '"', "\\", "[", "\n"), FEW) else set()
    if dialect is not None and _is_damaged(text, case, dialect):
        found |= {"marker-misspelt"} if any(piece in text for piece in pieces) else set()
        found |= {"truncated", "marker-dropped"}
    if _WORDS_OUTSIDE.search(text):
        found.add("text-around")
    return frozenset(f"native:{name}" for name in found)


_WORDS_OUTSIDE = re.compile(r"\A[a-z]+ [a-z]+|[a-z]+ [a-z]+\Z")


def _doubled(text: str, own: tuple[str, ...]) -> bool:
    return any(re.search(f"{re.escape(marker)}[ \n]?{re.escape(marker)}", text) for marker in own)


_MARKER_TESTS = {"marker-doubled": _doubled}


def _runs(text: str, units: tuple[str, ...], count: int) -> bool:
    return any(unit * count in text for unit in units)


def _is_damaged(text: str, case: Case, dialect: Dialect) -> bool:
    """Whether a text is not what the dialect itself would write for what is read from it."""
    message = dialect.parse(text, case.tools)
    if not message.tool_calls:
        return True
    try:
        return dialect.emit(message, case.tools) != text
    except OutOfDomain:
        return True


# -- the features -----------------------------------------------------------------------------------------------------


def _nothing(draft: Draft, tape: Tape) -> None:
    """The draft stays as it is: these features act on the emitted text."""


def mutate(name: str, text: str, draft: Draft, tape: Tape) -> str:
    """The text with the damage of that feature."""
    return MUTATIONS[name][1](text, Damage(tape, draft))


def _is_native(name: str, scope: Scope) -> bool:
    if not scope.native or scope.dialect is None:
        return False
    return bool(own_markers(scope.dialect)) if name.startswith("marker-") else scope.calls or name in _FOR_PLAIN_TEXT


_FOR_PLAIN_TEXT = ("garbage", "long-repeat", "whitespace")


_ALL = frozenset(f"native:{name}" for name in MUTATIONS)
FEATURES: tuple[Feature, ...] = tuple(
    Feature(f"native:{name}", summary, "native", _nothing, find_native, partial(_is_native, name), _ALL)
    for name, (summary, _) in MUTATIONS.items()
)
