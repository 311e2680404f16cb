"""The codec gives back what it was given, type and order included."""

import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcfuzz.case import Case, Message, Tool, ToolCall
from tcfuzz.codec import (
    Pairs,
    case_from_json,
    case_to_json,
    decode,
    dumps,
    dumps_compact,
    encode,
    loads,
    loads_prefix,
    object_of,
)

SURROGATES = st.integers(0xD800, 0xDFFF).map(chr)
TEXT = st.one_of(
    st.text(st.one_of(st.characters(), SURROGATES, st.sampled_from('~\\u\n\r"')), max_size=12),
    st.lists(st.sampled_from(["\ud83d", "\ude00", "\U0001f600", "a"]), max_size=6).map("".join),
    st.builds(lambda unit, n, tail: unit * n + tail, st.text(min_size=1, max_size=20), st.integers(20, 300), st.text()),
    st.lists(st.text(max_size=150), min_size=1, max_size=6).map("\n".join),
)
KEYS = st.one_of(TEXT, st.sampled_from(["~", "~int", "~obj", "~~"]))
NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(10**40), max_value=10**40),
    st.floats(),
    st.sampled_from([-0.0, 1.0, 1, True, 1e16, 10**16, 1e300, 2**53, 2**53 + 1, -(2**53) - 1]),
)


def objects(values):
    return st.one_of(
        st.dictionaries(KEYS, values, max_size=4),
        st.lists(st.tuples(KEYS, values), max_size=4).map(object_of),
    )


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda values: st.one_of(st.lists(values, max_size=4), objects(values)),
    max_leaves=12,
)


def exactly(value):
    """A value in which everything that JSON readers may lose can be compared: types, order, signs, NaN."""
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, list):
        return "list", [exactly(item) for item in value]
    if isinstance(value, Pairs):
        return "pairs", [(key, exactly(item)) for key, item in value.items]
    if isinstance(value, dict):
        return "dict", [(key, exactly(item)) for key, item in value.items()]
    return type(value).__name__, value


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_lossless(value):
    text = dumps(value)
    assert exactly(loads(text)) == exactly(value)
    assert text.isascii() and text.endswith("\n") and not text.endswith("\n\n")
    assert dumps(loads(text)) == text


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_compact_is_lossless_and_one_line(value):
    text = dumps_compact(value)
    assert "\n" not in text and text.isascii()
    assert exactly(loads(text)) == exactly(value)
    assert exactly(loads_prefix(f"[{text}] the end of what stood there before")) == exactly([value])


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_what_is_written_survives_a_reader_with_doubles(value):
    """Other programs keep numbers as doubles and merge surrogates: nothing of a crasher may depend on that."""
    as_doubles = json.loads(json.dumps(encode(value)), parse_int=lambda digits: int(float(digits)))
    assert exactly(decode(as_doubles)) == exactly(value)


@pytest.mark.parametrize(
    ("value", "tagged"),
    [
        (2**53, 2**53),
        (2**53 + 1, {"~int": "9007199254740993"}),
        (1, 1),
        (1.5, 1.5),
        (1.0, {"~float": "1.0"}),
        (-0.0, {"~float": "-0.0"}),
        (1e16, {"~float": "1e+16"}),
        ("a\ud800b", {"~str": ["a", 55296, "b"]}),
        ("\ud83d\ude00", {"~str": [0xD83D, 0xDE00]}),
        ("A" * 5000, {"~repeat": ["A", 5000]}),
        ("ab\n" * 100, {"~repeat": ["ab\n", 100]}),
        ({"~int": "1"}, {"~obj": [["~int", "1"]]}),
        (Pairs((("a", 1), ("a", 2))), {"~obj": [["a", 1], ["a", 2]]}),
        ({"plain": "~int"}, {"plain": "~int"}),
    ],
)
def test_tags(value, tagged):
    assert encode(value) == tagged
    assert exactly(decode(tagged)) == exactly(value)


def test_long_text_is_cut_after_its_lines():
    text = "".join(f"line {n} of a text that is reviewed in a diff\n" for n in range(4)) + "end"
    assert encode(text) == {"~lines": text.splitlines(keepends=True)}


def test_a_long_line_is_cut_after_a_space():
    text = "word and " * 10 + "x" * 45 + " end"
    assert encode(text) == {"~lines": ["word and " * 10, "x" * 45 + " end"]}
    assert encode("no-spaces" * 15 + "!") == {"~lines": [("no-spaces" * 15)[:120], ("no-spaces" * 15 + "!")[120:]]}


def test_a_repetition_within_long_text():
    text = "before\n" + "x" * 4000 + "\nafter"
    assert encode(text) == {"~lines": ["before\n", {"~repeat": ["x", 4000]}, "\n", "after"]}


@pytest.mark.parametrize("depth", [10, 500, 1500])
def test_deep_nesting(depth):
    value = []
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    text = dumps(value)
    back = loads(text)
    for level in reversed(range(depth)):
        back = back[0] if level % 2 else back["a"]
    assert back == []
    assert len(dumps_compact(value)) < len(text)


def test_too_deep_is_said():
    with pytest.raises(ValueError, match="nested too deeply"):
        loads("[" * 200_000)


def test_huge_integer():
    value = 7 * 10**6000
    assert loads(dumps(value)) == value
    assert loads(dumps(-value)) == -value
    assert loads(dumps_compact({"a": value})) == {"a": value}


def test_key_order_and_duplicates_of_plain_json_are_content():
    assert list(loads('{"b": 1, "a": 2}')) == ["b", "a"]
    assert loads('{"a": 1, "a": 2}') == Pairs((("a", 1), ("a", 2)))


@pytest.mark.parametrize(
    "text",
    [
        '{"~what": 1}',
        '{"~int": 5}',
        '{"~int": "five"}',
        '{"~float": "one"}',
        '{"~str": ["a", 65]}',
        '{"~str": "a"}',
        '{"~lines": [1]}',
        '{"~lines": "a"}',
        '{"~repeat": ["A", 1000000000]}',
        '{"~repeat": ["A"]}',
        '{"~obj": [["a"]]}',
        '{"~obj": [[1, 2]]}',
        '{"~int": "5", "more": 1}',
        "{",
    ],
)
def test_broken_text_is_a_value_error(text):
    with pytest.raises(ValueError):
        loads(text)


@pytest.mark.parametrize("value", [b"bytes", {1: 2}, object(), {"a": {1, 2}}])
def test_what_is_no_json_is_a_type_error(value):
    with pytest.raises(TypeError):
        dumps(value)
    with pytest.raises(TypeError):
        encode(value)


CALLS = st.builds(ToolCall, TEXT, st.dictionaries(TEXT, VALUES, max_size=3), st.none() | TEXT)
MESSAGES = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.none() | TEXT,
    st.none() | TEXT,
    st.lists(CALLS, max_size=2).map(tuple),
    st.none() | TEXT,
    st.none() | TEXT,
)
TOOLS = st.builds(Tool, TEXT, st.none() | TEXT, st.none() | st.dictionaries(TEXT, VALUES, max_size=2))
CASES = st.builds(
    Case,
    st.lists(TOOLS, max_size=2).map(tuple),
    st.lists(MESSAGES, max_size=2).map(tuple),
    st.none() | MESSAGES,
    st.none() | TEXT,
    st.lists(st.integers(1, 100), max_size=3).map(tuple),
    st.dictionaries(TEXT, VALUES, max_size=2),
)


@given(CASES)
@settings(max_examples=80, deadline=None)
def test_cases_are_lossless(case):
    for write in (dumps, dumps_compact):
        back = case_from_json(loads(write(case_to_json(case))))
        assert exactly(case_to_json(back)) == exactly(case_to_json(case))
        assert (back.text, back.chunks, len(back.messages)) == (case.text, case.chunks, len(case.messages))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "input is missing or no object"),
        ({"tools": {}}, "input.tools is no list"),
        ({"messages": [{"content": "a"}]}, r"input.messages\[0\].role is missing"),
        ({"reply": {"role": "assistant", "content": 5}}, "input.reply.content is missing or no text"),
        ({"reply": {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}}, "arguments is missing"),
        ({"chunks": [0]}, "input.chunks"),
        ({"mesages": []}, "unknown key 'mesages'"),
        ({"text": 1}, "input.text"),
    ],
)
def test_a_broken_case_names_the_place(value, said):
    with pytest.raises(ValueError, match=said):
        case_from_json(value)
