"""The formats with calls as tags in a block: their special corners."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.errors import OutOfDomain

QUESTION = [Message("user", "Hi.")]
WORDS = ("string", "integer", "number", "boolean", "array", "object")
ANY = Tool("f", "Does it.", {"type": "object", "properties": {word: {"type": word} for word in WORDS}})


def called(content: str | None = None, reasoning: str | None = None, **arguments: Json) -> Message:
    return Message("assistant", content, reasoning, (ToolCall("f", arguments, "call_0"),))


# -- seed-oss ----------------------------------------------------------------------------------------------------------

SEED_CALL = (
    "<seed:tool_call>\n<function=f>\n<parameter=array>['a', None, True, \"it's\"]</parameter>\n"
    "<parameter=string> x\n</parameter>\n</function>\n</seed:tool_call>"
)


def test_seed_oss_spells_as_python() -> None:
    dialect = dialects.get("seed-oss")
    reply = called("Now.", "So.", array=["a", None, True, "it's"], string=" x\n")
    text = f"<seed:think>So.</seed:think>\nNow.\n\n{SEED_CALL}"
    assert dialect.emit(reply, [ANY]) == text
    assert dialect.normalise(dialect.parse(text, [ANY])) == reply


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a", true]', ["a", True]),
        ("['a', True, null]", ["a", True, None]),
        ("[1], x=[2]", "[1], x=[2]"),
        ("[1]), f(_=[2]", "[1]), f(_=[2]"),
        ("{'a': 1}", "{'a': 1}"),
        ("[f()]", "[f()]"),
    ],
)
def test_seed_oss_lists(text: str, value: Json) -> None:
    block = f"<seed:tool_call>\n<function=f>\n<parameter=array>{text}</parameter>\n</function>\n</seed:tool_call>"
    assert dialects.get("seed-oss").parse(block, [ANY]) == called(array=value)


def test_seed_oss_gives_back_what_is_no_call() -> None:
    dialect = dialects.get("seed-oss")
    for text in ("a\n<seed:tool_call>\n<function=f>\n<parameter=a>1", "<seed:tool_call>x</seed:tool_call>"):
        assert dialect.parse(text, [ANY]) == Message("assistant", text)
    assert dialect.parse(SEED_CALL.removesuffix("\n</seed:tool_call>"), [ANY]).tool_calls


def test_seed_oss_without_a_thought() -> None:
    dialect = dialects.get("seed-oss")
    prompt = dialect.render(QUESTION, [], thinking_budget=0)
    assert prompt.endswith("</seed:cot_budget_reflect>\n</seed:think>")
    assert dialect.opened_by(prompt) == ""
    assert dialect.render(QUESTION, [], thinking_budget=-1) == dialect.render(QUESTION, [])
    with pytest.raises(OutOfDomain):
        dialect.render(QUESTION, [], thinking_budget="low")


# -- minimax-m2 --------------------------------------------------------------------------------------------------------

MINIMAX_CALLS = (
    '<minimax:tool_call>\n<invoke name="f">\n<parameter name="integer">7</parameter>\n'
    '<parameter name="string"> 7 </parameter>\n</invoke>\n<invoke name="f">\n'
    '<parameter name="array">["a", null]</parameter>\n</invoke>\n</minimax:tool_call>'
)


def test_minimax_calls_share_a_block() -> None:
    dialect = dialects.get("minimax-m2")
    calls = (
        ToolCall("f", {"integer": 7, "string": " 7 "}, "call_0"),
        ToolCall("f", {"array": ["a", None]}, "call_1"),
    )
    reply = Message("assistant", "Now.\n", "So.", calls)
    text = f"<think>\nSo.\n</think>\n\nNow.\n\n{MINIMAX_CALLS}"
    assert dialect.emit(reply, [ANY]) == text
    assert dialect.parse(text, [ANY]) == reply
    prompt = dialect.render(QUESTION, [ANY])
    assert dialect.said_after(prompt, text) == text.removeprefix("<think>\n")
    silent = dialect.said_after(prompt, MINIMAX_CALLS)
    assert dialect.parse(dialect.opened_by(prompt) + silent, [ANY]) == Message("assistant", None, None, calls)


def test_minimax_gives_back_what_follows_the_last_proper_call() -> None:
    message = dialects.get("minimax-m2").parse(
        MINIMAX_CALLS.replace("</parameter>\n</invoke>\n</mini", "</mini"), [ANY]
    )
    assert [call.arguments for call in message.tool_calls] == [{"integer": 7, "string": " 7 "}]
    assert (message.content or "").startswith('\n<invoke name="f">\n<parameter name="array">')


@pytest.mark.parametrize("types", [["string", "integer"], ["boolean", "string", "null"]])
def test_minimax_promises_no_value_that_may_as_well_be_a_string(types: list[str]) -> None:
    dialect = dialects.get("minimax-m2")
    tools = (Tool("f", None, {"type": "object", "properties": {"a": {"type": types}}}),)
    reply = Message("assistant", None, None, (ToolCall("f", {"a": 7 if "integer" in types else True}),))
    with pytest.raises(OutOfDomain):
        dialect.emit(reply, tools)
    nothing = replace(reply, tool_calls=(ToolCall("f", {"a": None}),))
    back = dialect.parse(dialect.emit(nothing, tools), tools)
    assert back.tool_calls[0].arguments == {"a": None if "null" in types else "null"}


def test_minimax_m1_shows_calls_alone() -> None:
    dialect = dialects.get("minimax-m1")
    text = '<tool_calls>\n{"name": "f", "arguments": {"a": 1}}\n{"name": "f", "arguments": {}}\n</tool_calls>'
    calls = (ToolCall("f", {"a": 1}, "call_0"), ToolCall("f", {}, "call_1"))
    assert dialect.emit(Message("assistant", "Now.", tool_calls=calls), []) == text
    assert dialect.parse(text) == Message("assistant", None, tool_calls=calls)
    broken = dialect.parse(text.replace("{}}", "{}"))
    assert broken.tool_calls == calls[:1]
    assert broken.content == '\n{"name": "f", "arguments": {}\n</tool_calls>'


# -- deepseek-v3.2 and deepseek-v4 -------------------------------------------------------------------------------------


def dsml_block(name: str, *parameters: str, empty: str = "") -> str:
    lines = "".join(f"<｜DSML｜parameter {parameter}</｜DSML｜parameter>\n" for parameter in parameters) or empty
    return f'<｜DSML｜{name}>\n<｜DSML｜invoke name="f">\n{lines}</｜DSML｜invoke>\n</｜DSML｜{name}>'


def test_dsml_tells_strings_from_json() -> None:
    dialect = dialects.get("deepseek-v3.2")
    reply = called("Now.\n", "So.", string="7", integer=7, array=["null", None])
    parameters = (
        'name="string" string="true">7',
        'name="integer" string="false">7',
        'name="array" string="false">["null", null]',
    )
    text = "<think>So.</think>Now.\n\n\n" + dsml_block("function_calls", *parameters)
    assert dialect.emit(reply, []) == text
    assert dialect.parse(text) == reply


@pytest.mark.parametrize("parameter", ['name="a" string="false">x', 'name="a" string="maybe">1', 'name="a">1'])
def test_dsml_values_that_are_none_make_no_call(parameter: str) -> None:
    text = "Now.\n\n" + dsml_block("function_calls", parameter)
    assert dialects.get("deepseek-v3.2").parse(text) == Message("assistant", text)


def test_deepseek_v4_sets_a_line_where_no_argument_is() -> None:
    dialect = dialects.get("deepseek-v4")
    text = "\n\n" + dsml_block("tool_calls", empty="\n")
    assert dialect.emit(called(), []) == text
    assert dialect.parse(text) == called()
    assert not dialects.get("deepseek-v3.2").parse(text).tool_calls


RESULT = Message("tool", "Sun.", tool_call_id="call_0")


def test_deepseek_v32_opens_a_thought_behind_results() -> None:
    dialect = dialects.get("deepseek-v3.2")
    prompt = dialect.render([*QUESTION, called(), RESULT], [], thinking=True)
    assert prompt.endswith("\n\n<function_results>\n<result>Sun.</result>\n</function_results>\n\n<think>")
    assert dialect.opened_by(prompt) == "<think>"
    assert dialect.said_after(prompt, "Sunny.") == "</think>Sunny."
    assert dialect.parse("<think></think>Sunny.") == Message("assistant", "Sunny.")


def test_deepseek_v4_shows_results_in_the_users_turn() -> None:
    prompt = dialects.get("deepseek-v4").render([*QUESTION, called(), RESULT, *QUESTION], [])
    assert prompt.endswith("<｜User｜><tool_result>Sun.</tool_result>\n\nHi.<｜Assistant｜></think>")


# -- granite-4 ---------------------------------------------------------------------------------------------------------


def test_granite_writes_hermes_calls_between_its_own_tokens() -> None:
    dialect = dialects.get("granite-4")
    text = 'Now.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    assert dialect.emit(called("Now.", a=1), []) == text
    assert dialect.parse(text) == called("Now.", a=1)
    prompt = dialect.render([*QUESTION, called("Now.", a=1), RESULT], [])
    assert prompt.endswith(
        f"<|start_of_role|>assistant<|end_of_role|>{text}<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>\n"
        "<tool_response>\nSun.\n</tool_response><|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"
    )


def test_granite_41_has_no_system_turn_of_its_own() -> None:
    assert "system" in dialects.get("granite-4").render(QUESTION, [])
    assert dialects.get("granite-4.1").render(QUESTION, []).startswith("<|start_of_role|>user<|end_of_role|>Hi.")
