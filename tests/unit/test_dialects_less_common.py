"""Less common formats: the corners of each."""

from __future__ import annotations

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects import get
from tcfuzz.dialects.apriel import THOUGHT
from tcfuzz.dialects.base import to_json
from tcfuzz.dialects.command_r_plus import declarations
from tcfuzz.dialects.gigachat import namespace
from tcfuzz.dialects.llm_jp import LlmJp
from tcfuzz.dialects.solar import NO_THOUGHT, SolarOpen
from tcfuzz.errors import OutOfDomain
from tests.replies import calls_of, comes_back, said

USER = Message("user", "Hi.")


# -- lists of calls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("apriel-1.5", "A.\n<tool_calls>[{}]</tool_calls>"),
        ("apriel-1.5", '<tool_calls>[{"name": "f"}, 1]</tool_calls>'),
        ("apriel-1.5", '<tool_calls>{"name": "f"}</tool_calls> '),
        ("apriel-1.5", "<tool_calls>[]</tool_calls>"),
        ("apriel-1.5", '<tool_calls>[{"name": "f"}] more'),
        ("apriel-1.6", "A.\n<tool_calls>[1]</tool_calls>"),
        ("command-r-plus", 'Action: [{"tool_name": "f"}]'),
        ("command-r-plus", 'Action:\n```json\n[{"name": "f"}]```'),
        ("command-r-plus", 'Action:\n```json\n[{"tool_name": "f"}'),
        ("mistral-nemo", '[TOOL_CALLS][{"name": "f"}, 1]'),
        ("cohere2", '<|START_ACTION|>[{"tool_name": ""}]<|END_ACTION|>'),
    ],
)
def test_a_list_with_something_else_in_it_is_text(name: str, text: str) -> None:
    parsed = get(name).parse(text)
    assert (parsed.content, parsed.tool_calls) == (text, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("apriel-1.5", '<tool_calls> [{"name": "f", "arguments": {"a": "]</tool_calls>"}}]'),
        ("apriel-1.6", '<tool_calls>[{"name": "f", "parameters": {"a": "]</tool_calls>"}, "id": "1"}] </tool_calls>'),
        ("command-r-plus", 'Action: ```json\n[{"tool_name": "f", "parameters": {"a": "]</tool_calls>"}}]\n```'),
        ("mistral-nemo", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": "]</tool_calls>"}}]'),
    ],
)
def test_a_list_ends_where_its_json_ends(name: str, text: str) -> None:
    parsed = get(name).parse(text)
    assert (parsed.content, calls_of(parsed)) == (None, [("f", {"a": "]</tool_calls>"})])


# -- command-r-plus ----------------------------------------------------------------------------------------------------


def test_command_r_plus_declares_functions_with_optional_arguments() -> None:
    properties: dict[str, Json] = {
        "a": {"type": "integer", "description": "One."},
        "b": {"type": ["string", "array"], "description": ""},
        "c": {"type": "object", "additionalProperties": {"type": "boolean"}, "description": "Three."},
    }
    assert declarations([Tool("f", "Does it.", {"properties": properties, "required": ["a"]}), Tool("g")]) == (
        "```python\ndef f(a: int, b: Optional[Union[str,List[Union[]]]] = None, "
        'c: Optional[Dict[str, bool]] = None) -> List[Dict]:\n    """Does it.\n\n    Args:\n        a (int): One.'
        "\n        b (Optional[Union[str,List[Union[]]]]): \n        c (Optional[Dict[str, bool]]): Three."
        '\n    """\n    pass\n```\n\n```python\ndef g() -> List[Dict]:\n    """\n    """\n    pass\n```'
    )


def test_command_r_plus_ends_every_prompt_with_an_instruction() -> None:
    dialect, reply = get("command-r-plus"), said(("f", {"a": [1]}), ("g", {}), content=" Well. ")
    text = (
        'Well.\nAction:\n```json\n[\n    {\n        "tool_name": "f",\n        "parameters": {\n            "a": [\n'
        '                1\n            ]\n        }\n    },\n    {\n        "tool_name": "g",\n'
        '        "parameters": {}\n    }\n]```'
    )
    assert dialect.emit(reply, []) == text
    assert comes_back(dialect, reply)
    before = dialect.render([USER], [])
    after = dialect.render([USER, reply], [])
    start = before.rindex("<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>")
    gained = after[start:].removeprefix("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>")
    assert dialect.strip_turn_end(gained) == text
    assert dialect.strip_turn_end("Well.<|END_OF_TURN_TOKEN|>") == "Well."
    assert dialect.strip_turn_end("Well.") == "Well."


@pytest.mark.parametrize("content", ["Action:", "Action:\n```json", "```json\n[]\n```", "Action:\n```json\n[]```"])
def test_command_r_plus_keeps_texts_that_look_like_actions(content: str) -> None:
    assert comes_back(get("command-r-plus"), said(("f", {"a": "```"}), content=content))


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object", "description": ""}, {"type": ["string", "null"], "description": ""}, True]
)
def test_command_r_plus_knows_what_its_template_cannot_declare(schema: Json) -> None:
    tool = Tool("f", "", {"properties": {"a": schema}})
    assert get("command-r-plus").template_limit([USER], [tool], {})
    assert "def f(a: " in get("command-r-plus").render([USER], [tool])


# -- apriel ------------------------------------------------------------------------------------------------------------


def test_apriel_shows_ids_of_earlier_calls_alone() -> None:
    dialect, reply = get("apriel-1.5"), Message("assistant", "A.\n", None, (ToolCall("f", {"a": 1}, "x"),))
    text = 'A.\n\n<tool_calls>[{"name": "f", "arguments": {"a": 1}}]</tool_calls>'
    assert dialect.emit(reply, []) == text
    assert dialect.render([reply], []).endswith(f"<|assistant|>\n{text}\n<|end|>\n</s>")
    assert '{"a": 1}, "id": "x"}]' in dialect.render([reply, Message("tool", "2")], [])
    assert comes_back(dialect, reply)


def test_apriel_15_repeats_its_preamble_where_tools_come_without_a_system_message() -> None:
    dialect = get("apriel-1.5")
    assert dialect.render([USER], [Tool("f")]).count("<|system|>") == 2
    assert dialect.render([Message("system", "Be brief."), USER], [Tool("f")]).count("<|system|>") == 1


def test_apriel_16_ends_a_thought_that_the_prompt_begins() -> None:
    dialect = get("apriel-1.6")
    prompt = dialect.render([USER], [])
    assert dialect.opened_by(prompt) == THOUGHT
    for reply in (said(content="C."), said(("f", {}), reasoning="R\n"), said(("f", {}), content="\nC.", reasoning="R")):
        text = dialect.emit(reply, [])
        assert comes_back(dialect, reply)
        assert dialect.parse(THOUGHT + dialect.said_after(prompt, text)) == dialect.parse(text)
    shown = "R\n[BEGIN FINAL RESPONSE]\nC."
    assert dialect.said_after(prompt, shown) == shown
    assert dialect.parse(THOUGHT + shown) == dialect.parse(shown)


@pytest.mark.parametrize(
    ("text", "reasoning", "content", "names"),
    [
        ("R\n[BEGIN FINAL RESPONSE]\nC", "R", "C", []),
        ("R <tool_calls> R[BEGIN FINAL RESPONSE]C", "R <tool_calls> R", "C", []),
        (f'{THOUGHT}R\n<tool_calls>[{{"name": "f"}}]</tool_calls>', "R", None, ["f"]),
        ('C\n<tool_calls>[{"name": "f"}]</tool_calls>', None, "C", ["f"]),
        (f"{THOUGHT}R", "R", None, []),
        ("Here are my reasoning", None, "Here are my reasoning", []),
    ],
)
def test_apriel_16_knows_a_thought_by_its_end(
    text: str, reasoning: str | None, content: str | None, names: list[str]
) -> None:
    parsed = get("apriel-1.6").parse(text)
    assert (parsed.reasoning_content, parsed.content) == (reasoning, content)
    assert [call.name for call in parsed.tool_calls] == names


@pytest.mark.parametrize(
    ("reasoning", "plain"),
    [
        ("Here are my reasoning steps:", None),
        (f"{THOUGHT}R\n", "R"),
        ("R", "R"),
        (f"R {THOUGHT}", f"R {THOUGHT.strip()}"),
    ],
)
def test_apriel_16_leaves_open_whose_the_words_before_a_thought_are(reasoning: str, plain: str | None) -> None:
    assert get("apriel-1.6").normalise(Message("assistant", "C", reasoning)).reasoning_content == plain


# -- solar -------------------------------------------------------------------------------------------------------------


def test_solar_writes_a_thought_and_calls_as_messages_one_behind_the_other() -> None:
    dialect = SolarOpen(reasoning_field=True)
    reply = Message("assistant", None, "R", (ToolCall("f", {"a": "<|calls|>"}, "id1"), ToolCall("g", {}, "id2")))
    text = (
        "<|think|>R<|end|><|begin|>assistant<|tool_calls|><|tool_call:begin|>id1<|tool_call:name|>f<|tool_call:args|>"
        '{"a": "<|calls|>"}<|tool_call:end|><|tool_call:begin|>id2<|tool_call:name|>g<|tool_call:args|>{}'
        "<|tool_call:end|>"
    )
    assert dialect.emit(reply, []) == text
    assert dialect.render([USER, reply], [], add_generation_prompt=False).endswith(f"assistant{text}<|calls|>")
    assert [call.id for call in dialect.parse(text).tool_calls] == ["id1", "id2"]
    assert comes_back(dialect, reply)
    assert "R" not in get("solar").render([reply], [], default_system_prompt=False)


def test_solar_binds_results_by_id_and_names_their_function() -> None:
    call = Message("assistant", None, None, (ToolCall("f", {}, "one"), ToolCall("g", {}, "two")))
    results = [Message("tool", "2", tool_call_id="two"), Message("tool", "1", tool_call_id="one")]
    prompt = get("solar").render([USER, call, *results], [])
    assert prompt.count("<|begin|>tool<|tool_response|>") == 1
    assert "two<|tool_response:name|>g<|tool_response:result|>2<|tool_response:end|>" in prompt
    assert get("solar").result_bindings(prompt) == [("two", "2"), ("one", "1")]
    with pytest.raises(OutOfDomain):
        get("solar").render([call, Message("tool", "1")], [])


def test_solar_closes_a_thought_in_the_prompt_of_a_low_effort() -> None:
    dialect = get("solar")
    assert dialect.render([USER], [], reasoning_effort="low").endswith(NO_THOUGHT + "<|begin|>assistant")
    assert not dialect.render([USER], [], default_system_prompt=False, reasoning_effort="high").count("think")


@pytest.mark.parametrize(
    "text",
    [
        "<|tool_calls|>",
        "<|tool_calls|><|tool_call:begin|>x<|tool_call:args|>{}<|tool_call:end|>",
        "<|tool_calls|><|tool_call:begin|>x<|tool_call:name|>f<|tool_call:args|>1<|tool_call:end|>",
    ],
)
def test_solar_takes_a_broken_call_for_text(text: str) -> None:
    assert get("solar").parse(text) == Message("assistant", text)


# -- gigachat ----------------------------------------------------------------------------------------------------------


def test_gigachat_declares_types_with_comments() -> None:
    properties: dict[str, Json] = {
        "a": {"type": "string", "enum": ["x", 1], "description": "One.\n\nTwo.", "default": "x"},
        "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "integer", "minimum": 1}}}},
        "d": {"type": "string", "format": "date", "default": None},
    }
    schema: dict[str, Json] = {"type": "object", "properties": properties, "required": ["a"]}
    assert namespace([Tool("f", "Does it.", {**schema, "additionalProperties": True}), Tool("g")]) == (
        'namespace functions {\n// Does it.\ntype f = (_: {\n  // One.\n  // Two.\n  a: "x" | "1", // default: "x"\n'
        "  b?: {\n    // minimum: 1\n    c?: number,\n  }[],\n"
        '  // format: "date"\n  d?: Date, // default: None\n  [key: string]: any\n}) => any;\n\n'
        "type g = () => any;\n\n} // namespace functions"
    )


@pytest.mark.parametrize(
    ("name", "start"),
    [("gigachat-3", "<|message_sep|>\n\nfunction call<|role_sep|>\n"), ("gigachat-3.1", "<|function_call|>")],
)
def test_gigachat_puts_its_call_behind_the_text(name: str, start: str) -> None:
    dialect, reply = get(name), said(("f", {"a": start}), content="Well.")
    text = f'Well.{start}{{"name": "f", "arguments": {{"a": {to_json(start)}}}}}'
    assert dialect.emit(reply, []) == text
    assert dialect.render([reply], []).endswith(f"assistant<|role_sep|>\n{text}<|message_sep|>\n\n")
    assert comes_back(dialect, reply)
    assert comes_back(dialect, said(("f", {}), content=f"{start}Well."))
    with pytest.raises(OutOfDomain):
        dialect.emit(said(("f", {}), ("g", {})), [])


def test_gigachat_3_takes_a_call_without_a_message_before_it() -> None:
    text = 'function call<|role_sep|>\n{"name": "f", "arguments": {}}'
    assert calls_of(get("gigachat-3").parse(text)) == [("f", {})]


# -- bielik ------------------------------------------------------------------------------------------------------------


def test_bielik_keeps_all_thoughts_and_shares_a_turn_among_results() -> None:
    dialect, reply = get("bielik"), said(("f", {}), ("g", {}), content="\n C. ", reasoning=" R\n")
    call = '\n<tool_call>\n{{"name": "{}", "arguments": {{}}}}\n</tool_call>'
    text = f"<think>\nR\n</think>\nC. {call.format('f')}{call.format('g')}"
    assert dialect.emit(reply, []) == text
    assert comes_back(dialect, reply)
    prompt = dialect.render([USER, reply, Message("tool", "1"), Message("tool", "2"), USER], [])
    assert f"{text}<|im_end|>\n<|im_start|>user\n<|function_output|>1<|function_output|>2<|im_end|>\n" in prompt


def test_bielik_knows_where_its_template_leaves_results_open() -> None:
    head, result = Message("system", "Be brief."), Message("tool", "1")
    called = said(("f", {}), content="")
    dialect = get("bielik")
    assert dialect.template_limit([USER, called, result, result], [], {}) is None
    assert dialect.template_limit([head, USER, called, result], [], {}) is None
    assert dialect.template_limit([head, USER, called, result, USER], [], {})
    assert dialect.template_limit([head, USER, called, result, result], [], {})


# -- reka-edge ---------------------------------------------------------------------------------------------------------


def test_reka_begins_a_reply_with_the_blank_behind_the_colon() -> None:
    dialect, reply = get("reka-edge"), said(("f", {"a": "é"}), content="C.", reasoning="R")
    call = '\n<tool_call>\n{"name": "f", "arguments": {"a": "\\u00e9"}}\n</tool_call>'
    assert dialect.emit(reply, []) == f" <think>\nR\n</think>\n\nC.{call}"
    assert dialect.parse("  C.").content == " C."
    assert dialect.parse("C.").content == "C."
    for options in ({}, {"enable_thinking": True}):
        prompt = dialect.render([USER], [], **options)
        for one in (reply, said(content="C."), said(content=" C.")):
            text = dialect.emit(one, [])
            opened = dialect.opened_by(prompt)
            assert dialect.parse(opened + dialect.said_after(prompt, text)) == dialect.parse(text)
            assert comes_back(dialect, one)


def test_reka_shows_thoughts_after_the_question_where_thinking_is_on() -> None:
    dialect, reply = get("reka-edge"), Message("assistant", "C.", "R")
    assert "assistant: C.\n\n<sep>" in dialect.render([USER, reply], [])
    assert "assistant: <think>\nR\n</think>\n\nC." in dialect.render([USER, reply], [], enable_thinking=True)
    earlier = dialect.render([USER, reply, USER], [], enable_thinking=True)
    assert earlier.endswith("assistant: C.\n\n<sep>human: Hi.<sep>assistant: <think>\n")


# -- llm-jp ------------------------------------------------------------------------------------------------------------


def test_llm_jp_says_several_calls_and_ends_each() -> None:
    reply = said(("f", {"a": 1}), ("g", {}), content="C.", reasoning="R")
    assert LlmJp().emit(reply, []) == (
        "<|channel|>analysis<|message|>R<|end|><|start|>assistant<|channel|>commentary<|message|>C.<|end|>"
        '<|start|>assistant to=functions.f<|channel|>commentary <|constrain|> json<|message|>{"a": 1}<|end|>'
        "<|start|>assistant to=functions.g<|channel|>commentary <|constrain|> json<|message|>{}"
    )
    assert comes_back(LlmJp(), reply)


def test_llm_jp_names_results_by_their_place() -> None:
    called = said(("f", {}), ("g", {}))
    results = [Message("tool", "1"), Message("tool", "2", name="h"), Message("tool", "3")]
    prompt = LlmJp().render([USER, called, *results], [])
    assert [name for name, _ in LlmJp().result_bindings(prompt) or ()] == ["f", "h", "g"]
    with pytest.raises(OutOfDomain):
        LlmJp().render([USER, Message("tool", "1")], [])


def test_llm_jp_reads_blanks_behind_special_tokens() -> None:
    text = (
        "<|channel|> analysis<|message|> R<|end|><|start|> assistant to=functions.f<|channel|> commentary "
        '<|constrain|>  json<|message|> {"a": 1}<|end|><|start|> assistant<|channel|> final<|message|> C.'
    )
    parsed = LlmJp().parse(text)
    assert (parsed.reasoning_content, parsed.content, calls_of(parsed)) == ("R", "C.", [("f", {"a": 1})])


@pytest.mark.parametrize("name", ["harmony", "llm-jp"])
def test_a_header_of_blanks_is_read_in_linear_time(name: str) -> None:
    text = f"<|start|>{' ' * 100_000}a b c<|message|>x"
    assert get(name).parse(text).content == text


@pytest.mark.parametrize(
    ("name", "tag"), [("apriel-1.6", "[BEGIN FINAL RESPONSE]"), ("bielik", "</think>"), ("bielik", "<think>")]
)
def test_behind_a_thought_a_text_may_hold_its_tags(name: str, tag: str) -> None:
    assert comes_back(get(name), said(content=f"{tag} C. {tag}", reasoning="R"))
    with pytest.raises(OutOfDomain):
        get(name).emit(said(content=f"{tag} C.", reasoning=None), [])


def test_a_thought_of_apriel_cannot_hold_the_words_that_begin_it() -> None:
    thought = Message("assistant", "Words.", THOUGHT + "One.")
    with pytest.raises(OutOfDomain, match="reasoning holds"):
        get("apriel-1.6").emit(thought, [])
