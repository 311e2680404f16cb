"""lfm2, olmo3, glimmer, command-r7b, kimi-k2 and their kin: the corners of each format."""

from __future__ import annotations

import pytest

from tcfuzz.case import Message, Tool, ToolCall
from tcfuzz.deltas import collect
from tcfuzz.dialects import get
from tcfuzz.errors import OutOfDomain
from tests.replies import USER, calls_of, comes_back, said

# -- lfm2 --------------------------------------------------------------------------------------------------------------


VALUES = {"s": 'a "b"\n', "n": 1e16, "t": True, "z": None, "l": [1, "it's", None], "o": {"k": [True, None]}}


def test_lfm2_writes_python_and_lfm25_thinking_what_its_template_does() -> None:
    for name, string, mapping in (
        ("lfm2", "'a \"b\"\\n'", "{'k': [True, None]}"),
        ("lfm2-thinking", "'a \"b\"\n'", '{"k": [true, null]}'),
    ):
        text = get(name).emit(said(("f", VALUES), ("a.g", {})), [])
        assert text == (
            f'<|tool_call_start|>[f(s={string}, n=1e+16, t=True, z=None, l=[1, "it\'s", None], o={mapping}), a.g()]'
            "<|tool_call_end|>"
        )
        assert calls_of(get(name).parse(text)) == [("f", VALUES), ("a.g", {})]


@pytest.mark.parametrize("text", ["it's", "\\", "\\n", "a\\'", "<|tool_call_end|>", ")]", "'", '"'])
def test_lfm2_carries_every_string_and_lfm25_thinking_those_without_quotes(text: str) -> None:
    assert comes_back(get("lfm2"), said(("f", {"a": text, "b": [text], "c": {"k": text}}), content="Well."))
    assert comes_back(get("lfm2-thinking"), said(("f", {"b": [text], "c": {"k": text}}), content="Well."))
    if "'" in text or "\\" in text:
        with pytest.raises(OutOfDomain):
            get("lfm2-thinking").emit(said(("f", {"a": text})), [])


@pytest.mark.parametrize("text", ["[f(a=1]", "f(a=1)", "[f(a=1)] and more<|tool_call_end|>", "[]", "[1]", ""])
def test_lfm2_takes_no_other_list_for_calls(text: str) -> None:
    text = "<|tool_call_start|>" + text
    assert get("lfm2").parse(text) == Message("assistant", text)


def test_lfm2_reads_a_list_whose_close_token_is_missing_and_text_after_one() -> None:
    assert calls_of(get("lfm2").parse("<|tool_call_start|>[f()]\n")) == [("f", {})]
    back = get("lfm2").parse("A<|tool_call_start|>[f()]<|tool_call_end|>B")
    assert (back.content, calls_of(back)) == ("AB", [("f", {})])


def test_lfm2_marks_tools_and_results_and_lfm25_does_not() -> None:
    messages = [Message("system", "S"), USER, Message("tool", "R")]
    marked = get("lfm2").render(messages, [Tool("f")])
    assert marked.startswith('<|startoftext|><|im_start|>system\nS\nList of tools: <|tool_list_start|>[{"type"')
    assert "<|tool_response_start|>R<|tool_response_end|>" in marked
    assert "<|tool_" not in get("lfm2.5").render(messages, [Tool("f")])


@pytest.mark.parametrize(
    "text", ["it's", "\\", "\\n", "a\\'", "\n", "\r\n", "\t", "<|tool_call_end|>", ")]", "'", '"', "\\x41"]
)
def test_lfm25_vl_carries_every_string(text: str) -> None:
    assert comes_back(get("lfm2.5-vl"), said(("f", {"a": text, "b": [text], "c": {"k": text}}), content="Well."))


def test_lfm25_vl_escapes_strings_and_writes_lists_as_json() -> None:
    reply = said(("f", {"a": "it's\n\r\\", "l": [True, None, "x"], "t": True, "z": None}), reasoning="")
    assert get("lfm2.5-vl").emit(reply, []) == (
        r"<|tool_call_start|>[f(a='it\'s\n\r\\', "
        'l=[true, null, "x"], t=True, z=None)]<|tool_call_end|>'
    )
    assert get("lfm2-thinking").emit(said(reasoning="", content="A"), []) == "<think></think>A"


@pytest.mark.parametrize("name", ["lfm2-thinking", "lfm2.5-vl"])
def test_lfm25_reads_a_thought_behind_white_space(name: str) -> None:
    thought = Message("assistant", "Hi.", "R")
    assert get(name).parse(" \r\n\t<think>R</think>Hi.") == thought
    for text in (" Hi.", " <thin", " \n<|tool_call_start|>", "A <think>R</think>", "\xa0<think>R</think>"):
        assert get(name).parse(text) == Message("assistant", text)
        stream = get(name).stream()
        deltas = [delta for character in text for delta in stream.feed(character)]
        message, _ = collect([*deltas, *stream.finish()])
        assert message.content == text
    with pytest.raises(OutOfDomain):
        get(name).emit(said(content="\n<think>A"), [])


def test_lfm25_thinking_shows_thoughts_after_the_last_question_only() -> None:
    dialect = get("lfm2-thinking")
    messages = [USER, said(content="A", reasoning="R"), USER, said(content="B", reasoning="S")]
    prompt = dialect.render(messages, [], add_generation_prompt=False)
    assert "assistant\nA<|im_end|>" in prompt and "assistant\n<think>S</think>B<|im_end|>" in prompt
    assert "<think>R</think>A" in dialect.render(messages, [], preserve_thinking=True)
    with pytest.raises(OutOfDomain):
        dialect.emit(said(content="<think>A"), [])


# -- olmo3 -------------------------------------------------------------------------------------------------------------


def test_olmo3_writes_calls_a_line_each_with_values_as_json() -> None:
    """The form that the facts give, `f(a="x", n=1)`; there is no template file to compare."""
    text = get("olmo3").emit(said(("f", {"a": "x\n", "n": [1, None]}), ("g", {}), content="Well."), [])
    assert text == 'Well.<function_calls>f(a="x\\n", n=[1, null])\ng()</function_calls>'
    back = get("olmo3").parse(text)
    assert (back.content, calls_of(back)) == ("Well.", [("f", {"a": "x\n", "n": [1, None]}), ("g", {})])


@pytest.mark.parametrize("text", [")\ng(", "</function_calls>", '"', "'", "\\", "\\u0041", "\n", "\x00\u2028"])
def test_olmo3_carries_every_string(text: str) -> None:
    assert comes_back(get("olmo3"), said(("f", {"a": text, "b": {text: [text]}}), ("g", {"c": text})))


@pytest.mark.parametrize("inner", ["", "f(a=1)\nno call", "f(a=1", "f(1)", "(a=1)", "[f(a=1)]", "f(a=g())"])
def test_olmo3_takes_nothing_else_for_calls(inner: str) -> None:
    text = f"A<function_calls>{inner}</function_calls>B"
    assert get("olmo3").parse(text) == Message("assistant", text)


def test_olmo3_shows_results_as_the_environments() -> None:
    messages = [Message("system", "S"), USER, said(("f", {})), Message("tool", "R")]
    assert get("olmo3").render(messages, []) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nGo.<|im_end|>\n<|im_start|>assistant\n"
        "<function_calls>f()</function_calls><|im_end|>\n<|im_start|>environment\nR<|im_end|>\n<|im_start|>assistant\n"
    )


def test_olmo3_think_opens_its_thought_in_the_prompt() -> None:
    dialect = get("olmo3-think")
    prompt = dialect.render([USER], [])
    for reply in (said(content="A", reasoning="R"), said(content="A")):
        spoken = dialect.said_after(prompt, dialect.emit(reply, []))
        assert spoken == ("R</think>A" if reply.reasoning_content else "</think>A")
        assert dialect.parse(dialect.opened_by(prompt) + spoken) == reply
    with pytest.raises(OutOfDomain):
        dialect.emit(said(("f", {})), [])


# -- glimmer -----------------------------------------------------------------------------------------------------------

KINDS = Tool(
    "f",
    "Does it.",
    {
        "type": "object",
        "properties": {
            "s": {"type": "string"},
            "n": {"type": "number"},
            "l": {"type": "array"},
            "b": {"type": "boolean"},
        },
    },
)


def test_glimmer_addresses_each_message() -> None:
    dialect = get("glimmer")
    reply = said(("f", {"s": " x\n", "n": 1.5, "l": ["a", None], "b": True}), ("g", {}), reasoning="R")
    text = dialect.emit(reply, [KINDS])
    assert text == (
        " to=self<|message|>R<|eom|><|start|>assistant to=f<|message|><atem:function_calls>\n"
        '<atem:invoke name="f">\n<atem:parameter name="s"> x\n</atem:parameter>\n'
        '<atem:parameter name="n">1.5</atem:parameter>\n<atem:parameter name="l">["a", null]</atem:parameter>\n'
        '<atem:parameter name="b">true</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eom|>'
        '<|start|>assistant to=g<|message|><atem:function_calls>\n<atem:invoke name="g">\n'
        "</atem:invoke>\n</atem:function_calls>"
    )
    assert comes_back(dialect, reply, (KINDS,))
    assert dialect.parse("<|start|>assistant" + text + "<|eot|>", [KINDS]) == dialect.parse(text, [KINDS])


def test_glimmer_takes_other_messages_for_content() -> None:
    dialect = get("glimmer")
    assert dialect.parse("Hi.<|eot|>").content == "Hi."
    assert dialect.parse("<|start|>assistant<|message|>Hi.<|eot|>").content == "Hi."
    assert dialect.parse(" to=f<|message|>no call<|eot|>").content == "no call"
    assert dialect.parse("<|start|>user<|message|>Hi.") == Message("assistant", "<|start|>user<|message|>Hi.")
    other = dialect.emit(said(("g", {})), []).replace("to=g", "to=f")
    assert dialect.parse(other) == Message("assistant", other.removeprefix(" to=f<|message|>"))


def test_glimmer_calls_reasoning_effort_strength_and_says_it_once() -> None:
    system = get("glimmer").render([Message("system", "Reasoning effort: low.")], [], reasoning_strength="none")
    assert system.count("Reasoning") == 1 and "Reasoning strength: low." in system
    system = get("glimmer").render([Message("system", "Be brief.")], [], reasoning_strength="none")
    assert "Be brief.\n\nReasoning strength: none.\n\n# Valid recipients" in system


def test_glimmer_binds_results_by_name() -> None:
    calls = (ToolCall("f", {}, "1"), ToolCall("g", {}, "2"))
    results = [Message("tool", "G", tool_call_id="2"), Message("tool", "F", tool_call_id="1")]
    prompt = get("glimmer").render([USER, Message("assistant", tool_calls=calls), *results], [])
    assert get("glimmer").result_bindings(prompt) == [("g", "G"), ("f", "F")]


# -- command-r7b and cohere2 -------------------------------------------------------------------------------------------

COHERE = pytest.mark.parametrize("name", ["command-r7b", "cohere2"])


def test_command_r7b_writes_an_empty_thought_before_actions() -> None:
    dialect = get("command-r7b")
    reply = said(("f", {"a": 1}), ("g", {}))
    text = dialect.emit(reply, [])
    assert text == (
        "<|START_THINKING|><|END_THINKING|><|START_ACTION|>[\n"
        '    {"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1}},\n'
        '    {"tool_call_id": "1", "tool_name": "g", "parameters": {}}\n]<|END_ACTION|>'
    )
    assert dialect.said_after(dialect.render([USER], []), text).startswith("<|START_ACTION|>[")
    assert dialect.said_after(dialect.render([USER], [], enable_thinking=True), text) == text
    assert dialect.emit(said(content="A", reasoning="R"), []).endswith("<|START_RESPONSE|>A<|END_RESPONSE|>")


def test_cohere2_opens_a_thought_unless_told_not_to_reason() -> None:
    dialect = get("cohere2")
    answer = dialect.emit(said(content="A"), [])
    assert answer == "<|START_TEXT|>A<|END_TEXT|>"
    for options in ({}, {"reasoning_effort": "high"}, {"reasoning": True, "reasoning_effort": "none"}):
        assert dialect.said_after(dialect.render([USER], [], **options), answer) == "<|END_THINKING|>" + answer
    for options in ({"reasoning": False}, {"reasoning_effort": "None"}):
        prompt = dialect.render([USER], [], **options)
        assert prompt.endswith("<|START_THINKING|><|END_THINKING|>") and dialect.said_after(prompt, answer) == answer
    assert dialect.parse("<|START_THINKING|><|END_THINKING|>" + answer) == Message("assistant", "A")


@COHERE
def test_cohere_numbers_calls_through_the_conversation_and_binds_results_by_number(name: str) -> None:
    rounds = []
    for first in (0, 2):
        calls = tuple(ToolCall("f", {}, f"id{number}") for number in (first, first + 1))
        results = [Message("tool", f"<{call.id}>", tool_call_id=call.id) for call in reversed(calls)]
        rounds += [USER, Message("assistant", None, tool_calls=calls), *results]
    prompt = get(name).render(rounds, [])
    shown = [(number, text.count(f"<id{number}>")) for number, text in get(name).result_bindings(prompt) or ()]
    assert shown == [("1", 1), ("0", 1), ("3", 1), ("2", 1)]


@COHERE
@pytest.mark.parametrize("text", ["<|START_ACTION|>", "]<|END_ACTION|>", '"', "\\", "\u2028", "<|END_THINKING|>"])
def test_cohere_carries_every_string(name: str, text: str) -> None:
    assert comes_back(get(name), said(("f", {"a": text})))
    assert comes_back(get(name), said(content=text))


@COHERE
def test_cohere_reads_text_without_tokens_and_takes_other_lists_for_content(name: str) -> None:
    assert get(name).parse("Hi.").content == "Hi."
    assert get(name).parse("Hi.<|END_TEXT|>").content == "Hi."
    for inner in ("[]", "[1]", '[{"tool_name": ""}]', '[{"tool_name": "f", "parameters": 1}]', "{}", "["):
        text = f"<|START_ACTION|>{inner}<|END_ACTION|>"
        assert get(name).parse(text) == Message("assistant", text)


# -- kimi-k2 -----------------------------------------------------------------------------------------------------------

KIMI = pytest.mark.parametrize("name", ["kimi-k2", "kimi-k2-thinking"])


def test_kimi_k2_writes_names_within_ids() -> None:
    dialect = get("kimi-k2")
    calls = (ToolCall("f", {"a": 1}, "functions.f:7"), ToolCall("g", {}, "call_1"), ToolCall("f", {}, "functions.g:2"))
    text = dialect.emit(Message("assistant", "Well.", tool_calls=calls), [])
    assert text == (
        "Well.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:7<|tool_call_argument_begin|>"
        '{"a": 1}<|tool_call_end|><|tool_call_begin|>functions.g:1<|tool_call_argument_begin|>{}<|tool_call_end|>'
        "<|tool_call_begin|>functions.f:2<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"
    )
    read = [(call.name, call.id) for call in dialect.parse(text).tool_calls]
    assert read == [("f", "functions.f:7"), ("g", "functions.g:1"), ("f", "functions.f:2")]


@KIMI
def test_kimi_k2_binds_results_by_id_and_else_in_order(name: str) -> None:
    calls = (ToolCall("f", {}, "a"), ToolCall("g", {}, "functions.g:5"), ToolCall("h", {}, "c"))
    results = [Message("tool", "C", tool_call_id="c"), Message("tool", "A"), Message("tool", "B", tool_call_id="?")]
    prompt = get(name).render([USER, Message("assistant", tool_calls=calls), *results], [])
    assert get(name).result_bindings(prompt) == [("functions.h:2", "C"), ("functions.f:0", "A"), ("functions.g:1", "B")]


def test_kimi_k2_0905_shows_ids_as_they_are_and_results_indented() -> None:
    """There is no template file to compare; other servers' tests of this model expect the same."""
    dialect = get("kimi-k2-0905")
    calls = (ToolCall("f", {"a": 1}, "functions.f:7"), ToolCall("g", {}, "functions.g:8"))
    history = [USER, Message("assistant", tool_calls=calls), Message("tool", "R", tool_call_id="functions.g:8")]
    assert dialect.render([Message("system", "S"), *history], [Tool("f")]) == (
        "<|im_system|>tool_declare<|im_middle|>\n"
        '  # Tools\n  [{"type": "function", "function": {"name": "f"}}]<|im_end|>'
        "<|im_system|>system<|im_middle|>S<|im_end|><|im_user|>user<|im_middle|>Go.<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|><|tool_calls_section_begin|>"
        '<|tool_call_begin|>functions.f:7<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|>'
        "<|tool_call_begin|>functions.g:8<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"
        "<|im_end|><|im_system|>tool<|im_middle|>## Return of functions.g:8\n    R<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>"
    )
    assert dialect.template_limit(history, [], {}) is None
    for message in (
        Message("assistant", tool_calls=(ToolCall("f", {}, "call_1"),)),
        Message("tool", None, tool_call_id="functions.f:7"),
        Message("tool", "R", tool_call_id="?"),
    ):
        assert dialect.template_limit([*history, message], [], {})


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("kimi-k2-published", "<|im_system|>system<|im_middle|>You are an assistant.<|im_end|>\n"),
        ("kimi-k2-thinking-published", "<|im_system|>system<|im_middle|>You are an assistant.<|im_end|>"),
        ("kimi-linear", ""),
    ],
)
def test_kimi_k2_as_published_shows_ids_as_they_are_and_tools_as_compact_json(name: str, default: str) -> None:
    dialect = get(name)
    calls = (ToolCall("f", {"a": 1}, "functions.f:7"),)
    history = [USER, Message("assistant", tool_calls=calls), Message("tool", None, tool_call_id="functions.f:7")]
    thought = "<think></think>" if dialect.traits.reasoning else ""
    assert dialect.render(history, [Tool("f")]) == (
        '<|im_system|>tool_declare<|im_middle|>[{"type":"function","function":{"name":"f"}}]<|im_end|>'
        f"{default}<|im_user|>user<|im_middle|>Go.<|im_end|>"
        f"<|im_assistant|>assistant<|im_middle|>{thought}<|tool_calls_section_begin|>"
        '<|tool_call_begin|>functions.f:7<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|>'
        "<|tool_calls_section_end|><|im_end|><|im_system|>tool<|im_middle|>## Return of functions.f:7\n<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>"
    )
    assert dialect.template_limit(history, [], {}) is None
    assert dialect.template_limit([USER, said(("f", {}))], [], {})
    assert comes_back(dialect, said(("f", {"a": "<|tool_call_end|>"}), content="Well."))


def test_kimi_k2_thinking_as_published_hides_thoughts_up_to_its_last_answer() -> None:
    dialect = get("kimi-k2-thinking-published")
    first, second = said(content="A", reasoning="R"), said(content="B", reasoning="S")
    prompt = dialect.render([USER, first, USER, second, USER, said(("f", {}), reasoning="Q")], [])
    assert "<think></think>A" in prompt and "<think></think>B" in prompt and "<think>Q</think><|tool_calls" in prompt


def test_kimi_k25_opens_its_thought_in_the_prompt_and_keeps_the_last_ones() -> None:
    """There is no template file to compare."""
    dialect = get("kimi-k2.5")
    calls = (ToolCall("f", {"a": 1}, "functions.f:7"),)
    first, second = said(content="A", reasoning="Q"), Message("assistant", None, "R", calls)
    history = [USER, first, USER, second, Message("tool", "T", tool_call_id="functions.f:7")]
    prompt = dialect.render(history, [Tool("f")])
    assert prompt.startswith(
        '<|im_system|>tool_declare<|im_middle|>[{"type":"function","function":{"name":"f"}}]<|im_end|>'
    )
    assert "<think></think>A" in prompt and "<think>R</think><|tool_calls" in prompt
    assert prompt.endswith("## Return of functions.f:7\nT<|im_end|><|im_assistant|>assistant<|im_middle|><think>")
    assert "<think>Q</think>A" in dialect.render(history, [], preserve_thinking=True)
    silent = dialect.render(history, [], thinking=False)
    assert silent.count("<think></think>") == 3 and silent.count("<think>") == 3
    for reply in (first, second, said(content="B")):
        text = dialect.emit(reply, [])
        assert dialect.parse(dialect.opened_by(prompt) + dialect.said_after(prompt, text)) == dialect.parse(text)
        assert dialect.opened_by(silent) == ""
        assert comes_back(dialect, reply)
    with pytest.raises(OutOfDomain):
        dialect.emit(said(content="<think>A"), [])


@KIMI
@pytest.mark.parametrize("tool", ["f", "a:1", "functions.x", "get-time", "a b", "é"])
def test_kimi_k2_reads_the_name_back_out_of_the_id(name: str, tool: str) -> None:
    assert comes_back(get(name), said((tool, {"a": "<|tool_call_end|>"}), content="Well."))


@KIMI
@pytest.mark.parametrize("inner", ["f<|tool_call_argument_begin|>{}", "functions.f:0<|tool_call_argument_begin|>[1]"])
def test_kimi_k2_takes_nothing_else_for_calls(name: str, inner: str) -> None:
    text = f"<|tool_calls_section_begin|><|tool_call_begin|>{inner}<|tool_call_end|><|tool_calls_section_end|>"
    assert get(name).parse(text) == Message("assistant", text)


@KIMI
@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        ("A<|tool_call_section_begin|>{f}<|tool_call_end|><|tool_call_section_end|>B", "AB", ["f"]),
        ("A{f}<|tool_call_end|>", "A", ["f"]),
        ("A{f}{g}", "A", ["f", "g"]),
        ("<|tool_calls_section_begin|>{f}\n{g}<|tool_calls_section_end|>", None, ["f", "g"]),
        ("{f}<|tool_call_end|><|tool_calls_section_end|>", None, ["f"]),
        ("<|tool_call_begin|>A{f}", "<|tool_call_begin|>A", ["f"]),
        ("A<|tool_call_begin|>", "A<|tool_call_begin|>", []),
    ],
)
def test_kimi_k2_reads_calls_whose_tokens_are_missing(
    name: str, text: str, content: str | None, names: list[str]
) -> None:
    calls = {tool: f"<|tool_call_begin|>functions.{tool}:0<|tool_call_argument_begin|>{{}}" for tool in "fg"}
    back = get(name).parse(text.format(**calls))
    assert (back.content, [call.name for call in back.tool_calls]) == (content, names)


@pytest.mark.parametrize("name", ["kimi-k2-thinking", "kimi-k2.5"])
def test_kimi_k2_thinking_may_call_within_a_thought(name: str) -> None:
    call = "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
    for text in (f"<|tool_calls_section_begin|>{call}<|tool_calls_section_end|>", call):
        back = get(name).parse("<think>R" + text)
        assert (back.reasoning_content, back.content, calls_of(back)) == ("R", None, [("f", {})])
    assert comes_back(get(name), said(content="A", reasoning="<|tool_calls_section_begin|>"))


def test_kimi_k2_thinking_hides_thoughts_up_to_its_first_answer() -> None:
    dialect = get("kimi-k2-thinking")
    first, second = said(content="A", reasoning="R"), said(content="B", reasoning="S")
    assert dialect.emit(first, []) == "<think>R</think>A"
    prompt = dialect.render([USER, said(("f", {}), reasoning="Q"), Message("tool", "T"), first, USER, second], [])
    assert "<think></think><|tool_calls" in prompt and "<think></think>A" in prompt and "<think>S</think>B" in prompt
