"""minimax-m3: the corners of the format."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects import get
from tcfuzz.dialects.syntax.nested_tags import DEEPEST
from tcfuzz.errors import OutOfDomain
from tests.replies import USER, calls_of, comes_back, said

M3 = get("minimax-m3")
N = "]<]minimax[>["


def tool(**properties: Json) -> Tool:
    return Tool("f", None, {"type": "object", "properties": properties, "$defs": {"n": {"type": "integer"}}})


def element(name: str, *inner: str) -> str:
    return f"{N}<{name}>{''.join(inner)}{N}</{name}>"


def block(*arguments: str) -> str:
    return f'{N}<tool_call>\n{N}<invoke name="f">{"".join(arguments)}{N}</invoke>\n{N}</tool_call>'


def read(*arguments: str, **properties: Json) -> Json:
    back = M3.parse("</mm:think>" + block(*arguments), [tool(**properties)])
    return calls_of(back)[0][1] if back.tool_calls else None


def test_containers_are_tags_within_tags() -> None:
    value = {"l": [1, True, ["a"]], "o": {"k": {"item": 2.0}}, "e": [], "n": None, "s": "x\n"}
    assert M3.emit(said(("f", value), content="A", reasoning="R"), []) == "<mm:think>R</mm:think>A" + block(
        element("l", element("item", "1"), element("item", "true"), element("item", element("item", "a"))),
        element("o", element("k", element("item", "2.0"))),
        element("e"),
        element("s", "x\n"),
    )
    assert M3.emit(said(content="A"), []) == "</mm:think>A"


STRING, NUMBER, LIST, OBJECT = {"type": "string"}, {"type": "number"}, {"type": "array"}, {"type": "object"}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("", STRING), (" \n", STRING), (f"{N}<b>1{N}</b>", STRING), (f"{N}</b>", STRING), ("5", STRING), ("a", {}),
        (f"a{N}b", {}), ("", {}), (-1.5, NUMBER), (10**25, {"type": "integer"}), (True, {"type": "boolean"}),
        ([], LIST), ({}, OBJECT), (["a", ""], LIST), (["a"], {}), ({"a": "b"}, {}), ({"item": "a"}, OBJECT),
        ([None, 1], {"type": "array", "items": {"type": ["null", "integer"]}}),
        ([None, None], {"type": "array", "items": {"type": "null"}}),
        ([1, "a", [True]], {"prefixItems": [NUMBER, STRING, {"items": {"type": "boolean"}}], "type": "array"}),
        ({"a": 1, "é b": 2}, {"type": "object", "additionalProperties": {"$ref": "#/$defs/n"}}),
        ({"a": {"b": [1]}}, {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {
            "type": "object", "properties": {"b": {"type": "array", "items": NUMBER}}}}}]}),
        ([{"item": ["a"]}], {"type": "array", "items": {"type": "object", "properties": {"item": LIST}}}),
    ],
)  # fmt: skip
def test_what_comes_back(value: Json, schema: Json) -> None:
    assert comes_back(M3, said(("f", {"a": value})), (tool(a=schema),))


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (None, {}), ([None], LIST), ([], {}), ({}, {}), ([], {"type": ["array", "string"]}), (1, {}), (1, STRING),
        ("5", NUMBER), ({"item": "a"}, {}), ({"k": None}, OBJECT), (f"{N}</a>", STRING), (f"{N}<b>", {}),
        ({"": 1}, OBJECT), ({"a>": "1"}, OBJECT), ({"/a": "1"}, OBJECT), (1, {"type": ["string", "integer"]}),
        ("1", {"type": ["string", "integer"]}), ("null", STRING),
    ],
)  # fmt: skip
def test_what_does_not(value: Json, schema: Json) -> None:
    with suppress(OutOfDomain):
        assert not comes_back(M3, said(("f", {"a": value})), (tool(a=schema),))


def test_texts_that_no_template_writes() -> None:
    inner = element("x", "1"), element("x", "2")
    assert read(element("a", "\n", *inner, "\n"), a=LIST) == {"a": ["1", "2"]}
    assert read(element("a", *inner), a=OBJECT) == {"a": {"x": ["1", "2"]}}
    assert read(element("a", '{"b": [1]}'), "\n", element("b", "[1]"), a=OBJECT, b=LIST) == {"a": {"b": [1]}, "b": [1]}
    assert read(element("a", *inner), a=NUMBER) == {"a": {"x": ["1", "2"]}}
    assert read("\n", element("a", ""), a={"type": ["null", "number"]}) == {"a": None}


@pytest.mark.parametrize(
    "body",
    [
        (element("a", "text", element("b")),), (element("a", element("b"), "text"),), ("text",), (f"{N}<a>1",),
        (f"{N}<a>1{N}</b>",), (f"{N}<>1{N}</>",), (f"{N}</a>",), (element("a", f"{N}<b"),),
    ],
)  # fmt: skip
def test_what_is_no_call_is_content(body: tuple[str, ...]) -> None:
    text = block(*body)
    assert M3.parse("</mm:think>" + text) == Message("assistant", text)


def test_tags_may_be_nested_but_not_without_end() -> None:
    for depth, found in ((DEEPEST - 2, True), (10 * DEEPEST, False)):
        text = block(f"{N}<a>" * depth + f"{N}</a>" * depth)
        assert bool(M3.parse(text).tool_calls) is found
    value: Json = "a"
    for _ in range(100_000):
        value = [value]
    with pytest.raises(OutOfDomain):
        M3.render([said(("f", {"a": value}))], [])


@pytest.mark.parametrize(
    ("text", "content", "reasoning"),
    [
        ("</mm:think>A</mm:think>B", "A</mm:think>B", None),
        ("<mm:think>R</mm:think>A", "A", "R"),
        ("\n<mm:think>R</mm:think> A", " A", "R"),
        ("</mm:think><mm:think>R</mm:think>A", "A", "R"),
        ("<mm:think></mm:think>A", "A", None),
        ("<mm:think></mm:think></mm:think>A", "</mm:think>A", None),
        ("<mm:think>R", None, "R"),
        (" A", " A", None),
        (f"</mm:think>A{N}<b", f"A{N}<b", None),
    ],
)
def test_thoughts_stand_at_the_beginning(text: str, content: str | None, reasoning: str | None) -> None:
    assert M3.parse(text) == Message("assistant", content, reasoning)


@pytest.mark.parametrize("mode", ["enabled", "disabled", "adaptive"])
def test_a_reply_goes_on_where_the_prompt_ends(mode: str) -> None:
    prompt = M3.render([USER], [], thinking_mode=mode)
    for reply in (said(content="A"), said(content="A", reasoning="R"), said(("f", {}))):
        text = M3.emit(reply, [])
        assert M3.parse(M3.opened_by(prompt) + M3.said_after(prompt, text)) == M3.parse(text)


def test_contents_that_would_be_thoughts_are_refused() -> None:
    for reply in (said(content="A</mm:think>"), said(content="<mm:think>"), said(reasoning="</mm:think>")):
        with pytest.raises(OutOfDomain):
            M3.emit(reply, [])
    assert comes_back(M3, said(content="A</mm:think>B<mm:think>", reasoning="<mm:think>"))
