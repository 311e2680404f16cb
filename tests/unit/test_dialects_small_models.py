"""phi4-mini, smollm3, llama3.2, xlam, granite-3.3 and llama.cpp's own formats: the corners of each."""

from __future__ import annotations

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects import get
from tcfuzz.errors import OutOfDomain
from tests.replies import USER, calls_of, comes_back, said

TOOL = Tool("f", "It's one.", {"type": "object"})
SYSTEM = Message("system", "Be brief.")


def streamed_calls(name: str, text: str) -> list[tuple[str, dict[str, Json]]]:
    """The calls of a text that comes character by character."""
    stream = get(name).stream()
    deltas = [delta for character in text for delta in stream.feed(character)] + stream.finish()
    message = get(name).parse(text)
    assert sum(len(delta.get("tool_calls", ())) for delta in deltas) == len(message.tool_calls)
    return calls_of(message)


# -- phi4-mini ---------------------------------------------------------------------------------------------------------


def test_phi4_mini_declares_bare_functions_in_the_system_turn() -> None:
    dialect = get("phi4-mini")
    listed = '<|tool|>[{"name": "f", "description": "It\'s one.", "parameters": {"type": "object"}}]<|/tool|><|end|>'
    assert dialect.render([SYSTEM, USER], [TOOL]) == f"<|system|>Be brief.{listed}<|user|>Go.<|end|><|assistant|>"
    assert f"tools.{listed}<|user|>Go.<|end|><|endoftext|>" in dialect.render(
        [USER], [TOOL], add_generation_prompt=False
    )
    assert dialect.render([SYSTEM, USER], []) == "<|system|>Be brief.<|end|><|user|>Go.<|end|><|assistant|>"


def test_phi4_mini_reads_a_list_of_calls_and_one_alone() -> None:
    dialect, reply = get("phi4-mini"), said(("f", {"a": "<|/tool_call|>"}), ("g", {}), content="Well.")
    text = dialect.emit(reply, [])
    assert text == (
        'Well.<|tool_call|>[{"name": "f", "arguments": {"a": "<|/tool_call|>"}}, {"name": "g", "arguments": {}}]'
        "<|/tool_call|>"
    )
    assert comes_back(dialect, reply)
    one = '<|tool_call|>{"name": "f", "arguments": {"a": 1}}'
    assert streamed_calls("phi4-mini", one) == streamed_calls("phi4-mini", f"{one}<|/tool_call|>") == [("f", {"a": 1})]


@pytest.mark.parametrize("inner", ["[1]", "[]", '{"a": 1}', '[{"name": "f"}, 1]<|/tool_call|>', "[", "", "f(a=1)"])
def test_phi4_mini_takes_nothing_else_for_calls(inner: str) -> None:
    text = f"So: <|tool_call|>{inner}"
    assert get("phi4-mini").parse(text) == Message("assistant", text)


def test_phi4_mini_says_a_word_in_vllms_template() -> None:
    dialect, reply = get("phi4-mini-functools"), said(("f", {"a": "]"}), ("g", {}), content="Well. ")
    text = 'Well. functools[{"name": "f", "arguments": {"a": "]"}}, {"name": "g", "arguments": {}}]'
    assert dialect.emit(reply, []) == text and comes_back(dialect, reply)
    prompt = dialect.render([Message("system", " S "), USER, reply], [], add_generation_prompt=False)
    assert prompt == f"<|system|>\nS<|end|><|user|>Go.<|end|><|assistant|>{text}<|end|><|assistant|>"
    assert dialect.render([SYSTEM], [TOOL]) == "<|system|>\n\nBe brief.<|end|><|assistant|>"
    assert '    "type": "function"' in dialect.render([SYSTEM, USER], [TOOL])
    assert dialect.parse("functools[1]").content == "functools[1]"


# -- smollm3 -----------------------------------------------------------------------------------------------------------


def test_smollm3_shows_tools_as_python_does_and_leaves_the_turn_open_without() -> None:
    dialect = get("smollm3")
    header = "26 July 2024\nReasoning Mode: /think\n\n## Custom Instructions\n\nBe brief.\n\n"
    assert f"{header}<|im_start|>user\nGo." in dialect.render([SYSTEM, USER], [])
    prompt = dialect.render([SYSTEM, USER], [TOOL])
    assert f"{header}### Tools\n\n" in prompt
    assert "<tools>\n{'name': 'f', 'description': \"It's one.\", 'parameters': {'type': 'object'}}\n</tools>" in prompt
    code = dialect.render([USER], [TOOL], python_tools=["def f()"])
    assert code.count("<tools>\n") == 2 and "<tools>\ndef f()\n</tools>" in code


@pytest.mark.parametrize(
    ("system", "option", "shown", "mode"),
    [
        ("Hi /no_think there.", True, "Hi  there.", "/no_think"),
        ("/think", False, "You are a helpful assistant.", "/think"),
        ("Hi.", False, "Hi.", "/no_think"),
        ("/no_think /think Hi. ", True, "  Hi.", "/no_think"),
    ],
)
def test_smollm3_thinks_as_the_system_text_says(system: str, option: bool, shown: str, mode: str) -> None:
    messages = [Message("system", system), USER, Message("assistant", "\nYes.")]
    for name in ("smollm3", "smollm3-plain"):
        prompt = get(name).render(messages, [], enable_thinking=option)
        assert f"Reasoning Mode: {mode}\n\n## Custom Instructions\n\n{shown}\n\n" in prompt
        assert prompt.count("<think>\n\n</think>\n") == (2 if mode == "/no_think" else 0)
        assert prompt.count("Yes.<|im_end|>") == 1 and "\n\nYes" not in prompt


def test_smollm3_has_a_word_for_a_system_text_alone() -> None:
    prompt = get("smollm3").render([Message("system", "/system_override Mine.\n"), USER], [TOOL])
    assert prompt.startswith("<|im_start|>system\n Mine.<|im_end|>\n<|im_start|>user\nGo.")
    assert "system_override Mine.\n\n<|im_end|>" in get("smollm3-plain").render(
        [Message("system", "/system_override Mine.\n"), USER], []
    )


def test_smollm3_thinks_talks_and_calls() -> None:
    dialect = get("smollm3")
    reply = said(("f", {"a": "</tool_call>"}), ('a"b', {}), content="Well.", reasoning="So.")
    assert dialect.emit(reply, []) == (
        '<think>\nSo.\n</think>\nWell.\n<tool_call>\n{"name": "f", "arguments": {"a": "</tool_call>"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "a\\"b", "arguments": {}}\n</tool_call>'
    )
    assert comes_back(dialect, reply)
    with pytest.raises(OutOfDomain):
        get("smollm3-plain").emit(reply, [])


# -- llama3.1 and llama3.2 ---------------------------------------------------------------------------------------------


def test_llama_declares_tools_where_it_is_told_to() -> None:
    dialect = get("llama3.1")
    for place, role in ((True, "user"), (False, "system")):
        before, after = dialect.render([SYSTEM, USER], [TOOL], tools_in_user_message=place).split('"name": "f"')
        assert before.count("<|start_header_id|>") == (2 if place else 1)
        assert after.split("<|eot_id|>")[0].endswith("Go." if role == "user" else "Be brief.")
    custom = dialect.render([USER], [], custom_tools=[{"a": 1}])
    assert "Environment: ipython\n" in custom and '{\n    "a": 1\n}\n\nGo.' in custom
    # Tools in the system turn need no user.
    assert dialect.render([SYSTEM], [TOOL], tools_in_user_message=False)


def test_llama_calls_what_is_built_in_behind_a_token() -> None:
    call = said(("brave_search", {"query": "a", "b": 'say "b"'}))
    text = '<|python_tag|>brave_search.call(query="a", b="say "b"")'
    assert get("llama3.2").emit(call, []) == text
    assert comes_back(get("llama3.2"), call)
    prompt = get("llama3.2").render([call], [], add_generation_prompt=False)
    assert "Environment: ipython\nTools: brave_search, wolfram_alpha\n\nCutting" in prompt
    assert prompt.endswith(f"\n\n{text}<|eom_id|>")
    chosen = get("llama3.1").render([call], [], builtin_tools=["code_interpreter"], add_generation_prompt=False)
    assert "ipython\nTools: \n\nCutting" in chosen and chosen.endswith('"}}<|eom_id|>')
    assert get("llama3.1").render([call], [], add_generation_prompt=False).endswith('"}}<|eot_id|>')


def test_llama_has_a_result_in_an_object_in_vllms_templates() -> None:
    messages = [USER, said(("f", {})), Message("tool", 'a "b"')]
    for name, in_user in (("llama3.1-vllm", True), ("llama3.2-vllm", False)):
        prompt = get(name).render(messages, [TOOL], add_generation_prompt=False)
        assert prompt.endswith('ipython<|end_header_id|>\n\n{"output": "a \\"b\\""}<|eot_id|>')
        assert prompt.split("<|eot_id|>")[0].endswith("assistant with tools.")
        assert ('"name": "f"' in prompt.split("<|eot_id|>")[0]) is not in_user


@pytest.mark.parametrize("value", ["", '"', '")', 'x", y', "</a>\n", "\\", "é", '", "'])
def test_llama_carries_quotes_within_the_strings_of_built_in_tools(value: str) -> None:
    assert comes_back(get("llama3.2"), said(("wolfram_alpha", {"query": value, "b": value})))


def test_llama_has_no_other_values_for_built_in_tools() -> None:
    values: tuple[Json, ...] = (1, None, ["a"], {})
    for value in values:
        with pytest.raises(OutOfDomain):
            get("llama3.2").emit(said(("brave_search", {"query": value})), [])
    lost = said(("brave_search", {"query": 'a", b="c'}))
    assert not comes_back(get("llama3.2"), lost)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("<|python_tag|>brave_search.call()", ("brave_search", {})),
        ('<|python_tag|>f.call(a="1")\n', ("f", {"a": "1"})),
        ('<|python_tag|>{"name": "f", "parameters": {"a": 1}}', ("f", {"a": 1})),
        ("<|python_tag|>import math\nprint(1)", ("code_interpreter", {"code": "import math\nprint(1)"})),
        ('{"name": "f", "parameters": {"a": 1}}', ("f", {"a": 1})),
    ],
)
def test_llama_reads_objects_calls_and_code_behind_the_token(text: str, call: tuple[str, dict[str, Json]]) -> None:
    assert calls_of(get("llama3.2").parse(text, [TOOL])) == [call]


@pytest.mark.parametrize("between", ["; ", "\n", ";"])
def test_llama_reads_several_objects_and_nothing_between_them(between: str) -> None:
    one, other = '{"name": "f", "parameters": {"a": "};"}}', '{"name": "f", "arguments": {}}'
    for name in ("llama3.1", "llama3.2"):
        for before in ("", "<|python_tag|>"):
            text = f"{before}{one}{between}{other}"
            assert streamed_calls(name, text) == [("f", {"a": "};"}), ("f", {})]
            for odd in (f"{text}; so", f"{before}{one}{between}{{}}"):
                assert get(name).parse(odd) == Message("assistant", odd)


@pytest.mark.parametrize("text", ["brave_se", 'brave_search.call(query="a', "", '{"name": "g", "parameters": {}}'])
def test_llama_takes_no_beginning_of_a_call_for_code(text: str) -> None:
    text = f"<|python_tag|>{text}"
    assert get("llama3.2").parse(text, [TOOL]) == Message("assistant", text)


# -- xlam --------------------------------------------------------------------------------------------------------------


def test_xlam_writes_a_list_alone() -> None:
    reply = said(("f", {"a": "]"}), ('a"b', {}), content="Well.")
    text = '[{"name": "f", "arguments": {"a": "]"}}, {"name": "a\\"b", "arguments": {}}]'
    assert get("xlam-qwen").emit(reply, []) == text
    assert get("xlam").emit(reply, []) == text.replace("\\", "", 1)  # the name is not escaped
    prompt = get("xlam").render([reply, Message("tool", "1")], [], add_generation_prompt=False)
    assert prompt.endswith("<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n1<|eot_id|>")
    assert get("xlam-qwen").render([reply], []).endswith(f"{text}<|im_end|><|im_start|>assistant\n")
    assert get("xlam-qwen-vllm").render([reply], []).endswith(f"{text}<|im_end|>\n<|im_start|>assistant\n")
    assert comes_back(get("xlam-qwen"), reply)


CALL = '[{"name": "f", "arguments": {"a": [1]}}]'


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (CALL, None),
        (f"\n {CALL} \n", None),
        (f"<think>So.</think>{CALL}", "<think>So.</think>"),
        (f"Well.\n```json\n{CALL}\n```", "Well.\n"),
        (f"Well.\n```\n{CALL}\n```\nSo.", "Well.\n\nSo."),
        (f"Well.[TOOL_CALLS]{CALL}", "Well."),
        (f"<tool_call>{CALL}</tool_call>", None),
    ],
)
def test_xlam_reads_a_list_in_what_models_write_around_it(text: str, content: str | None) -> None:
    assert streamed_calls("xlam", text) == [("f", {"a": [1]})]
    assert get("xlam").parse(text).content == content


@pytest.mark.parametrize(
    "text", [f"{CALL} and more", f"See {CALL}", '[{"name": "f"}]', "[1]", "[", "```json\n{}\n```", '{"name": "f"}']
)
def test_xlam_takes_no_other_list_for_calls(text: str) -> None:
    assert get("xlam").parse(text) == Message("assistant", text)
    assert get("xlam").emit(Message("assistant", text), []) == text
    with pytest.raises(OutOfDomain):
        get("xlam").emit(Message("assistant", CALL), [])


# -- granite-3.3 -------------------------------------------------------------------------------------------------------


def test_granite_opens_the_turn_behind_a_message_with_its_controls() -> None:
    dialect = get("granite-3.3")
    system = "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n"
    assert dialect.render([SYSTEM], []) == system
    prompt = dialect.render(
        [SYSTEM, USER], [TOOL], controls={"length": "short"}, documents=[{"doc_id": 1, "text": "D"}]
    )
    assert prompt.startswith(f'{system}<|start_of_role|>available_tools<|end_of_role|>[\n    {{\n        "type"')
    assert prompt.endswith(
        '<|start_of_role|>document {"document_id": "1"}<|end_of_role|>\nD<|end_of_text|>\n'
        "<|start_of_role|>user<|end_of_role|>Go.<|end_of_text|>\n"
        '<|start_of_role|>assistant {"length": "short"}<|end_of_role|>'
    )


def test_granite_thinks_answers_and_calls() -> None:
    dialect = get("granite-3.3")
    reply = said(("f", {"a": "]"}), content=" Well. ", reasoning="So.")
    text = dialect.emit(reply, [])
    assert text == (
        '<think>So.</think><response> Well. </response><|tool_call|>[{"name": "f", "arguments": {"a": "]"}}]'
    )
    assert comes_back(dialect, reply)
    assert comes_back(dialect, said(("f", {}), reasoning="So."))
    loose = '<think>\nSo.</think>\n\n<response>Well.<|tool_call|>[{"name": "f"}]</response>\n'
    message = dialect.parse(loose)
    assert (message.reasoning_content, message.content, calls_of(message)) == ("\nSo.", "Well.", [("f", {})])
    assert dialect.parse("<think>So.</think>\nWell.").content == "Well."
    assert dialect.parse("<|tool_call|>{}").content == "<|tool_call|>{}"


# -- llama.cpp's own templates -----------------------------------------------------------------------------------------


def test_deepseek_r1_ends_every_turn_in_llama_cpps_template() -> None:
    dialect = get("deepseek-r1-llama-cpp")
    messages = [USER, said(("f", {})), Message("tool", "1"), Message("tool", "2"), Message("assistant", "Done.")]
    prompt = dialect.render(messages, [TOOL])
    assert prompt.count("<｜end▁of▁sentence｜>") == 4
    assert (
        "<｜tool▁outputs▁begin｜>\n<｜tool▁output▁begin｜>1<｜tool▁output▁end｜>\n<｜tool▁output▁begin｜>2"
        "<｜tool▁output▁end｜><｜tool▁outputs▁end｜><｜end▁of▁sentence｜><｜Assistant｜>Done."
    ) in prompt
    assert '[\n  {\n    "name": "f"' in prompt
    assert prompt.endswith("<｜Assistant｜><think>\n") and dialect.opened_by(prompt) == "<think>\n"


def test_rwkv_says_a_space_first_and_trims() -> None:
    dialect = get("rwkv-world")
    messages = [SYSTEM, Message("user", " Go. "), Message("assistant", " Yes.\n"), Message("assistant", None), USER]
    prompt = dialect.render(messages, [])
    assert prompt == "<s>System: Be brief.\n\nUser: Go.\n\nAssistant: Yes.\n\nUser: Go.\n\nAssistant:"
    assert dialect.emit(Message("assistant", "Yes."), []) == " Yes."
    assert comes_back(dialect, Message("assistant", "Yes.", "So."))
    opened = dialect.render(messages, [], enable_thinking=True)
    assert opened.endswith("Assistant: <think>") and dialect.opened_by(opened) == " <think>"
    assert dialect.said_after(opened, dialect.emit(Message("assistant", "Yes.", "So."), [])) == (
        "\nSo.\n</think>\n\nYes."
    )
    assert dialect.render(messages, [], enable_thinking=False).endswith("Assistant: <think>\n</think>")
    with pytest.raises(OutOfDomain):
        dialect.render([USER, SYSTEM], [])
