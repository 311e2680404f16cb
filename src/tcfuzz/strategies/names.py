"""Features of argument keys and tool names: `key:*` and `name:*`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from functools import partial

from tcfuzz.case import Case, Json
from tcfuzz.dialects.base import Dialect
from tcfuzz.strategies import markers
from tcfuzz.strategies.draft import Draft, Param
from tcfuzz.strategies.feature import Feature, with_made_tools
from tcfuzz.strategies.tape import Tape

LONG_NAME = 40
_SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")

_SCHEMA_WORDS = (
    "type", "description", "properties", "required", "nullable", "enum", "name", "arguments", "parameters",
    "format", "default", "title", "$ref", "$defs", "id", "value", "response", "call", "function", "anyOf",
)  # fmt: skip
# Servers name rules of their own after calls and tools, so `call` comes more often than the others.
_CALL_WORDS = (
    "class", "import", "print", "None", "name", "arguments", "call", "tool_call", "function", "functions",
    "all", "python", "code_interpreter", "brave_search", "type", "get", "items", "response", "parameters",
    "call", "calls", "call",
)  # fmt: skip
# In the order in which a key is classified; the samples are keys that real tools and attackers use.
KEY_SAMPLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "dict-method": (
        "keys that are methods of dictionaries, which templates may find first",
        ("items", "keys", "values", "get", "pop", "update", "copy", "clear", "length", "setdefault"),
    ),
    "schema-word": (
        "keys that are words of JSON schema or of tool calls",
        _SCHEMA_WORDS,
    ),
    "python-keyword": (
        "keys that are Python keywords or literals",
        ("from", "class", "def", "lambda", "None", "True", "import", "is", "in", "not", "self", "kwargs", "args"),
    ),
    "js-word": (
        "keys that JavaScript objects have already",
        ("constructor", "__proto__", "toString", "hasOwnProperty"),
    ),
    "empty": ("the empty key", ("",)),
    "long": ("keys of forty characters and more", ("amphibious" * 6, "k" * 64)),
    "space": ("keys with white space", ("a b", " a", "a ", "a\nb", "a\tb", "  ", "first name")),
    "hyphen": ("keys with hyphens", ("a-b", "first-name", "x-y-z", "-a", "a-", "--flag")),
    "dot": ("keys with dots", ("a.b", "user.name", "a.b.c", ".a", "a.")),
    "unicode": ("keys outside of ASCII", ("é", "漢字", "😀", "straße", "İd", "ключ", "e\u0301", "Ａ")),
    "quote-ish": ("keys with quotes or backslashes", ('a"b', "a'b", "a`b", "a\\b", '"', "'", "\\", 'a\\"', '"a"')),
    "digits": ("keys that begin with a digit", ("0", "1", "10", "9", "007", "1a", "2nd", "3_d")),
    "case-order": (
        "keys with capitals or leading underscores, which sort differently by different rules",
        ("B", "Z", "aB", "Aa", "_", "_a", "__", "camelCase", "ID", "Zebra_x"),
    ),
    "punctuation": (
        "keys with punctuation",
        ("a:b", "a=b", "a>b", "a,b", "a{b", "a}b", "a<b", "a(b)", "a[0]", "a/b", "@a", "#a", "a&b", "a|b", "$a", "*"),
    ),
}
_RESERVED = {
    sample: name
    for name, (_, samples) in KEY_SAMPLES.items()
    if name in ("dict-method", "schema-word", "python-keyword", "js-word")
    for sample in samples
}
NAME_SAMPLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "keyword": (
        "tool names that are keywords, or words of tool calls",
        _CALL_WORDS,
    ),
    "long": ("tool names of forty characters and more", ("get_the_current_weather_in_a_given_location_now", "a" * 64)),
    "hyphen": ("tool names with hyphens", ("get-weather", "a-b", "directly-answer", "mcp-server-search-files")),
    "dot": ("tool names with dots", ("ns.tool", "a.b.c", "functions.f", "browser.open")),
    "digit": ("tool names with digits", ("f1", "1f", "get_2nd", "v2_search", "0")),
    "short": ("tool names of one character", ("f", "_", "F", "x")),
    "mixed-case": (
        "tool names with capitals or with several underscores in a row",
        ("getWeather", "GetWeather", "mcp__server__tool", "_private", "F_G", "SEARCH"),
    ),
}


# -- how they are recognised ------------------------------------------------------------------------------------------


def key_class(key: str, dialect: Dialect | None = None) -> str | None:
    """The one class of a key, None for a plain one."""
    if key in _RESERVED:
        return _RESERVED[key]
    if keyword.iskeyword(key):
        return "python-keyword"
    if not key:
        return "empty"
    found: set[str] = set()
    markers.take_markers(key, dialect, found)
    if found:
        return "markers"
    if len(key) >= LONG_NAME:
        return "long"
    if _SNAKE.fullmatch(key):
        return None
    return next(name for name, test in _KEY_TESTS.items() if re.search(test, key))


_KEY_TESTS = {
    "space": r"\s",
    "unicode": r"[^\x00-\x7f]",
    "quote-ish": r"[\"'`\\]",
    "punctuation": r"[^\w.-]",
    "hyphen": "-",
    "dot": r"\.",
    "digits": r"\A\d",
    "case-order": "",
}


def name_class(name: str) -> str | None:
    """The one class of a tool name, None for a plain one."""
    if name in NAME_SAMPLES["keyword"][1] or keyword.iskeyword(name):
        return "keyword"
    if len(name) >= LONG_NAME:
        return "long"
    if len(name) == 1 and not name.isdigit():
        return "short"
    tests = {"hyphen": "-", "dot": r"\.", "digit": r"\d", "mixed-case": r"[A-Z]|__|\A_"}
    return next((kind for kind, test in tests.items() if re.search(test, name)), None)


def _has_prefix(names: list[str]) -> bool:
    return any(a and a != b and b.startswith(a) for a in names for b in names)


def _objects(value: Json) -> Iterator[Mapping[str, Json]]:
    """The objects of a value that are small enough to be compared key by key."""
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _objects(item)


def find_keys(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """All `key:*` features of the arguments in a case."""
    found: set[str] = set()
    for message in case.conversation():
        for call in message.tool_calls:
            for value in _objects(call.arguments):
                keys = list(value)
                found.update(name for key in keys if (name := key_class(key, dialect)))
                if keys != sorted(keys, key=str.lower):
                    found.add("unsorted")
                if len(keys) <= LONG_NAME and _has_prefix(keys):
                    found.add("prefix-of-another")
    return frozenset(f"key:{name}" for name in found)


def find_names(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """All `name:*` features of the tools in a case."""
    names = [tool.name for tool in case.tools]
    found = {kind for name in names if (kind := name_class(name))}
    if len(names) <= LONG_NAME and _has_prefix(names):
        found.add("prefix-of-another")
    if any(a != b and _plain_form(a) == _plain_form(b) for a in names for b in names):
        found.add("collision")
    return frozenset(f"name:{name}" for name in found)


def _plain_form(name: str) -> str:
    return re.sub(r"\W", "_", name).lower()


# -- how they are made ------------------------------------------------------------------------------------------------


def _put_key(draft: Draft, tape: Tape, key: str) -> None:
    """Rename a parameter, or a member inside of an object."""
    tool = draft.target_tool(tape)
    if key in [param.key for param in tool.params]:
        return
    if tape.chance(1, 4):
        draft.place(tape, {"type": "object"}, lambda: {key: draft.argument()})
        return
    plain = [param for param in tool.params if key_class(param.key, draft.dialect) is None]
    (tape.pick(plain) if plain else draft.add_string(tool)).key = key


def _key(samples: tuple[str, ...], draft: Draft, tape: Tape) -> None:
    _put_key(draft, tape, tape.pick(samples))
    if tape.chance(1, 3):
        _put_key(draft, tape, tape.pick(samples))


def _marker_key(draft: Draft, tape: Tape) -> None:
    known = markers.marker_texts(draft.dialect)
    own = [text for text in known.roles_of if "\n" not in text] or list(known.foreign)
    _put_key(draft, tape, tape.pick(own))


def _unsorted(draft: Draft, tape: Tape) -> None:
    draft.sort = False
    tool = draft.target_tool(tape)
    while len(tool.params) < 2 + tape.below(3):
        draft.add_string(tool)
    if tape.chance(1, 3):
        # Maps inside of an ordered map are often plain ones.
        keys = (draft.words.next(), draft.words.next())
        draft.place(tape, {"type": "object"}, lambda: {key: draft.argument() for key in keys})


def _second(draft: Draft, tape: Tape) -> tuple[Param, Param]:
    tool = draft.target_tool(tape)
    while len(tool.params) < 2:
        draft.add_string(tool)
    return tool.params[0], tool.params[1]


def _prefix_key(draft: Draft, tape: Tape) -> None:
    first, second = _second(draft, tape)
    second.key = first.key + tape.pick(("s", "_id", "er", "1"))


def _name(samples: tuple[str, ...], draft: Draft, tape: Tape) -> None:
    tool = draft.target_tool(tape)
    name = tape.pick(samples)
    if name not in [other.name for other in draft.tools]:
        tool.name = name


def _prefix_name(draft: Draft, tape: Tape) -> None:
    tool, other = draft.target_tool(tape), draft.other_tool()
    stem = tool.name
    longer = stem + tape.pick(("_now", "s", "_all_pages"))
    if tape.chance(1, 2):
        tool.name = longer
        other.name = stem
    else:
        other.name = longer


def _collision(draft: Draft, tape: Tape) -> None:
    tool, other = draft.target_tool(tape), draft.other_tool()
    word = draft.words.next()
    tool.name, other.name = tape.pick(((f"get-{word}", f"get_{word}"), (f"get_{word}", f"Get_{word}")))


def _key_feature(name: str, summary: str, samples: tuple[str, ...]) -> Feature:
    return Feature(f"key:{name}", summary, "parameters", partial(_key, samples), find_keys, with_made_tools, _NESTED)


_NESTED = frozenset({"value:object", "key:prefix-of-another"})
_CALLED = frozenset({"schema:tool-never-called"})
FEATURES: tuple[Feature, ...] = (
    *(_key_feature(name, summary, samples) for name, (summary, samples) in KEY_SAMPLES.items()),
    Feature("key:markers", "keys that are own markers", "parameters", _marker_key, find_keys, with_made_tools, _NESTED),
    Feature("key:unsorted", "keys that are not in order", "parameters", _unsorted, find_keys, with_made_tools, _NESTED),
    Feature(
        "key:prefix-of-another",
        "keys that begin with another key",
        "parameters",
        _prefix_key,
        find_keys,
        with_made_tools,
    ),
    *(
        Feature(f"name:{name}", summary, "parameters", partial(_name, samples), find_names, with_made_tools)
        for name, (summary, samples) in NAME_SAMPLES.items()
    ),
    Feature(
        "name:prefix-of-another",
        "a tool name that begins with another tool's",
        "parameters",
        _prefix_name,
        find_names,
        with_made_tools,
        _CALLED,
    ),
    Feature(
        "name:collision",
        "tool names that fall together when made to identifiers or folded in case",
        "parameters",
        _collision,
        find_names,
        with_made_tools,
        _CALLED | {"name:hyphen", "name:mixed-case"},
    ),
)
