"""What dialects share: typing arguments by the schema, and reading a text however it is fed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcfuzz.case import Json, Tool
from tcfuzz.dialects.base import ToolIndex
from tcfuzz.dialects.syntax.casting import cast, is_ambiguous, types_of
from tcfuzz.dialects.syntax.reader import Machine, Markers, Reader

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=100)


# -- casting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["integer", "null"]}, {"integer", "null"}),
        ({"type": "integer", "nullable": True}, {"integer", "null"}),
        ({"anyOf": [{"type": "string"}, {"oneOf": [{"type": "array"}]}]}, {"string", "array"}),
        ({"allOf": [{"type": ["string", "null"]}, {"type": "string"}, {"minLength": 1}]}, {"string"}),
        (
            {"enum": ["a", 1, None, True, 1.5, [], {}]},
            {"string", "integer", "null", "boolean", "number", "array", "object"},
        ),
        ({"const": "x"}, {"string"}),
        ({"$ref": "#/$defs/a~1b"}, {"boolean"}),
        ({"$ref": "#/$defs/loop"}, {"array"}),
        ({"$ref": "#/$defs/none"}, set()),
        ({"$ref": "http://elsewhere"}, set()),
        ({}, set()),
        (True, set()),
        (None, set()),
        ({"type": 7, "anyOf": {"type": "string"}}, set()),
    ],
)
def test_types_of_a_schema(schema: Json, types: set[str]) -> None:
    root = {"$defs": {"a/b": {"type": "boolean"}, "loop": {"anyOf": [{"$ref": "#/$defs/loop"}, {"type": "array"}]}}}
    assert types_of(schema, root) == types


@pytest.mark.parametrize(
    ("text", "types", "value"),
    [
        ("7", {"integer"}, 7),
        ("7.0", {"integer"}, 7.0),
        ("7.5", {"integer"}, 7.5),
        ("1e+06", {"integer"}, "1e+06"),
        ("1e+06", {"integer", "null"}, "1e+06"),
        ("1e+06", {"number"}, 1e6),
        ("12345678901234567890", {"number"}, 12345678901234567890),
        ("1e400", {"number"}, "1e400"),
        ("nan", {"number"}, "nan"),
        ("TRUE", {"boolean"}, True),
        ("None", {"string", "null"}, None),
        ("null", {"string"}, "null"),
        ("7", {"string", "integer"}, 7),
        ("x", {"string", "integer"}, "x"),
        ("7", set(), "7"),
        ("[1]", {"array"}, [1]),
        ("[1]", {"object"}, [1]),
        ("[1", {"array"}, "[1"),
    ],
)
def test_cast(text: str, types: set[str], value: Json) -> None:
    result = cast(text, frozenset(types))
    assert (type(result), result) == (type(value), value)


def test_a_string_is_ambiguous_where_more_than_a_string_may_stand() -> None:
    spellings = ("7", "1_0", "٣", "inf", " True", "none", "'x'", "(1,)", "-0x1f", "{", "1e3")
    assert all(is_ambiguous(text, frozenset()) for text in spellings)
    assert not any(is_ambiguous(text, frozenset({"string"})) for text in spellings)
    assert not any(is_ambiguous(text, frozenset()) for text in ("", "a", "3 apples", "true story", "a{"))


# -- the reader --------------------------------------------------------------------------------------------------------


def run(machine: Callable[[Reader, list[Any]], Machine], chunks: Sequence[str]) -> list[Any]:
    """What a machine noted when it was fed by chunks, and what was left unread."""
    read, notes = Reader(), []
    paused = machine(read, notes)
    for chunk in chunks:
        read.feed(chunk)
        if paused is not None and next(paused, "done") == "done":
            paused = None
    read.end()
    if paused is not None:
        assert next(paused, "done") == "done"
    return [*notes, read.text[read.pos :]]


def until(*markers: str) -> Callable[[Reader, list[Any]], Machine]:
    sought = Markers(markers)

    def machine(read: Reader, notes: list[Any]) -> Machine:
        marker: str | None = ""
        while marker is not None:
            text, marker = yield from read.take_until(sought)
            notes.append((text, marker))

    return machine


@settings(FIXED, max_examples=400)
@given(
    st.lists(st.text("ab<", min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.text("ab<", max_size=4), max_size=6),
)
def test_text_until_finds_the_same_markers_however_it_is_fed(markers: list[str], chunks: list[str]) -> None:
    whole = run(until(*markers), ["".join(chunks)])
    assert run(until(*markers), chunks) == whole
    found = whole[:-1]
    assert "".join(text + (marker or "") for text, marker in found) == "".join(chunks)
    assert all(marker not in text for text, _ in found for marker in markers)


def test_text_until_holds_back_what_may_become_a_marker_and_no_more() -> None:
    emitted_texts: list[str] = []
    read = Reader()
    machine = read.text_until(Markers(["<tool>", "</tool>"]), emitted_texts.append)
    for chunk in ("a<", "to", "x</t", "ool", ">"):
        read.feed(chunk)
        next(machine, None)
    assert emitted_texts == ["a", "<tox"]


@settings(FIXED, max_examples=400)
@given(
    st.lists(st.sampled_from(['{"a": ', "[", "]", "}", '"', "\\", "x", '\\"', "1", " "]), max_size=14), st.booleans()
)
def test_a_container_is_the_same_however_it_is_fed(chunks: list[str], anchored: bool) -> None:
    def machine(read: Reader, notes: list[Any]) -> Machine:
        if anchored:
            read.anchor()
        yield from read.spaces()
        notes.append((yield from read.json_container()))
        notes.append(read.raw())
        notes.append((yield from read.rest()))

    text = "".join(chunks)
    whole = run(machine, [text])
    assert run(machine, chunks) == whole
    assert run(machine, list(text)) == whole
    container, raw, rest, _ = whole
    given_back = raw if anchored or container is None else container
    assert given_back + rest == (text if anchored else text.lstrip(" "))


@given(st.text('{}[]"\\a', max_size=30))
@FIXED
def test_a_container_ends_where_json_ends(text: str) -> None:
    def machine(read: Reader, notes: list[Any]) -> Machine:
        notes.append((yield from read.json_container()))

    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return
    if text[0] in "{[":
        assert run(machine, [text]) == [text[:end], text[end:]]


@FIXED
@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("ab", max_size=3), max_size=5))
def test_a_literal_is_the_same_however_it_is_fed(literal: str, chunks: list[str]) -> None:
    def machine(read: Reader, notes: list[Any]) -> Machine:
        notes.append((yield from read.literal(literal)))
        notes.append((yield from read.peek(2)))

    assert run(machine, ["".join(chunks)])[:2] == run(machine, chunks)[:2]


def test_a_tool_index_knows_what_is_declared() -> None:
    index = ToolIndex((Tool("f", None, {"properties": {"whole": {"type": "integer"}}}), Tool("get-it.now")))
    assert "f" in index
    assert "g" not in index
    assert index.schema("f", "whole") == {"type": "integer"}
    assert index.schema("f", "unknown") is index.schema("get-it.now", "x") is index.schema("g", "x") is None
    assert index.root("g") == {}
