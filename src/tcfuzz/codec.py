"""Lossless ASCII JSON: what plain JSON loses is said by one-key tags, only where it is needed.

    {"~int": "…"}             an integer beyond ±2^53 (`0x…` where it is longer than Python reads in decimal)
    {"~float": "1.0"}         a float that other readers take for an integer, -0.0, nan, inf, -inf
    {"~str": ["a", 55296]}    text with lone surrogates, each as its code point
    {"~lines": [text, …]}     long text, cut after its line ends, joined without anything between
    {"~repeat": [text, n]}    the same text n times
    {"~obj": [[k, v], …]}     an object with duplicate keys, or keys that hold surrogates or begin with `~`

Document order is content. `dumps` and `loads` go from value to text and back, `encode` and `decode` do the tags alone.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tcfuzz.case import Case, Json, Message, Tool, ToolCall

T = TypeVar("T")

EXACT = 2**53
"""Beyond it readers that keep numbers as doubles change an integer."""
MAX_DECIMAL_BITS = 14_000
"""Integers of more bits are written in hexadecimal: Python refuses to read more than 4300 decimal digits."""
FOLD = 120
"""Text of more characters is folded into repetitions and lines, at line ends or else after spaces."""
MAX_TEXT = 100_000_000
"""The most characters that a `~repeat` may stand for; more is a broken file."""
DEEP = 5_000
"""Frames granted to a value that is nested deeper than Python's default allows."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_PIECES = re.compile("([\ud800-\udfff])")
_PERIODIC = re.compile(r"(.{1,16}?)\1{24,}", re.DOTALL)
_LINE = re.compile(rf"[^\n]{{0,{FOLD - 1}}}\n|[^\n]{{1,{FOLD}}}\Z|[^\n]{{{FOLD // 2},{FOLD - 1}}} |[^\n]{{1,{FOLD}}}")


@dataclass(frozen=True, slots=True)
class Pairs:
    """A JSON object with duplicate keys: its (key, value) pairs in document order. Made by `object_of`."""

    items: tuple[tuple[str, Json], ...]


def object_of(pairs: Iterable[tuple[str, Json]]) -> dict[str, Json] | Pairs:
    """A dict, or `Pairs` where a key stands twice. Serves as `object_pairs_hook` of `json.loads`."""
    items = tuple((key, value) for key, value in pairs)
    plain = dict(items)
    return plain if len(plain) == len(items) else Pairs(items)


# -- texts -------------------------------------------------------------------------------------------------------------


def dumps(value: Json) -> str:
    """The text of a file: document order, two-space indent, ASCII, a final newline.

    Raises TypeError for what is no JSON value.
    """
    return deeply(lambda: json.dumps(encode(value), indent=2) + "\n")


def dumps_compact(value: Json) -> str:
    """The same value on one line, made fast: text is not folded."""
    try:
        text = json.dumps(value, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError):
        text = ""
    # Python's own JSON reads back everything but adjacent surrogates; a tilde could be taken for a tag.
    if text and "~" not in text and "\\ud" not in text:
        return text
    return deeply(lambda: json.dumps(encode(value, fold=False), separators=(",", ":")))


def loads(text: str) -> Json:
    """The value in a text. Raises ValueError (line and column in its text) for broken JSON or a broken tag."""
    return decode(loads_tagged(text))


def loads_tagged(text: str) -> Json:
    """The same with its tags as they stand, `Pairs` where plain JSON has duplicate keys."""
    return deeply(lambda: json.loads(text, object_pairs_hook=object_of))


def loads_prefix(text: str) -> Json:
    """The first value in a text, whatever follows it."""
    decoder = json.JSONDecoder(object_pairs_hook=object_of)
    return decode(deeply(lambda: decoder.raw_decode(text)[0]))


def deeply(function: Callable[[], T]) -> T:
    """Call it, once more with a higher recursion limit where that was too low; ValueError where both are."""
    try:
        return function()
    except RecursionError:
        limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEEP))
    try:
        return function()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    finally:
        sys.setrecursionlimit(limit)


# -- tags: writing -----------------------------------------------------------------------------------------------------


def encode(value: Json, *, fold: bool = True) -> Json:
    """The value with tags. Tuples become lists. `fold`: long text as lines and repetitions.

    Raises TypeError for what is no JSON value.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encode_text(value, fold)
    if isinstance(value, int):
        return _encode_int(int(value))
    if isinstance(value, float):
        return _encode_float(float(value))
    if isinstance(value, (list, tuple)):
        return [encode(item, fold=fold) for item in value]
    if isinstance(value, Pairs):
        return _encode_pairs(value.items, fold)
    if isinstance(value, Mapping):
        return _encode_object(value, fold)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _encode_int(value: int) -> Json:
    if -EXACT <= value <= EXACT:
        return value
    return {"~int": str(value) if value.bit_length() <= MAX_DECIMAL_BITS else hex(value)}


def _encode_float(value: float) -> Json:
    return value if math.isfinite(value) and not value.is_integer() else {"~float": repr(value)}


def _encode_object(value: Mapping[str, Json], fold: bool) -> Json:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"an object's key is a {type(key).__name__}, not a string")
        if key.startswith("~") or _SURROGATE.search(key):
            return _encode_pairs(value.items(), fold)
    return {key: encode(item, fold=fold) for key, item in value.items()}


def _encode_pairs(items: Iterable[tuple[str, Json]], fold: bool) -> Json:
    return {"~obj": [[_encode_text(key, fold=False), encode(item, fold=fold)] for key, item in items]}


def _encode_text(text: str, fold: bool) -> Json:
    if fold and len(text) > FOLD:
        pieces = [_repeat(*piece) for piece in _folds(text)]
        return pieces[0] if len(pieces) == 1 else {"~lines": pieces}
    if not _SURROGATE.search(text):
        return str(text)
    pieces = [ord(piece) if _SURROGATE.match(piece) else piece for piece in _SURROGATE_PIECES.split(text) if piece]
    return {"~str": pieces}


def _repeat(text: str, count: int) -> Json:
    piece = _encode_text(text, fold=False)
    return piece if count == 1 else {"~repeat": [piece, count]}


def _folds(text: str) -> Iterator[tuple[str, int]]:
    """Pieces that give the text when joined: (line, 1), or (unit, how often) for a repetition."""
    position = 0
    for found in _PERIODIC.finditer(text):
        if len(found.group()) > FOLD:
            yield from ((line, 1) for line in _LINE.findall(text[position : found.start()]))
            yield found.group(1), len(found.group()) // len(found.group(1))
            position = found.end()
    yield from ((line, 1) for line in _LINE.findall(text[position:]))


# -- tags: reading -----------------------------------------------------------------------------------------------------


def decode(value: Json) -> Json:
    """The value that tagged JSON stands for. Raises ValueError for an unknown or broken tag."""
    return deeply(lambda: _decode(value))


def _decode(value: Json) -> Json:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, Pairs):
        _refuse_tags(key for key, _ in value.items)
        return Pairs(tuple((key, _decode(item)) for key, item in value.items))
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        (tag, content), *_ = value.items()
        if tag in _TAGS:
            return _TAGS[tag](content)
    _refuse_tags(value)
    return {key: _decode(item) for key, item in value.items()}


def _refuse_tags(keys: Iterable[str]) -> None:
    for key in keys:
        if key.startswith("~"):
            raise ValueError(f"unknown or misplaced tag {key!r}: it stands alone in its object")


def _decode_int(content: Json) -> int:
    if isinstance(content, str) and re.fullmatch(r"-?(0x[0-9a-f]+|[0-9]{1,4300})", content):
        return int(content, 16 if "x" in content else 10)
    raise ValueError("~int takes the digits of an integer as text")


def _decode_float(content: Json) -> float:
    if isinstance(content, str):
        try:
            return float(content)
        except ValueError:
            pass
    raise ValueError("~float takes the digits of a number as text")


def _decode_str(content: Json) -> str:
    if isinstance(content, list):
        parts = [chr(part) if type(part) is int and 0xD800 <= part <= 0xDFFF else part for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(parts)
    raise ValueError("~str takes a list of texts and surrogates' code points")


def _decode_lines(content: Json) -> str:
    if isinstance(content, list):
        parts = [_decode(part) for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(parts)
    raise ValueError("~lines takes a list of texts")


def _decode_repeat(content: Json) -> str:
    if isinstance(content, list) and len(content) == 2:
        text, count = _decode(content[0]), content[1]
        if isinstance(text, str) and type(count) is int and 0 <= count * len(text) <= MAX_TEXT:
            return text * count
    raise ValueError(f"~repeat takes [text, count] of at most {MAX_TEXT} characters")


def _decode_obj(content: Json) -> Json:
    if isinstance(content, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        pairs = [(_decode(key), _decode(item)) for key, item in content]
        if all(isinstance(key, str) for key, _ in pairs):
            return object_of(pairs)
    raise ValueError("~obj takes a list of [key, value]")


_TAGS: dict[str, Callable[[Json], Json]] = {
    "~int": _decode_int,
    "~float": _decode_float,
    "~str": _decode_str,
    "~lines": _decode_lines,
    "~repeat": _decode_repeat,
    "~obj": _decode_obj,
}


# -- cases -------------------------------------------------------------------------------------------------------------


def case_to_json(case: Case) -> dict[str, Json]:
    """`{"tools", "messages", "reply", "text", "chunks", "options"}` in OpenAI's shapes, without tags."""
    return {
        "tools": [tool.to_openai() for tool in case.tools],
        "messages": [message.to_openai() for message in case.messages],
        "reply": None if case.reply is None else case.reply.to_openai(),
        "text": case.text,
        "chunks": list(case.chunks),
        "options": dict(case.options),
    }


def case_from_json(value: Json) -> Case:
    """The case of `case_to_json`. Raises ValueError with the place of what is missing or ill-typed."""
    fields = _object(value, "input", ("tools", "messages", "reply", "text", "chunks", "options"))
    reply = fields.get("reply")
    return Case(
        tools=tuple(_tool(item, f"input.tools[{i}]") for i, item in enumerate(_list(fields, "tools", "input"))),
        messages=tuple(_message(m, f"input.messages[{i}]") for i, m in enumerate(_list(fields, "messages", "input"))),
        reply=None if reply is None else _message(reply, "input.reply"),
        text=_text_or_none(fields, "text", "input"),
        chunks=tuple(_sizes(fields)),
        options=_object(fields.get("options", {}), "input.options"),
    )


def _sizes(fields: Mapping[str, Json]) -> list[int]:
    sizes = _list(fields, "chunks", "input")
    if all(type(size) is int and size > 0 for size in sizes):
        return sizes
    raise ValueError("input.chunks holds something that is no positive number of characters")


def _tool(value: Json, where: str) -> Tool:
    function = _object(_object(value, where, ("type", "function")).get("function"), f"{where}.function")
    parameters = function.get("parameters")
    return Tool(
        name=_text(function, "name", f"{where}.function"),
        description=_text_or_none(function, "description", f"{where}.function"),
        parameters=None if parameters is None else _object(parameters, f"{where}.function.parameters"),
    )


def _message(value: Json, where: str) -> Message:
    known = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
    fields = _object(value, where, known)
    return Message(
        role=_text(fields, "role", where),
        content=_text_or_none(fields, "content", where),
        reasoning_content=_text_or_none(fields, "reasoning_content", where),
        tool_calls=tuple(_calls(fields, where)),
        tool_call_id=_text_or_none(fields, "tool_call_id", where),
        name=_text_or_none(fields, "name", where),
    )


def _calls(fields: Mapping[str, Json], where: str) -> Iterator[ToolCall]:
    for index, value in enumerate(_list(fields, "tool_calls", where)):
        yield _call(value, f"{where}.tool_calls[{index}]")


def _call(value: Json, where: str) -> ToolCall:
    fields = _object(value, where, ("id", "type", "function"))
    function = _object(fields.get("function"), f"{where}.function", ("name", "arguments"))
    return ToolCall(
        name=_text(function, "name", f"{where}.function"),
        arguments=_object(function.get("arguments"), f"{where}.function.arguments"),
        id=_text_or_none(fields, "id", where),
    )


def _object(value: Json, where: str, known: tuple[str, ...] | None = None) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is missing or no object")
    strange = [key for key in value if known is not None and key not in known]
    if strange and known is not None:
        raise ValueError(f"{where} has an unknown key {strange[0]!r} (known: {', '.join(known)})")
    return value


def _list(fields: Mapping[str, Json], key: str, where: str) -> list[Json]:
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f"{where}.{key} is no list")
    return value


def _text(fields: Mapping[str, Json], key: str, where: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{where}.{key} is missing or no text")
    return value


def _text_or_none(fields: Mapping[str, Json], key: str, where: str) -> str | None:
    return None if fields.get(key) is None else _text(fields, key, where)
