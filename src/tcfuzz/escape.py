"""Nasty strings made safe and visible: for a terminal, for rich, for file names, for XML.

Everything that a reader could not see or that could act on a terminal is shown: control characters as their
pictures (␊ ␛), other invisible or direction-changing ones, odd white space, combining marks and lone surrogates as
`\\u202e`. The text that results holds nothing but printable characters and spaces.
"""

from __future__ import annotations

import re
import unicodedata

from rich.markup import escape as _escape_markup

SHOWN_AS_CODE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Mn", "Me"})
"""Unicode categories that are shown as code points; combining marks because they hide in the letter before them."""
MAX_NAME = 60
"""Characters of a file name's part: two parts and a digest stay below every file system's 255 bytes."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class _Visible(dict[int, str]):
    """A table for `str.translate` that fills itself; `ascii_only` for terminals that can show nothing else."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._ascii_only = ascii_only

    def __missing__(self, code: int) -> str:
        self[code] = shown = self._show(code)
        return shown

    def _show(self, code: int) -> str:
        if 0x20 <= code < 0x7F:
            return chr(code)
        if self._ascii_only:
            return chr(code).encode("unicode_escape", "surrogatepass").decode("ascii")
        if code < 0x20:
            return chr(0x2400 + code)
        if code == 0x7F:
            return "\u2421"
        if unicodedata.category(chr(code)) in SHOWN_AS_CODE:
            return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        return chr(code)


_VISIBLE = _Visible(ascii_only=False)
_ASCII = _Visible(ascii_only=True)


def visible(text: str, *, ascii_only: bool = False) -> str:
    """The text on one line, with nothing invisible in it."""
    return text.translate(_ASCII if ascii_only else _VISIBLE)


def visible_lines(text: str, *, ascii_only: bool = False) -> list[str]:
    """The text's lines, each with its line end visible; `"a\\nb"` gives `["a␊", "b"]`."""
    return [visible(line, ascii_only=ascii_only) for line in re.split(r"(?<=\n)", text) if line] or [""]


def markup(text: str) -> str:
    """Visible, and no markup for rich."""
    return _escape_markup(visible(text))


def xml(text: str) -> str:
    """Only characters that XML 1.0 allows, line ends kept. `<`, `&` and quotes are left to the XML writer."""
    return "\n".join(visible(line) for line in text.split("\n"))


def slug(text: str, limit: int = MAX_NAME) -> str:
    """A part of a file name that every file system takes: letters, digits, `.`, `_`, `-`; never empty or reserved."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    name = re.sub(r"-{2,}", "-", name)[:limit].strip("-. ") or "x"
    return f"_{name}" if _RESERVED.fullmatch(name) else name
