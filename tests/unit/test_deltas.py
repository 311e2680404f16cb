"""Reading what translators return: messages and stream deltas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tcfuzz.case import Message, ToolCall
from tcfuzz.deltas import collect, delta_texts, invalid_texts, message_from_openai
from tcfuzz.errors import TargetFailure


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": "f", "arguments": arguments}, **more}]}


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Message("assistant")),
        ({"role": "assistant", "content": None, "tool_calls": None}, Message("assistant")),
        ({"content": "", "refusal": None}, Message("assistant", "")),
        ({"content": "a", "tool_calls": ()}, Message("assistant", "a")),
        ({"reasoning_content": "r"}, Message("assistant", reasoning_content="r")),
        ({"reasoning": "r", "reasoning_content": None}, Message("assistant", reasoning_content="r")),
        ({"thinking": "r"}, Message("assistant", reasoning_content="r")),
        (call({}), Message("assistant", tool_calls=(ToolCall("f", {}),))),
        (call("{}", id="c", type="function"), Message("assistant", tool_calls=(ToolCall("f", {}, "c"),))),
        (call({"a": (1, [])}), Message("assistant", tool_calls=(ToolCall("f", {"a": [1, []]}),))),
    ],
)
def test_openai_shapes_are_read(value: Any, expected: Message) -> None:
    assert message_from_openai(value) == expected


@pytest.mark.parametrize("as_text", [False, True])
def test_arguments_keep_order_and_numbers(as_text: bool) -> None:
    arguments = {"z": [1.0, -0.0, 10**300, 2**53 + 1, 1e-7, True, None], "a": {"y": "\ud83d", "b": {}}}
    given = json.dumps(arguments) if as_text else arguments
    assert repr(message_from_openai(call(given)).tool_calls[0].arguments) == repr(arguments)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "the message is missing"),
        ("text", "the message is of type str"),
        ([], "the message is of type list"),
        ({"name": "f", "arguments": {}}, "has none of content, tool_calls, reasoning_content, but 'name', 'arguments'"),
        ({"choices": []}, "has none of content"),
        ({"role": "user", "content": ""}, "role is 'user'"),
        ({"content": 5}, "content is of type int, not a string"),
        ({"content": [{"type": "text", "text": ""}]}, "content is of type list"),
        ({"thinking": []}, "thinking is of type list"),
        ({"tool_calls": {}}, "tool_calls is of type dict, not a list"),
        ({"tool_calls": [None]}, "tool_calls[0] is not of the shape"),
        ({"tool_calls": [{"name": "f", "arguments": {}}]}, "tool_calls[0] is not of the shape"),
        ({"tool_calls": [{"function": {"arguments": {}}}]}, "tool_calls[0].function.name is missing"),
        (call({}, type="code"), "tool_calls[0].type is 'code'"),
        (call({}, id=7), "tool_calls[0].id is of type int"),
        (call(None), "arguments is missing, not an object or its JSON text"),
        (call([]), "arguments is of type list"),
        (call("[]"), "arguments is of type list"),
        (call(""), "is no JSON text"),
        (call("{'a': 1}"), "is no JSON text"),
        (call('{"a": 1} {}'), "is no JSON text"),
        (call('{"a": "\n"}'), "is no JSON text"),
        (call({1: 2}), "has a key that is of type int"),
        (call({"a": {None: 2}}), "arguments.a has a key"),
        (call({"a": [{"b": {1, 2}}]}), "arguments.a[0].b is of type set"),
        (call({"a": b""}), "arguments.a is of type bytes"),
        (call({"a": float("nan")}), "arguments.a is nan, which is no JSON number"),
        (call('{"a": [Infinity]}'), "arguments.a[0] is inf"),
        (call('{"a": 1e999}'), "arguments.a is inf"),
        (call('{"a": {"k": 1, "k": 1}}'), "the key 'k' stands twice"),
        (call("[" * 100_000), "nested too deeply"),
    ],
)
def test_everything_else_is_malformed(value: Any, sentence: str) -> None:
    with pytest.raises(TargetFailure) as caught:
        message_from_openai(value)
    assert caught.value.kind == "malformed"
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


# -- streams -----------------------------------------------------------------------------------------------------------


def entry(index: Any = 0, **fields: Any) -> dict[str, Any]:
    """A delta of one call; `id` beside the function, the rest in it."""
    outer = {"id": fields.pop("id")} if "id" in fields else {}
    return {"tool_calls": [{"index": index, **outer, "function": fields}]}


FIRST = entry(0, id="c0", name="f", arguments='{"a"')


def test_a_stream_is_put_together() -> None:
    deltas = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "th"},
        {"reasoning": "ink"},
        {"content": "a", "tool_calls": None},
        {"content": "b"},
        FIRST,
        entry(0, arguments=": 1}"),
        entry(1, id="c1", name="g", arguments={"b": 2}),
        {"tool_calls": [{"index": 2, "id": "c2", "type": "function", "function": {"name": "h", "arguments": "{}"}}]},
        entry(2, id=None, name=None, arguments=""),
        {"function_call": None},
        {},
    ]
    calls = (ToolCall("f", {"a": 1}, "c0"), ToolCall("g", {"b": 2}, "c1"), ToolCall("h", {}, "c2"))
    assert collect(deltas) == (Message("assistant", "ab", "think", calls), [])


def test_nothing_gives_nothing() -> None:
    assert collect([]) == (Message("assistant"), [])


@pytest.mark.parametrize(
    ("deltas", "kind"),
    [
        ([entry(0, id="c", name="f", arguments="{"), entry(0, id="c", arguments="}")], "id-twice"),
        ([entry(0, name="f", arguments="{}")], "id-missing"),
        ([entry(0, id="c", name="f", arguments="{}"), entry(0, name="f")], "name-twice"),
        ([entry(0, id="c", arguments="{}")], "name-missing"),
        ([entry(0, id="c", name="", arguments="{}")], "name-missing"),
        ([entry(1, id="c", name="f", arguments="{}")], "index-order"),
        ([FIRST, entry(0, arguments=":1}"), entry(2, id="d", name="g", arguments="{}")], "index-order"),
        ([FIRST], "arguments-not-json"),
        ([entry(0, id="c", name="f")], "arguments-not-json"),
        ([entry(0, id="c", name="f", arguments="[]")], "arguments-not-json"),
        ([entry(0, id="c", name="f", arguments='{"a":1,"a":1}')], "arguments-not-json"),
        ([entry(0, id="c", name="f", arguments={}), entry(0, arguments="{}")], "arguments-not-json"),
        ([entry(0, id="c", name="f", arguments="[" * 100_000)], "arguments-not-json"),
        ([entry(None, id="c", name="f", arguments="{}")], "unknown-delta"),
        ([entry(True, id="c", name="f", arguments="{}")], "unknown-delta"),
        ([{"tool_calls": [5]}], "unknown-delta"),
        ([{"tool_calls": [{"index": 0, "function": []}]}], "id-missing"),
        ([{"tool_calls": {}}], "unknown-delta"),
        ([{"content": 5}], "unknown-delta"),
        ([{"text": "x"}], "unknown-delta"),
        ([{"role": "user"}], "unknown-delta"),
        (["x"], "unknown-delta"),
        ([None], "unknown-delta"),
        ([FIRST, entry(0, arguments=":1}"), entry(0, arguments=5)], "unknown-delta"),
    ],
)
def test_what_is_wrong_with_a_stream_is_told(deltas: list[Any], kind: str) -> None:
    assert kind in [complaint.kind for complaint in collect(deltas)[1]]


def test_a_call_is_kept_where_something_is_wrong_with_it() -> None:
    message, complaints = collect([entry(3, id="c", name="f", arguments="oops"), {"content": "after"}])
    assert message == Message("assistant", "after", tool_calls=(ToolCall("f", {}, "c"),))
    assert {complaint.kind for complaint in complaints} == {"index-order", "arguments-not-json"}


def test_texts_of_deltas() -> None:
    delta = {"content": "a", "reasoning": "b", "tool_calls": [{"function": {"name": "c", "arguments": "d"}}, 5]}
    assert list(delta_texts(delta)) == ["a", "b", "c", "d"]
    assert list(delta_texts({"content": None, "tool_calls": 7})) == []


def test_broken_characters_are_seen_unless_they_were_supplied() -> None:
    halves = [{"content": "x\ud83d"}, {"content": "\ude00"}, {"content": "\ufffd"}]
    assert len(invalid_texts(halves, "x😀")) == 3
    assert invalid_texts(halves, "\ud83d \ude00 \ufffd") == []
    assert [complaint.kind for complaint in invalid_texts(halves, "\ud83d \ude00")] == ["invalid-text"]
    assert invalid_texts([{"content": "é😀"}], "é😀") == []
