"""hermes-2-pro and its kin: the corners of each format."""

from __future__ import annotations

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects import get
from tcfuzz.dialects.hermes_2_pro import declaration
from tcfuzz.dialects.syntax.functionary_tools import declarations
from tcfuzz.errors import OutOfDomain
from tests.replies import calls_of, comes_back, said

# -- hermes-2-pro ------------------------------------------------------------------------------------------------------


def test_hermes_2_pro_declares_a_signature_and_leaves_an_object_open() -> None:
    properties: dict[str, Json] = {
        "a": {"type": "string", "description": " One. "},
        "b": {"type": ["integer", "array"]},
    }
    tool = Tool("f", "Does it.", {"properties": properties})
    assert declaration(tool).startswith(
        '{"type": "function", "function": {"name": "f", "description": "f(a: str, b: Union[int,list[Union[]]]) - '
        'Does it.\n\n    Args:\n        a(str): One.        b(Union[int,list[Union[]]]): ", "parameters": {"prop'
    )
    assert declaration(Tool("f")).endswith('"f() - \n\n", "parameters": {}}')


def test_hermes_2_pro_ends_a_turn_of_results_without_a_newline() -> None:
    results = [said(("f", {}), ("g", {})), Message("tool", "1"), Message("tool", "2")]
    prompt = get("hermes-2-pro").render(results, [])
    assert prompt.endswith(
        "<|im_start|>tool\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response><|im_end|>"
        "<|im_start|>assistant\n"
    )


def test_hermes_2_pro_has_no_place_for_text_beside_a_call() -> None:
    dialect, reply = get("hermes-2-pro"), said(("f", {"a": "</tool_call>"}), ("f", {}), content="Well.")
    assert "Well." not in dialect.emit(reply, [])
    assert comes_back(dialect, reply)
    assert calls_of(dialect.parse('Hm.\n<tool_call>\n{"name": "f"}')) == [("f", {})]


# -- functionary-v3.1 --------------------------------------------------------------------------------------------------


def test_functionary_writes_python_behind_a_token_and_ends_a_turn_of_calls_otherwise() -> None:
    dialect, reply = get("functionary-v3.1"), said(("f", {"a": "</function>"}), ("python", {}), ("g", {}), content="A ")
    text = 'A <function=f>{"a": "</function>"}</function><|python_tag|>{}<function=g>{}</function>'
    assert dialect.emit(reply, []) == text
    prompt = dialect.render([reply], [], add_generation_prompt=False)
    assert prompt.endswith(f"assistant<|end_header_id|>\n\n{text}<|eom_id|>")
    assert comes_back(dialect, reply)


@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        ("<function=f>{}", "<function=f>{}", []),
        ("<function=f>[]</function>", "<function=f>[]</function>", []),
        ("<function=><function=f>{}</function>", "<function=>", ["f"]),
        ("<function=a<function=f>{}</function>", "<function=a", ["f"]),
        ("<function=f>{}</function>\n<|python_tag|>print(1)", "\n<|python_tag|>print(1)", ["f"]),
    ],
)
def test_functionary_takes_nothing_else_for_a_call(text: str, content: str, names: list[str]) -> None:
    back = get("functionary-v3.1").parse(text)
    assert (back.content, [call.name for call in back.tool_calls]) == (content, names)


def test_functionary_escapes_the_tools_as_html_and_nothing_else() -> None:
    prompt = get("functionary-v3.1").render([Message("user", "<b>&")], [Tool("f", "It's <b>")])
    assert "to 'It&#39;s &lt;b&gt;'\n{&#34;name&#34;: &#34;f&#34;" in prompt
    assert "<b>&<|eot_id|>" in prompt


# -- functionary-v3.2 --------------------------------------------------------------------------------------------------


def test_functionary_32_says_messages_and_the_prompt_has_the_first_mark() -> None:
    dialect, reply = get("functionary-v3.2"), said(("f", {"a": ">>>all\n"}), ("g", {}), content="Well.\n")
    text = 'all\nWell.\n>>>f\n{"a": ">>>all\\n"}>>>g\n{}'
    assert dialect.emit(reply, []) == text
    history = [Message("user", "Hi.")]
    after = dialect.render([*history, reply], [], add_generation_prompt=False)
    assert after == dialect.render(history, []) + text + "<|eot_id|>"
    assert comes_back(dialect, reply)
    assert dialect.parse(">>>" + text) == dialect.parse(text)


@pytest.mark.parametrize("content", [">>>", "a>>>all\nb", "a>"])
def test_functionary_32_refuses_marks_in_text(content: str) -> None:
    with pytest.raises(OutOfDomain):
        get("functionary-v3.2").emit(said(("f", {}), content=content), [])


@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        ("Hi.", "Hi.", []),
        ("Hi. There:\n{}", "Hi. There:\n{}", []),
        ("python\nprint(1)", "python\nprint(1)", []),
        ("f\n[]>>>f\n{}", "f\n[]", ["f"]),
        ("all\nA>>>f\n{}\n>>>all\nB>>>", "A\nB>>>", ["f"]),
    ],
)
def test_functionary_32_takes_nothing_else_for_a_call(text: str, content: str, names: list[str]) -> None:
    back = get("functionary-v3.2").parse(text)
    assert (back.content, [call.name for call in back.tool_calls]) == (content, names)


def test_functionary_32_declares_tools_as_types() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "integer", "description": "One"}}, "required": ["b"]}
    tool = Tool("f", "Does it.", {"properties": {"a": {"type": "array", "items": inner}, "c": {"enum": ["x", 1]}}})
    assert declarations([tool, Tool("g")]) == (
        "namespace functions {\n\n// Does it.\ntype f = (_: {\na?: {\n    // One.\n    b: number,\n}[],\n"
        'c?: "x" | 1,\n}) => any;\n\n// \ntype g = () => any;\n\n} // namespace functions'
    )


# -- firefunction-v2 ---------------------------------------------------------------------------------------------------


def test_firefunction_writes_a_list_behind_a_space() -> None:
    dialect, reply = get("firefunction-v2"), said(("f", {"a": "]"}), ("g", {}), content=" Well.\n")
    text = ' functools[{"name": "f", "arguments": {"a": "]"}}, {"name": "g", "arguments": {}}]'
    assert dialect.emit(reply, []) == "Well." + text
    assert dialect.emit(said(*calls_of(reply)), []) == text
    assert comes_back(dialect, reply)
    assert dialect.render([reply], [], add_generation_prompt=False).endswith("assistant<|end_header_id|>\n\n")


@pytest.mark.parametrize("text", ["functools[]", " functools[1]", 'functools[{"name": "f"}, {}]', 'a functools[{"name'])
def test_firefunction_takes_no_other_list_for_calls(text: str) -> None:
    assert get("firefunction-v2").parse(text) == Message("assistant", text)


# -- generic -----------------------------------------------------------------------------------------------------------


def test_generic_says_everything_in_one_object() -> None:
    dialect, called = get("generic"), said(("f", {"a": "}"}), content="Well.")
    assert dialect.emit(called, []) == '{"tool_call": {"name": "f", "arguments": {"a": "}"}}}'
    assert dialect.emit(said(("f", {}), ("f", {})), []).startswith('{"tool_calls": [{"name": "f", "arguments": {}}, {')
    assert dialect.emit(said(content='{"response": "a"}\n'), []) == '{"response": "{\\"response\\": \\"a\\"}\\n"}'
    for reply in (called, said(("f", {}), ("f", {})), said(content='{"response": "a"}\n'), said()):
        assert comes_back(dialect, reply)


def test_generic_shows_in_history_what_was_said() -> None:
    messages = [Message("user", "Hi."), said(("f", {})), Message("tool", "1"), said(content="One.")]
    assert get("generic").render(messages, []) == (
        '<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n{"tool_call": {"name": "f", "arguments": {}}}'
        "<|im_end|>\n<|im_start|>tool\n1<|im_end|>\n<|im_start|>assistant\n"
        '{"response": "One."}<|im_end|>\n<|im_start|>assistant\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"response": 1}',
        '{"tool_calls": []}',
        '{"tool_call": {}}',
        '{"response": "a"} b',
        '["response"]',
        "Hi.",
        "{",
        "",
    ],
)
def test_generic_takes_other_text_for_content(text: str) -> None:
    assert get("generic").parse(text) == Message("assistant", text or None)


# -- apertus -----------------------------------------------------------------------------------------------------------


def test_apertus_writes_the_name_as_the_key() -> None:
    dialect = get("apertus")
    reply = said(("f", {"a": "<|tools_suffix|>"}), ("f", {}), content="Well. ", reasoning="Hm.")
    text = 'Well. <|tools_prefix|>[{"f": {"a": "<|tools_suffix|>"}}, {"f": {}}]<|tools_suffix|>'
    assert dialect.emit(reply, []) == "<|inner_prefix|>Hm.<|inner_suffix|>" + text
    assert dialect.render([reply], [], add_generation_prompt=False).endswith("<|assistant_start|>" + text)
    assert comes_back(dialect, reply)


def test_apertus_keeps_calls_and_results_in_one_turn() -> None:
    results = [Message("tool", "1"), Message("tool", "2")]
    history = [Message("user", "Hi."), said(("f", {}), ("g", {})), *results, said(("f", {})), Message("tool", "3")]
    prompt = get("apertus").render([*history, said(content="Done."), Message("user", "Thanks.")], [])
    assert prompt.split("<|developer_end|>")[1] == (
        '<|user_start|>Hi.<|user_end|><|assistant_start|><|tools_prefix|>[{"f": {}}, {"g": {}}]<|tools_suffix|>[1, 2]'
        '<|tools_prefix|>[{"f": {}}]<|tools_suffix|>[3]Done.<|assistant_end|><|user_start|>Thanks.<|user_end|>'
        "<|assistant_start|>"
    )


@pytest.mark.parametrize("message", [Message("tool", "1"), Message("developer", "a"), Message("system", "a")])
def test_apertus_has_no_place_for_some_messages(message: Message) -> None:
    with pytest.raises(OutOfDomain):
        get("apertus").render([Message("user", "Hi."), message], [])


@pytest.mark.parametrize(
    "text", ["[]", "[{}]", '[{"f": {}, "g": {}}]', '[{"f": 1}]', '{"f": {}}', '[{"f": {}}] more', ""]
)
def test_apertus_takes_no_other_list_for_calls(text: str) -> None:
    text = "<|tools_prefix|>" + text
    assert get("apertus").parse(text) == Message("assistant", text)


def test_apertus_reads_a_list_whose_close_token_is_missing_and_text_after_one() -> None:
    dialect, text = get("apertus"), '<|tools_prefix|>[{"f": {}}]'
    assert calls_of(dialect.parse(text)) == [("f", {})]
    back = dialect.parse(f"A{text}<|tools_suffix|>B<|inner_prefix|>C")
    assert (back.content, back.reasoning_content, calls_of(back)) == ("AB", "C", [("f", {})])
