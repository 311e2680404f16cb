"""minicpm5: the corners of the format."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects import get
from tcfuzz.errors import OutOfDomain
from tests.replies import USER, calls_of, comes_back, said

MINICPM5 = get("minicpm5")
STRING = {"type": "string"}


def tool(**properties: Json) -> Tool:
    return Tool("f", None, {"type": "object", "properties": properties})


def read(value: str, schema: Json) -> Json:
    text = f'<function name="f"><param name="a">{value}</param></function>'
    back = MINICPM5.parse(text, [tool(a=schema)])
    return calls_of(back)[0][1]["a"] if back.tool_calls else back.content == text


def test_texts_with_marks_are_cdata_and_other_values_python() -> None:
    arguments = {"a": "plain", "b": "x<y", "c": "a\n&", "d": [1, None, "é<"], "e": {"k": True}, "g": 1e16, "h": ""}
    assert MINICPM5.emit(said(("f", arguments), ("f", {}), content="A"), []) == (
        'A\n<function name="f"><param name="a">plain</param><param name="b"><![CDATA[x<y]]></param>'
        '<param name="c"><![CDATA[a\n&]]></param><param name="d">[1, None, \'é<\']</param>'
        '<param name="e">{\'k\': True}</param><param name="g">1e+16</param><param name="h"></param></function>\n'
        '<function name="f"></function>'
    )


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("", STRING), (" a ", STRING), ("</param>", STRING), ("]]", STRING), ("a]]>b", STRING), ("&lt;", STRING),
        ("<![CDATA[", STRING), ("\n</function>\n", STRING), ("a", {}), ("'x'", STRING), (-1.5, {"type": "number"}),
        (10**25, {"type": "integer"}), (True, {"type": "boolean"}), (None, {"type": ["null", "integer"]}),
        (["it's", 'a"', "\\\n", None, True, {"k": [1.5]}, "&lt;"], {"type": "array"}),
        ({"é <": {}}, {"type": "object"}),
    ],
)  # fmt: skip
def test_what_comes_back(value: Json, schema: Json) -> None:
    assert comes_back(MINICPM5, said(("f", {"a": value}), content="A\n"), (tool(a=schema),))


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("<]]>", STRING), ("\n]]></param>", STRING), (["</param>"], {"type": "array"}), (1, {}), (1, STRING),
        ("1", {"type": ["string", "integer"]}), ([], {}), ("null", STRING),
    ],
)  # fmt: skip
def test_what_does_not(value: Json, schema: Json) -> None:
    with suppress(OutOfDomain):
        assert not comes_back(MINICPM5, said(("f", {"a": value})), (tool(a=schema),))


def test_values_are_read_as_xml() -> None:
    assert read("a &lt;b&gt; &amp;amp; &quot;&apos;", STRING) == "a <b> &amp; \"'"
    assert read("\n<![CDATA[a]]>\n", STRING) == "a"
    assert read("<![CDATA[a]]]]><![CDATA[>b]]> c", STRING) == "a]]>b c"
    assert read("<![CDATA[[1, null]]]>", {"type": "array"}) == [1, None]
    assert read('{"a": [true, "&lt;"]}', {"type": "object"}) == {"a": [True, "&lt;"]}
    assert read("<![CDATA[a", STRING) is True
    assert read("5", {"type": "integer"}) == 5


@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        ("A\n<function name='f'>\n<param name='a'>1</param>\n</function>\nB", "A\nB", ["f"]),
        ('<function name="f"></function><function name="g"></function>', None, ["f", "g"]),
        ('<function name="f">', '<function name="f">', []),
        ('<function name="f"><param name="a">1</param>', '<function name="f"><param name="a">1</param>', []),
        ('<function name="f">text</function>', '<function name="f">text</function>', []),
        ('<function name="f"><param>1</param></function>', '<function name="f"><param>1</param></function>', []),
        ('<function name=""></function>', '<function name=""></function>', []),
        ("\n<function>", "\n<function>", []),
    ],
)
def test_calls_in_a_text(text: str, content: str | None, names: list[str]) -> None:
    back = MINICPM5.parse(text)
    assert (back.content, [call.name for call in back.tool_calls]) == (content, names)


def test_tools_stand_behind_the_system_text_or_at_a_mark_in_it() -> None:
    for text, shown in (("S", "S\n\n# Tools"), ("S<tool_def_sep>T<tool_def_sep>", "S# Tools"), (None, "\n# Tools")):
        messages = [Message("system", text), USER] if text else [USER]
        prompt = MINICPM5.render(messages, [tool()])
        assert shown in prompt and "tool_def_sep" not in prompt
        assert prompt.startswith("<s><|im_start|>system\n")
    assert "<tool_def_sep>" in MINICPM5.render([Message("system", "<tool_def_sep>")], [])


def test_a_thought_is_shown_after_the_last_question() -> None:
    messages = [USER, said(("f", {}), reasoning="R"), Message("tool"), said(content="\nA", reasoning="\nS\n")]
    prompt = MINICPM5.render(messages, [], add_generation_prompt=False)
    assert '<think>\nR\n</think>\n\n<function name="f"></function><|im_end|>' in prompt
    assert "<tool_response>\nnull\n</tool_response>" in prompt
    assert prompt.endswith("<think>\nS\n</think>\n\nA<|im_end|>\n")
    assert "R" not in MINICPM5.render([*messages, USER], [])


def test_the_2b_model_shows_a_thought_in_every_turn() -> None:
    """There is no template file to compare."""
    dialect = get("minicpm5-2b")
    messages = [USER, said(content="\nA"), USER, said(("f", {}), reasoning="R"), Message("tool", "T"), USER]
    prompt = dialect.render(messages, [], enable_thinking=True)
    assert "assistant\n<think>\n\n</think>\n\nA<|im_end|>" in prompt
    assert 'assistant\n<think>\nR\n</think>\n\n<function name="f"></function><|im_end|>' in prompt
    assert dialect.opened_by(prompt) == "<think>\n"
    assert "assistant\n<think>A<|im_end|>" in dialect.render([USER, said(content="<think>A")], [])


@pytest.mark.parametrize("thinks", [True, False, None])
def test_a_reply_goes_on_where_the_prompt_ends(thinks: bool | None) -> None:
    prompt = MINICPM5.render([USER], [], enable_thinking=thinks)
    for reply in (said(content="A"), said(("f", {}), content="A", reasoning="R"), said(("f", {}))):
        text = MINICPM5.emit(reply, [])
        told = MINICPM5.opened_by(prompt) + MINICPM5.said_after(prompt, text)
        assert MINICPM5.normalise(MINICPM5.parse(told)) == MINICPM5.normalise(MINICPM5.parse(text))
