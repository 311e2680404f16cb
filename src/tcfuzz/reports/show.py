"""`tcfuzz show`: one crasher as a whole, expected beside actual, nothing invisible in it."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tcfuzz.case import Case, Json, Message
from tcfuzz.codec import Pairs, deeply
from tcfuzz.crashers import Crasher
from tcfuzz.finding import Finding
from tcfuzz.reports.blocks import (
    LABEL,
    Look,
    call_words,
    change,
    file_lines,
    fold,
    heading,
    literal,
    row,
    tool_words,
    wrap,
)
from tcfuzz.reports.terminal import print_lines

SIDE_BY_SIDE = 80
"""Columns of a terminal from which on expected and actual stand side by side."""
SMALL = 30
"""Characters of a list or object that stays on one line."""
CONTEXT = 3
"""Equal lines that are shown around each that differs."""
MAX_ROWS = 400
"""Lines of expected and actual; the file has the rest."""
MAX_SHOWN = 100_000
"""Characters of one value; the file has the rest."""


def show(console: Console, crasher: Crasher, path: Path | None = None) -> None:
    """Print a crasher: what is wrong, the rule, the target, the input, expected and actual, where it comes from."""
    look = Look.of(console)
    print_lines(console, _about(crasher, look))
    print_lines(console, [Text(""), _title("input"), *case_rows(crasher.case, look)])
    print_lines(console, [Text(""), *_evidence(crasher.case, crasher.finding, look)])
    print_lines(console, [Text(""), *comparison(crasher.finding.expected, crasher.finding.actual, look)])
    print_lines(console, [Text(""), *_origin(crasher, look), *file_lines(path, look)])


def show_case(console: Console, case: Case) -> None:
    """Print a case alone."""
    print_lines(console, case_rows(case, Look.of(console)))


def _title(text: str) -> Text:
    return Text(text, style="bold underline")


def _about(crasher: Crasher, look: Look) -> Iterator[Text]:
    yield heading(crasher.id, crasher.finding, look, [f"status: {crasher.status}"])
    yield from _rows("rule", crasher.oracle.rule, look, "prose")
    target = crasher.target
    words = [target.name, target.model, target.dialect or "", target.version]
    yield from _rows("target", ", ".join(dict.fromkeys(word for word in words if word)), look, "prose")
    yield from _rows("features", ", ".join(crasher.features), look, "prose")
    yield from _rows("issue", crasher.issue or "", look)
    yield from _rows("notes", crasher.notes, look, "prose")


def _origin(crasher: Crasher, look: Look) -> Iterator[Text]:
    origin = crasher.provenance
    words = [
        f"found {origin.date}",
        f"tcfuzz {origin.tcfuzz}",
        f"hypothesis {origin.hypothesis}",
        f"seed {origin.seed}",
    ]
    words += [] if origin.shrunk else ["not shrunk"]
    words += ["redacted"] if origin.redacted else []
    yield from _rows("origin", ", ".join(words), look, "prose")


def case_rows(case: Case, look: Look) -> Iterator[Text]:
    """All of a case."""
    for tool in case.tools:
        yield from _rows("tool", tool_words(tool), look)
    for message in case.messages:
        yield from _message(message.role, message, look)
    if case.reply is not None:
        yield from _message("reply", case.reply, look)
    if case.options:
        yield from _rows("options", literal(case.options), look)
    if case.text is not None:
        yield from _rows("text", case.text, look, "native")
    if case.chunks:
        yield from _rows("chunks", ", ".join(map(str, case.chunks)), look)


def _message(name: str, message: Message, look: Look) -> Iterator[Text]:
    if message.reasoning_content is not None:
        yield from _rows("reasoning", literal(message.reasoning_content), look)
    answers = "".join(f"{key}={literal(value)} " for key, value in _binding(message).items())
    if message.content is not None or answers or not message.tool_calls:
        yield from _rows(name, answers + literal(message.content), look)
    for call in message.tool_calls:
        yield from _rows("call", ("" if call.id is None else f"{call.id}: ") + call_words(call), look)


def _binding(message: Message) -> Mapping[str, str]:
    given = {"tool_call_id": message.tool_call_id, "name": message.name}
    return {key: value for key, value in given.items() if value is not None}


def _evidence(case: Case, finding: Finding, look: Look) -> Iterator[Text]:
    """The text that broke, where it is not the case's own, and how it was cut."""
    if finding.text is not None and finding.text != case.text:
        yield from _rows("rendered" if finding.blame == "renderer" else "text", finding.text, look, "native")
    for index, chunk in enumerate(finding.chunks):
        yield from _rows("" if index else "chunks", literal(chunk), look)
    yield from _rows("at", finding.path, look)


def _rows(name: str, value: str, look: Look, kind: Literal["value", "native", "prose"] = "value") -> Iterator[Text]:
    """A value in as many lines as it needs; none for nothing, but for a native text."""
    if not value and kind != "native":
        return
    clipped = look.clip(value, MAX_SHOWN)
    shown = look.native(clipped) if kind == "native" else look.show(clipped)
    for index, line in enumerate((wrap if kind == "prose" else fold)(shown, look.room)):
        yield row("" if index else name[:LABEL], line)


# -- expected beside actual --------------------------------------------------------------------------------------------


def comparison(expected: Json, actual: Json, look: Look) -> Iterator[Text]:
    """Both values, a JSON line each, side by side or, in a narrow terminal, one above the other.

    A line that differs is marked by `!`, its difference coloured.
    """
    left, right = ([look.show(line) for line in pretty(value)] for value in (expected, actual))
    if look.width < SIDE_BY_SIDE:
        yield from _stacked(left, right, look)
        return
    half = (look.width - 5) // 2
    yield Text(f"  {'expected':<{half}} {'actual'}", style="bold underline")
    for one, other in _aligned(left, right):
        yield from _pair(one, other, half)


def _stacked(left: list[str], right: list[str], look: Look) -> Iterator[Text]:
    pairs = list(_aligned(left, right))
    for name, style, sides in (
        ("expected", "bold green", pairs),
        ("actual", "bold red", [(other, one) for one, other in pairs]),
    ):
        yield _title(name)
        for line, other in sides:
            if line is not None:
                start, end, _ = change(line, other or "")
                yield from _marked(line, (start, end), style, line != other, look)


def _marked(line: str, changed: tuple[int, int], style: str, differs: bool, look: Look) -> Iterator[Text]:
    passed = 0
    for part in fold(line, look.width - 3):
        text = Text(part)
        if differs:
            text.stylize(style, max(changed[0] - passed, 0), max(changed[1] - passed, 0))
        passed += len(part)
        yield Text.assemble(("! " if differs else "  ", "bold red"), text)


_Pair = tuple[str | None, str | None]
"""A line of expected and the line of actual beside it; None where one side has none."""


def _aligned(left: list[str], right: list[str]) -> Iterator[_Pair]:
    """Lines that belong together, long runs of equal ones and whatever is too much left out."""
    pairs = list(_matched(left[:MAX_ROWS], right[:MAX_ROWS]))
    changed = [index for index, (one, other) in enumerate(pairs) if one != other]
    near = {i for index in changed for i in range(index - CONTEXT, index + CONTEXT + 1)}
    for equal, run in itertools.groupby(enumerate(pairs), lambda item: item[0] not in near):
        lines = [pair for _, pair in run]
        if equal and len(lines) > 2 * CONTEXT and changed:
            lines = [(f"({len(lines)} equal lines)",) * 2]
        yield from lines
    if max(len(left), len(right)) > MAX_ROWS:
        yield (f"({max(len(left), len(right)) - MAX_ROWS} more lines)",) * 2


def _matched(left: list[str], right: list[str]) -> Iterator[_Pair]:
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for _, i1, i2, j1, j2 in matcher.get_opcodes():
        for offset in range(max(i2 - i1, j2 - j1)):
            one = left[i1 + offset] if i1 + offset < i2 else None
            other = right[j1 + offset] if j1 + offset < j2 else None
            yield one, other


def _pair(one: str | None, other: str | None, half: int) -> Iterator[Text]:
    start, end, other_end = change(one or "", other or "")
    left, right = fold(one or "", half - 1), fold(other or "", half - 1)
    passed = [0, 0]
    for index in range(max(len(left), len(right))):
        parts = [side[index] if index < len(side) else "" for side in (left, right)]
        cells = [Text(part) for part in parts]
        if one != other:
            cells[0].stylize("bold green", max(start - passed[0], 0), max(end - passed[0], 0))
            cells[1].stylize("bold red", max(start - passed[1], 0), max(other_end - passed[1], 0))
        passed = [before + len(part) for before, part in zip(passed, parts, strict=True)]
        padding = " " * (half - cell_len(parts[0]))
        line = Text.assemble(("! " if one != other else "  ", "bold red"), cells[0], padding, " ", cells[1])
        line.rstrip()
        yield line


def pretty(value: Json) -> list[str]:
    """JSON in lines of two-space indent, `Pairs` and huge integers too. Small lists and objects stay on one line.

    A text of several lines (a prompt) becomes one quoted text a line.
    """
    return deeply(lambda: list(_lines(value, "")))


def _lines(value: Json, before: str) -> Iterator[str]:
    """The lines of a value that has `before`, its key, in front of it."""
    if isinstance(value, str) and "\n" in value[:-1]:
        first, *rest = [literal(part) for part in re.split(r"(?<=\n)", value) if part]
        yield from (before + first, *rest)
        return
    items = _items(value)
    if not items or (not any(_items(item) for _, item in items) and len(literal(value)) <= SMALL):
        yield before + literal(value)
        return
    is_list = isinstance(value, (list, tuple))
    yield before + ("[" if is_list else "{")
    for index, (key, item) in enumerate(items):
        lines = list(_lines(item, "" if is_list else json.dumps(key, ensure_ascii=False) + ": "))
        lines[-1] += "," if index + 1 < len(items) else ""
        yield from ("  " + line for line in lines)
    yield "]" if is_list else "}"


def _items(value: Json) -> list[tuple[str, Json]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, Pairs):
        return list(value.items)
    return [("", item) for item in value] if isinstance(value, (list, tuple)) else []
