"""kimi-k3: the corners of the format."""

from __future__ import annotations

import pytest

from tcfuzz.case import Message, ToolCall
from tcfuzz.dialects import get
from tcfuzz.errors import OutOfDomain
from tests.replies import USER, calls_of, comes_back, said

K3 = get("kimi-k3")
NO_THOUGHT = "<|open|>think<|sep|><|close|>think<|sep|>"
EMPTY = "<|open|>response<|sep|><|close|>response<|sep|>"
VALUES = {"s": "1", "n": 1e16, "t": True, "z": None, "l": [1, "a"], "o": {"k": "<|close|>argument<|sep|>"}}


def in_call(body: str, tool: str = 'tool="f" index="1"') -> str:
    return f"<|open|>tools<|sep|><|open|>call {tool}<|sep|>{body}<|close|>call<|sep|><|close|>tools<|sep|>"


def argument(key: str, kind: str, value: str) -> str:
    return f'<|open|>argument key="{key}" type="{kind}"<|sep|>{value}<|close|>argument<|sep|>'


def test_every_value_has_its_type() -> None:
    written = [
        ("s", "string", "1"), ("n", "number", "1e+16"), ("t", "boolean", "true"), ("z", "null", "null"),
        ("l", "array", '[1, "a"]'), ("o", "object", '{"k": "<|close|>argument<|sep|>"}'),
    ]  # fmt: skip
    text = K3.emit(said(("f", VALUES)), [])
    assert text == NO_THOUGHT + EMPTY + in_call("".join(argument(*one) for one in written))
    assert calls_of(K3.parse(text)) == [("f", VALUES)]


@pytest.mark.parametrize(
    "text", ['"', "&", "&quot;", "&amp;quot;", "<|sep|>", "<|close|>call<|sep|>", "\n a ", "<|open|>tools<|sep|>", "é"]
)
def test_names_keys_and_texts_come_back(text: str) -> None:
    reply = said((text, {text: text, "b": [text]}), (text, {}), content=text, reasoning="R" + text)
    assert comes_back(K3, reply)


def test_the_ends_of_sections_are_refused() -> None:
    for reply in (said(content="A<|close|>response<|sep|>"), said(reasoning="<|close|>think<|sep|>")):
        with pytest.raises(OutOfDomain):
            K3.emit(reply, [])
    assert not comes_back(K3, said(("f", {"a": "<|close|>argument<|sep|>"})))


@pytest.mark.parametrize(
    ("text", "content", "reasoning", "names"),
    [
        ("<|close|>think<|sep|><|open|>response<|sep|>A<|close|>response<|sep|>", "A", None, []),
        ("A<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|>", "A", None, []),
        ("<|open|>think<|sep|>cut off", None, "cut off", []),
        ("<|open|>response<|sep|>cut off", "cut off", None, []),
        ("<|close|>response<|sep|>" + in_call("") + "<|close|>message<|sep|>", None, None, ["f"]),
        ("<|open|>response<|sep|>A" + in_call(""), "A", None, ["f"]),
        (in_call(argument("a", "number", "1").replace(" type", "  type")), None, None, ["f"]),
        ('<|open|>message role="assistant"<|sep|>' + EMPTY + in_call(""), None, None, ["f"]),
    ],
)
def test_sections_may_be_opened_by_the_prompt_or_left_open(
    text: str, content: str | None, reasoning: str | None, names: list[str]
) -> None:
    back = K3.parse(text)
    assert (back.content, back.reasoning_content) == (content, reasoning)
    assert [call.name for call in back.tool_calls] == names


@pytest.mark.parametrize(
    "text",
    [
        in_call("", tool='index="1"'),
        in_call(argument("a", "string", "1").removesuffix("<|close|>argument<|sep|>")),
        in_call("and words"),
        in_call('<|open|>json type="object"<|sep|>[1]<|close|>json<|sep|>'),
        in_call("", tool="tool=f"),
        "<|open|>tools<|sep|>",
    ],
)
def test_what_is_no_call_is_content(text: str) -> None:
    assert K3.parse(text) == Message("assistant", text)


def test_a_block_of_json_holds_all_arguments_and_what_is_no_json_stays_text() -> None:
    block = '<|open|>json type="object"<|sep|>{"a": "<|close|>json<|sep|>", "b": [1]}<|close|>json<|sep|>'
    assert calls_of(K3.parse(in_call(block))) == [("f", {"a": "<|close|>json<|sep|>", "b": [1]})]
    values = [argument("a", "number", "one"), argument("b", "object", "{a}"), argument("c", "array", " [1] ")]
    assert calls_of(K3.parse(in_call("".join(values)))) == [("f", {"a": "one", "b": "{a}", "c": [1]})]


def test_results_stand_in_the_order_of_their_calls_where_all_are_known() -> None:
    calls = (ToolCall("f", {}, "a"), ToolCall("g", {}, "b"))
    results = [Message("tool", "G", tool_call_id="b"), Message("tool", "F", tool_call_id="a")]
    history = [USER, Message("assistant", tool_calls=calls), *results]
    known = K3.result_bindings(K3.render(history, []))
    assert known == [('f" index="1', "F"), ('g" index="2', "G")]
    unknown = K3.result_bindings(K3.render([*history, Message("tool", "?", name="h")], []))
    assert unknown == [('f" index="1', "G"), ('g" index="2', "F"), ('h" index="3', "?")]


def test_a_response_that_the_prompt_opens_comes_without_a_thought_or_with_one_behind_it() -> None:
    prompt = K3.render([USER], [], thinking=False)
    for reply in (said(content="A"), said(("f", {}), content="A", reasoning="R")):
        text = K3.emit(reply, [])
        told = K3.opened_by(prompt) + K3.said_after(prompt, text)
        assert told.startswith("<|open|>response<|sep|>")
        assert K3.parse(told) == K3.parse(text)
