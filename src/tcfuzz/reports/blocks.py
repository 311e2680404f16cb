"""What the terminal, `tcfuzz show`, JUnit and pytest share: one failure as a few lines of text.

Everything here is `rich.text.Text` built from strings that were made visible first; nothing is ever read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tcfuzz.case import Case, Json, Message, Tool, ToolCall
from tcfuzz.codec import MAX_DECIMAL_BITS, Pairs, deeply
from tcfuzz.escape import visible
from tcfuzz.events import Bug
from tcfuzz.finding import Finding

LABEL = 10
"""Columns of the names on the left."""
MAX_LINES = 4
"""Lines that one value may take in a block; `tcfuzz show` has the whole."""
MAX_MESSAGES = 6
_PLAIN_GLYPHS = {"…": "...", "·": "-", "→": "->", "×": "x"}


@dataclass(frozen=True, slots=True)
class Look:
    """How wide a text may be, and whether the terminal can show more than ASCII."""

    width: int = 100
    ascii_only: bool = False

    @classmethod
    def of(cls, console: Console) -> Look:
        """That of a console."""
        return cls(max(console.width, 40), console.options.ascii_only)

    @property
    def room(self) -> int:
        """Columns right of the names."""
        return self.width - LABEL - 3

    def show(self, text: str) -> str:
        """A supplied text, everything in it visible."""
        return visible(text, ascii_only=self.ascii_only)

    def native(self, text: str) -> str:
        """A native text, unquoted: white space at its ends visible, too."""
        space = "\\x20" if self.ascii_only else "␠"
        left, right = len(text) - len(text.lstrip(" ")), len(text.rstrip(" "))
        return space * left + self.show(text[left:right]) + space * (len(text) - max(right, left))

    def glyphs(self, text: str) -> str:
        """A sentence of ours with what was put into it: all visible, our ornaments in ASCII where it must be."""
        if self.ascii_only:
            text = "".join(_PLAIN_GLYPHS.get(character, character) for character in text)
        return self.show(text)

    def clip(self, text: str, room: int) -> str:
        """At most `room` characters."""
        dots = self.glyphs("…")
        return text if len(text) <= room else text[: max(room - len(dots), 0)] + dots


def relative(path: Path) -> Path:
    """A path as one types it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def literal(value: Json) -> str:
    """A value as JSON on one line; `Pairs` and huge integers too. Not made visible yet."""
    return deeply(lambda: _literal(value))


def _literal(value: Json) -> str:
    if isinstance(value, Mapping):
        return _object(value.items())
    if isinstance(value, Pairs):
        return _object(value.items)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([_literal(item) for item in value]) + "]"
    if isinstance(value, int) and value.bit_length() > MAX_DECIMAL_BITS:
        return hex(value)
    return json.dumps(value, ensure_ascii=False, default=repr)


def _object(items: Iterable[tuple[str, Json]]) -> str:
    return "{" + ", ".join([f"{json.dumps(key, ensure_ascii=False)}: {_literal(item)}" for key, item in items]) + "}"


# -- a failure ---------------------------------------------------------------------------------------------------------


def block(bug: Bug, look: Look, *, path: Path | None = None, known: bool = False) -> Text:
    """One failure: what a user loses, blame, the small case, expected against actual, file and replay command."""
    count = f"{bug.count} case{'' if bug.count == 1 else 's'}"
    facts = [count, "known" if known else "new", *(() if bug.shrunk else ("not shrunk",))]
    lines = [
        heading(bug.id, bug.finding, look, facts),
        *case_lines(bug.case, bug.finding, look),
        *difference_lines(bug.finding, look),
        *(row("features", look.show(", ".join(bug.fingerprint.features))) for _ in bug.fingerprint.features[:1]),
        *file_lines(path, look),
    ]
    return Text("\n").join(lines)


def block_text(bug: Bug, *, path: Path | None = None, known: bool = False, width: int = 100) -> str:
    """The same as plain text, for pytest and JUnit."""
    return block(bug, Look(width), path=path, known=known).plain


def heading(name: str, finding: Finding, look: Look, facts: Iterable[str] = ()) -> Text:
    """Two lines: name, blame and kind; what a user loses."""
    label = "FAIL" if finding.severity == "must" else finding.severity.upper()
    text = Text(f"{label} ", style="bold red" if finding.severity == "must" else "bold yellow")
    text.append(look.show(name), style="bold default")
    details = [f"blame: {finding.blame}", finding.kind, *facts]
    text.append(look.glyphs("  " + " · ".join(details)), style="not bold dim")
    text.append("\n  " + look.glyphs(finding.loss), style="not bold default")
    return text


def row(name: str, value: str | Text, style: str = "") -> Text:
    """`name      value`."""
    return Text.assemble((f"  {name:<{LABEL}}", "dim"), value if isinstance(value, Text) else (value, style))


def file_lines(path: Path | None, look: Look) -> Iterator[Text]:
    """The crasher's path and the command that runs it again."""
    if path is not None:
        path = relative(path)
        yield row("crasher", look.show(str(path)), "cyan")
        yield row("replay", look.show(f"tcfuzz replay {shell_word(str(path))}"), "cyan")


def shell_word(text: str) -> str:
    """A path as one word of a command line."""
    safe = text and all(character.isalnum() or character in "/._-+:@%,=" for character in text)
    return text if safe else "'" + text.replace("'", "'\\''") + "'"


# -- the case ----------------------------------------------------------------------------------------------------------


def case_lines(case: Case, finding: Finding, look: Look) -> Iterator[Text]:
    """What of the case a reader needs to see the failure: messages for a renderer, the text for a parser."""
    if finding.blame in ("renderer", "self") or case.reply is None:
        yield from _messages(case.messages, look)
    if case.reply is not None:
        yield from _message(case.reply, look)
    if finding.oracle in ("tools-declared", "schema-valid") or finding.path.startswith("tools["):
        yield from (_folded("tool", tool_words(tool), look) for tool in case.tools)
    if case.options:
        yield _folded("options", literal(case.options), look)
    text = finding.text if finding.text is not None else case.text
    if len(finding.chunks) > 1:
        yield _folded("chunks", " ".join(map(literal, finding.chunks)), look)
    elif text is not None:
        yield _folded("text", text, look, native=True)


def _messages(messages: tuple[Message, ...], look: Look) -> Iterator[Text]:
    for message in messages[-MAX_MESSAGES:]:
        yield from _message(message, look)
    if len(messages) > MAX_MESSAGES:
        yield row("", look.glyphs(f"… after {len(messages) - MAX_MESSAGES} earlier messages"), "dim")


def _message(message: Message, look: Look) -> Iterator[Text]:
    if message.reasoning_content is not None:
        yield _folded("reasoning", literal(message.reasoning_content), look)
    if message.content or not message.tool_calls:
        yield _folded(message.role[:LABEL], literal(message.content), look)
    yield from (_folded("call", call_words(call), look) for call in message.tool_calls)


def call_words(call: ToolCall) -> str:
    """`name({"a": 1})`."""
    return f"{call.name}({literal(call.arguments)})"


def tool_words(tool: Tool) -> str:
    """`name(schema)`, with its description."""
    description = "" if tool.description is None else f" {literal(tool.description)}"
    return f"{tool.name}({'' if tool.parameters is None else literal(tool.parameters)}){description}"


def _folded(name: str, value: str, look: Look, *, native: bool = False) -> Text:
    show = look.native if native else look.show
    lines = fold(show(look.clip(value, look.room * MAX_LINES)), look.room)
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], look.glyphs(f"… ({len(value)} characters)")]
    return Text("\n").join(row("" if index else name, line) for index, line in enumerate(lines))


def wrap(text: str, room: int) -> list[str]:
    """The same for a sentence: between words, where they are short enough."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) > room:
            lines.append("")
        first, *rest = fold(f"{lines[-1]} {word}" if lines[-1] else word, room)
        lines[-1:] = [first, *rest]
    return lines


def fold(text: str, room: int) -> list[str]:
    """Lines of at most `room` columns; at least one line."""
    lines, line, width = [], "", 0
    for character in text:
        size = cell_len(character)
        if width + size > room:
            lines.append(line)
            line, width = "", 0
        line += character
        width += size
    return [*lines, line]


# -- expected against actual -------------------------------------------------------------------------------------------


def difference_lines(finding: Finding, look: Look) -> Iterator[Text]:
    """Expected above actual, cut to where they differ, the difference coloured and marked by carets."""
    if finding.path:
        yield row("at", look.show(finding.path))
    expected, actual = (look.show(literal(value)) for value in (finding.expected, finding.actual))
    start, left, right = change(expected, actual)
    first = 0 if max(map(len, (expected, actual))) <= look.room else max(0, start - look.room // 3)
    yield row("expected", _window(expected, first, (start, left), "bold green", look))
    actual_line = _window(actual, first, (start, right), "bold red", look)
    yield row("actual", actual_line)
    carets = _carets(actual_line, "bold red")
    if carets and expected != actual:
        yield row("", carets, "red")


def change(expected: str, actual: str) -> tuple[int, int, int]:
    """Where two texts begin to differ, and where the difference ends in each."""
    limit = min(len(expected), len(actual))
    start = next((i for i in range(limit) if expected[i] != actual[i]), limit)
    tail = next((i for i in range(limit - start) if expected[-1 - i] != actual[-1 - i]), limit - start)
    return start, len(expected) - tail, len(actual) - tail


def _window(text: str, first: int, marked: tuple[int, int], style: str, look: Look) -> Text:
    """One line of a long text, from `first` on; the marked part at least one character wide."""
    dots = look.glyphs("…")
    lead = dots if first else ""
    shown = look.clip(text[first:], look.room - len(lead))
    line = Text(lead + shown)
    start = min(marked[0] - first + len(lead), max(len(line.plain) - 1, 0))
    line.stylize(style, start, max(min(marked[1] - first + len(lead), len(line.plain)), start + 1))
    return line


def _carets(line: Text, style: str) -> str:
    span = next((span for span in line.spans if span.style == style), None)
    if span is None:
        return ""
    return " " * cell_len(line.plain[: span.start]) + "^" * max(cell_len(line.plain[span.start : span.end]), 1)
