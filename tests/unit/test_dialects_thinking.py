"""stepfun-3.5, qwq, spark-2.5, ling-3.0, hy3, nemotron-nano-v2, gemma4's revisions: the corners of each format."""

from __future__ import annotations

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects import get
from tcfuzz.dialects.hy3 import Hy3, Tokens
from tcfuzz.dialects.stepfun import StepFun35
from tcfuzz.errors import OutOfDomain
from tests.replies import USER, calls_of, comes_back, said

VALUES: dict[str, Json] = {"l": [1, "x"], "n": 7, "o": {"k": None}, "s": "a\nb", "t": True, "z": None}
PROPERTIES: dict[str, Json] = {
    "s": {"type": "string"},
    "n": {"type": "integer"},
    "t": {"type": "boolean"},
    "z": {"type": "null"},
    "l": {"type": "array"},
    "o": {"type": "object"},
}
TOOL = Tool("f", "Does it.", {"type": "object", "properties": PROPERTIES})
NAMES = (
    "stepfun-3.5",
    "qwq",
    "spark-2.5",
    "ling-3.0",
    "ring-2.6",
    "ring-2.5",
    "ring-1t",
    "ling-2.6",
    "hy3",
    "hy3-preview",
    "nemotron-nano-v2",
    "nemotron-nano-v2-first",
    "gemma4-interleaved",
)


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_comes_back_with_its_thought_text_and_calls(name: str) -> None:
    dialect = get(name)
    for reply in (
        said(("f", VALUES), ("f", {}), content="Well.", reasoning="So\nthen."),
        said(("f", {}), reasoning="So."),
        said(("f", VALUES)),
        said(content="One.\n\nTwo.", reasoning="<tool_call>"),
        said(content="One."),
        said(),
    ):
        assert comes_back(dialect, reply, (TOOL,)), reply


@pytest.mark.parametrize("name", [name for name in NAMES if get(name).thought_end and name != "gemma4-interleaved"])
def test_what_the_prompt_has_opened_is_read_with_what_is_said(name: str) -> None:
    dialect = get(name)
    prompt = dialect.render([USER], (), reasoning_effort="low")
    opened = dialect.opened_by(prompt)
    assert opened
    assert prompt.endswith(opened)
    for reply in (said(content="One.", reasoning="So."), said(content="One."), said(("f", {}))):
        text = opened + dialect.said_after(prompt, dialect.emit(reply, []))
        wanted, back = dialect.normalise(reply), dialect.normalise(dialect.parse(text))
        assert (back.content, back.reasoning_content) == (wanted.content, wanted.reasoning_content)
        assert calls_of(back) == calls_of(wanted)


# -- stepfun-3.5 -------------------------------------------------------------------------------------------------------


def test_stepfun_sets_nothing_apart() -> None:
    text = get("stepfun-3.5").emit(
        said(("f", {"t": True, "l": [None]}), ("g", {}), content="Well.", reasoning="So."), []
    )
    assert text == (
        "<think>\nSo.\n</think>\nWell."
        "<tool_call>\n<function=f>\n<parameter=t>\nTrue\n</parameter>\n<parameter=l>\n[null]\n</parameter>\n"
        "</function>\n</tool_call><tool_call>\n<function=g>\n</function>\n</tool_call>"
    )


def test_stepfun_strips_nothing_and_keeps_all_but_one_line_break_of_a_thought() -> None:
    back = get("stepfun-3.5").parse("<think>\n\n So.\n\n</think>\n\n One. ")
    assert (back.reasoning_content, back.content) == ("\n So.\n", "\n One. ")


def test_stepfun_begins_with_the_tokenizers_token_and_names_two_roles_of_its_own() -> None:
    messages = [USER, Message("system", "Dry.", name="observation"), said(("f", {})), *[Message("tool", "1")] * 2]
    prompt = StepFun35(bos="<bos>").render(messages, ())
    assert prompt.startswith("<bos><|im_start|>user\nGo.<|im_end|>\n<|im_start|>observation\nDry.<|im_end|>\n")
    results = "<tool_response>1</tool_response><tool_response>1</tool_response>"
    assert prompt.endswith(f"<|im_start|>tool_response\n{results}<|im_end|>\n<|im_start|>assistant\n<think>\n")


def test_stepfun_leaves_out_thoughts_before_the_last_question() -> None:
    one, two = said(content="1", reasoning="A."), said(content="2", reasoning="B.")
    prompt = get("stepfun-3.5").render([USER, one, USER, two], (), add_generation_prompt=False)
    assert "assistant\n1<|im_end|>" in prompt
    assert prompt.endswith("assistant\n<think>\nB.\n</think>\n2<|im_end|>\n")


def test_stepfun_37_names_an_effort_at_the_beginning() -> None:
    dialect = get("stepfun-3.7")
    assert dialect.render([USER], (), reasoning_effort="low").startswith(
        "<|im_start|>system\nReasoning: low\n\n<|im_end|>"
    )
    system = Message("system", "Dry.")
    assert dialect.render([system], (), reasoning_effort="low").startswith(
        "<|im_start|>system\nReasoning: low\n\nDry.<"
    )
    assert dialect.render([USER], ()) == get("stepfun-3.5").render([USER], ())


# -- qwq ---------------------------------------------------------------------------------------------------------------


def test_qwq_always_thinks_and_llama_cpps_copy_if_asked_to() -> None:
    assert get("qwq").render([USER], ()).endswith("assistant\n<think>\n")
    closed = "assistant\n<think>\n</think>"
    assert get("qwq-llama-cpp").render([USER], ()).endswith(closed)
    assert get("qwq-llama-cpp").render([USER], (), enable_thinking=False).endswith(closed)
    assert get("qwq-llama-cpp").render([USER], (), enable_thinking=True).endswith("assistant\n<think>\n")


def test_qwq_shows_no_thought_and_the_last_text_as_it_is() -> None:
    history = [USER, said(content="\n1", reasoning="A."), USER, said(content="\n2", reasoning="B.")]
    prompt = get("qwq").render(history, (), add_generation_prompt=False)
    assert "assistant\n1<|im_end|>" in prompt
    assert prompt.endswith("assistant\n\n2<|im_end|>\n")


# -- spark-2.5 ---------------------------------------------------------------------------------------------------------


def test_spark_writes_one_line_and_keeps_white_space() -> None:
    dialect = get("spark-2.5")
    reply = said(("f", {"a": "x ", "n": [True]}), content=" Well.\n", reasoning=" So.\n")
    text = dialect.emit(reply, [])
    assert text == (
        "<think> So.\n</think> Well.\n<tool_call>f<arg_key>a</arg_key><arg_value>x </arg_value>"
        "<arg_key>n</arg_key><arg_value>[true]</arg_value></tool_call>"
    )
    assert dialect.parse(text).content == " Well.\n"
    assert dialect.parse(" <think>So.").content == " <think>So."


def test_spark_has_a_system_turn_of_its_own_that_takes_the_given_text() -> None:
    dialect = get("spark-2.5")
    alone = dialect.render([USER], ())
    assert alone.startswith(f"<｜start▁of▁sentence｜><|System|>\n{dialect.prose}<｜end▁of▁sentence｜>")
    prompt = dialect.render([Message("system", "Dry."), USER], [TOOL], enable_thinking=False)
    assert "</tools>\n\nDry.<｜end▁of▁sentence｜><｜start▁of▁sentence｜><|User|>Go." in prompt
    assert '<tools>\n{"name": "f", ' in prompt
    assert prompt.endswith("<|Bot|></think>")


# -- ling-3.0 ----------------------------------------------------------------------------------------------------------


def test_ling_breaks_lines_within_a_pair_and_not_between_pairs() -> None:
    text = get("ling-3.0").emit(said(("f", {"a": "x", "n": 1}), ("g", {}), content="\nWell.", reasoning="\nSo."), [])
    assert text == (
        "\n<think>So.</think>Well.\n<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>"
        "<arg_key>n</arg_key>\n<arg_value>1</arg_value>\n</tool_call>\n<tool_call>g\n\n</tool_call>"
    )


def test_ling_reads_line_breaks_behind_the_thought_and_between_pairs() -> None:
    back = get("ling-3.0").parse(
        "\n<think>So.\n</think>\nWell.\n<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n"
        "<arg_key>b</arg_key>\n<arg_value>y</arg_value>\n</tool_call>\nDone."
    )
    assert (back.reasoning_content, back.content) == ("So.", "Well.\nDone.")
    assert calls_of(back) == [("f", {"a": "x", "b": "y"})]


@pytest.mark.parametrize(
    ("options", "line", "end"),
    [
        ({}, "on", "\n<think>"),
        ({"enable_thinking": False}, "off", "\n<think></think>"),
        ({"thinking_option": "off"}, "off", "\n<think></think>"),
        ({"thinking_option": "off", "enable_thinking": True}, "on", "\n<think>"),
        ({"thinking_option": "auto"}, "auto", ""),
    ],
)
def test_ling_has_two_switches(options: dict[str, Json], line: str, end: str) -> None:
    prompt = get("ling-3.0").render([USER], (), **options)
    assert prompt.startswith(f"<role>SYSTEM</role>detailed thinking {line}<|role_end|><role>HUMAN</role>Go.")
    assert prompt.endswith("<role>ASSISTANT</role>" + end)


def test_ling_says_nothing_of_thinking_where_the_system_text_does() -> None:
    system = Message("system", "Dry. detailed thinking off")
    assert get("ling-3.0").render([system], ()).startswith("<role>SYSTEM</role>Dry. detailed thinking off<|role_end|>")
    assert "</tools>\n<|role_end|>" in get("ling-3.0").render([system], [TOOL])


# -- ring-2.6 and its kin ----------------------------------------------------------------------------------------------

OPEN = "<role>ASSISTANT</role>"
BACK = [USER, said(("f", {"a": 1}), content="Well.", reasoning="So."), Message("tool", "1")]


def test_ring_breaks_lines_around_turns() -> None:
    results = "<role>OBSERVATION</role>\n<tool_response>\n1\n</tool_response><|role_end|>\n\n" + OPEN
    asked = "<role>HUMAN</role>\nGo.<|role_end|>\n\n" + OPEN + "\n<think>\nSo.\n</think>\n\nWell.\n<tool_call>"
    call = "f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call><|role_end|>\n\n"
    effort = "<role>SYSTEM</role>\nReasoning: high\n\n"
    assert get("ring-2.6").render(BACK, ()) == effort + asked + call + results
    call = '\n{"name": "f", "arguments": {"a": 1}}\n</tool_call><|role_end|>\n\n'
    assert get("ring-2.5").render(BACK, ()) == asked + call + results


def test_ring_ends_the_first_turn_where_something_stands_in_it() -> None:
    system = Message("system", "Dry.")
    assert "Reasoning: low\n\nDry.<|role_end|>\n\n<role>HUMAN" in get("ring-2.6").render(
        [system, USER], (), reasoning_effort="low"
    )
    assert "Dry.\n\n<role>HUMAN" in get("ring-2.5").render([system, USER], ())
    assert "</tools><|role_end|>\n\n<role>HUMAN" in get("ring-2.6").render([USER], [TOOL])
    assert "</tools>\n\n<role>HUMAN" in get("ring-2.5").render([USER], [TOOL])


def test_ling_26_says_that_it_does_not_think() -> None:
    assert get("ling-2.6").render(BACK, ()) == (
        "<role>SYSTEM</role>detailed thinking off<|role_end|><role>HUMAN</role>Go.<|role_end|>"
        f"{OPEN}\n<think>\nSo.\n</think>\n\nWell.\n<tool_call>\n"
        '{"name": "f", "arguments": {"a": 1}}\n</tool_call><|role_end|>'
        f"<role>OBSERVATION</role>\n<tool_response>\n1\n</tool_response><|role_end|>{OPEN}"
    )
    toggled = [Message("system", "detailed thinking on")]
    assert get("ling-2.6").render(toggled, ()).startswith("<role>SYSTEM</role>detailed thinking on<|role_end|>")
    assert "</tools>\ndetailed thinking off<|role_end|>" in get("ling-2.6").render(toggled, [TOOL])
    assert (
        get("ling-2.0")
        .render(toggled, ())
        .startswith("<role>SYSTEM</role>detailed thinking on\ndetailed thinking off<")
    )


# -- hy3 ---------------------------------------------------------------------------------------------------------------


def test_hy3_writes_a_block_of_suffixed_tags() -> None:
    text = get("hy3").emit(said(("f", {"a": "x", "n": [1]}), ("g", {}), content="Well."), [])
    assert text == (
        "Well.<tool_calls:opensource>\n<tool_call:opensource>f<tool_sep:opensource>\n"
        "<arg_key:opensource>a</arg_key:opensource>\n<arg_value:opensource>x</arg_value:opensource>\n"
        "<arg_key:opensource>n</arg_key:opensource>\n<arg_value:opensource>[1]</arg_value:opensource>\n"
        "</tool_call:opensource>\n<tool_call:opensource>g<tool_sep:opensource>\n</tool_call:opensource>\n"
        "</tool_calls:opensource>"
    )
    assert calls_of(get("hy3").parse(text.replace("\n", "").replace("[1]", "1"))) == [
        ("f", {"a": "x", "n": "1"}),
        ("g", {}),
    ]


def test_hy3_with_another_suffix_is_a_subclass() -> None:
    class Other(Hy3):
        tokens = Tokens("")
        markers = tokens.markers
        turn_ends = (tokens.eos,)
        thought_end = tokens.think_close

    reply = said(("f", {"a": "x"}), content="Well.", reasoning="So.")
    assert Other().emit(reply, []) == get("hy3").emit(reply, []).replace(":opensource", "")
    assert comes_back(Other(), reply)


def test_hy3_takes_nothing_else_for_a_call() -> None:
    for text in ("<tool_call:opensource>f", "<tool_calls:opensource>\n<tool_call:opensource>f</tool_call:opensource>"):
        assert get("hy3").parse(text).content == text


def test_hy3_ends_no_last_turn_without_calls_and_asks_nobody_after_it() -> None:
    prompt = get("hy3").render([USER, said(content="1", reasoning="A.")], ())
    assert prompt.endswith("<｜hy_Assistant:opensource｜><think:opensource>A.</think:opensource>1")
    prompt = get("hy3").render([USER, said(content="1", reasoning="A."), USER], ())
    assert "<think:opensource></think:opensource>1<｜hy_eos:opensource｜>" in prompt
    kept = get("hy3").render([USER, said(content="1", reasoning="A."), USER], [TOOL])
    assert "<think:opensource>A.</think:opensource>1<｜hy_eos:opensource｜>" in kept


def test_hy3_knows_three_efforts() -> None:
    assert get("hy3").render([USER], (), reasoning_effort="high").endswith("<think:opensource>")
    with pytest.raises(OutOfDomain):
        get("hy3").render([USER], (), reasoning_effort="medium")


def test_hy3_preview_has_tokens_of_its_own_and_shows_thoughts_by_option_alone() -> None:
    dialect, history = get("hy3-preview"), [USER, said(("f", {}), reasoning="A."), Message("tool", "1")]
    prompt = dialect.render(history, [TOOL], reasoning_effort="other")
    assert prompt.startswith("<｜hy_begin▁of▁sentence｜># Tools")
    assert "<｜reasoning_mode｜>reasoning_effort:no_think<｜hy_User｜>Go.<｜hy_Assistant｜><think></think>" in prompt
    assert "<think>A.</think>" in dialect.render(history, [TOOL], interleaved_thinking=True)
    assert "<think>A.</think>" not in dialect.render(history, (), interleaved_thinking=True)


# -- nemotron-nano-v2 --------------------------------------------------------------------------------------------------


def test_nemotron_nano_writes_a_list_of_calls_on_a_line_of_its_own() -> None:
    text = get("nemotron-nano-v2").emit(
        said(("f", {"a": "</TOOLCALL>"}), ("g", {}), content=" Well. ", reasoning="So."), []
    )
    assert text == (
        '<think>\nSo.\n</think>\nWell.\n<TOOLCALL>[{"name": "f", "arguments": {"a": "</TOOLCALL>"}}, '
        '{"name": "g", "arguments": {}}]</TOOLCALL>'
    )


@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        ('\n<TOOLCALL> [ {"name": "f"} ] </TOOLCALL>\n', "\n", ["f"]),
        ('<TOOLCALL>[{"name": "f", "arguments": {}}]', None, ["f"]),
        ('<TOOLCALL>[{"name": "f", "arguments": {}}', '<TOOLCALL>[{"name": "f", "arguments": {}}', []),
        ("<TOOLCALL>[]</TOOLCALL>", "<TOOLCALL>[]</TOOLCALL>", []),
        ('<TOOLCALL>[{"name": 1}]</TOOLCALL>', '<TOOLCALL>[{"name": 1}]</TOOLCALL>', []),
    ],
)
def test_nemotron_nano_reads_whole_lists_alone(text: str, content: str | None, names: list[str]) -> None:
    back = get("nemotron-nano-v2").parse(text)
    assert (back.content, [call.name for call in back.tool_calls]) == (content, names)


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ((), "<think>\n"),
        (("/no_think",), "<think></think>"),
        (("/no_think", "/think"), "<think>\n"),
        (("/no_think /think",), "<think>\n"),
        (("/no_think", "</think>"), "<think>\n"),
    ],
)
def test_nemotron_nano_is_switched_by_words(words: tuple[str, ...], end: str) -> None:
    prompt = get("nemotron-nano-v2").render([USER, *(Message("user", f"Go {word} on.") for word in words)], ())
    assert prompt.endswith("<SPECIAL_11>Assistant\n" + end)
    assert "/think" not in prompt.removesuffix(end)


def test_nemotron_nano_gives_results_as_a_list_in_the_users_turn() -> None:
    history = [USER, said(("f", {})), Message("tool", "1"), Message("tool", '{"a": 2}')]
    prompt = get("nemotron-nano-v2").render(history, ())
    assert prompt.endswith(
        '<SPECIAL_12>\n<SPECIAL_11>User\n<TOOL_RESPONSE>[1, {"a": 2}]</TOOL_RESPONSE><SPECIAL_11>Assistant\n<think>\n'
    )


def test_nemotron_nano_12b_breaks_lines_otherwise_and_the_japanese_one_has_an_option() -> None:
    history = [USER, said(("f", {}), content="Well."), Message("tool", "1 /think")]
    turn = (
        "<SPECIAL_10>System\n\n<SPECIAL_11>User\nGo.\n<SPECIAL_11>Assistant\nWell.\n\n"
        '<TOOLCALL>[{"name": "f", "arguments": {}}]</TOOLCALL>\n<SPECIAL_12>\n'
        "<SPECIAL_11>User\n<TOOL_RESPONSE>[1 /think]</TOOL_RESPONSE>\n<SPECIAL_11>Assistant\n"
    )
    assert get("nemotron-nano-v2-first").render(history, ()) == f"{turn}<think>\n"
    assert get("nemotron-nano-v2-japanese").render(history, (), enable_thinking=False) == f"{turn}<think></think>"
    toggled = [Message("user", "Go. /no_think")]
    assert (
        get("nemotron-nano-v2-japanese").render(toggled, ()).endswith("Go. /no_think\n<SPECIAL_11>Assistant\n<think>\n")
    )


# -- gemma4-interleaved ------------------------------------------------------------------------------------------------


def test_gemma4_interleaved_writes_null_as_python_and_a_thought_without_a_line_break() -> None:
    text = get("gemma4-interleaved").emit(said(("f", {"b": None, "a": [True]}), reasoning="So."), [])
    assert text == "<|channel>thought\nSo.<channel|><|tool_call>call:f{a:[true],b:None}<tool_call|>"


def test_gemma4_interleaved_gives_results_turns_of_their_own() -> None:
    history = [USER, said(("f", {}), reasoning="So."), Message("tool", " 1 "), said(content="One.", reasoning="Then.")]
    prompt = get("gemma4-interleaved").render(history, ())
    assert "So.<channel|><|tool_call>call:f{}<tool_call|><turn|>\n<|turn>tool\n1<turn|>\n<|turn>model\nOne." in prompt
    assert prompt.endswith("One.<turn|>\n<|turn>model\n<|channel>thought\n<channel|>")


def test_gemma4_interleaved_declares_nullable_before_the_rest() -> None:
    schema: dict[str, Json] = {"type": "string", "enum": ["x"], "nullable": True}
    tool = Tool("f", "", {"type": "object", "properties": {"a": schema}})
    declared = 'properties:{a:{nullable:true,enum:[<|"|>x<|"|>],type:<|"|>STRING<|"|>}}'
    assert declared in get("gemma4-interleaved").render([USER], [tool])


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"type": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "integer", "enum": [1]}}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}},
    ],
)
def test_gemma4_interleaved_knows_what_its_template_spoils(parameters: dict[str, Json]) -> None:
    assert get("gemma4-interleaved").template_limit([USER], [Tool("f", "", parameters)], {})


# -- the revisions of gemma4 -------------------------------------------------------------------------------------------

STEPS = (
    USER,
    said(("f", {"a": None}), content="Well.", reasoning="So."),
    Message("tool", "1", tool_call_id=None, name="f"),
    said(content="One.", reasoning="Then."),
)
THOUGHT, CALL, RESULT = (
    "<|channel>thought\nSo.\n<channel|>",
    "<|tool_call>call:f{a:null}<tool_call|>",
    '<|tool_response>response:f{value:<|"|>1<|"|>}<tool_response|>',
)


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("gemma4", f"{THOUGHT}{CALL}{RESULT}Well.<|channel>thought\nThen.\n<channel|>One.<turn|>\n"),
        ("gemma4-unsloth", f"{THOUGHT}{CALL}{RESULT}Well.\n<|channel>thought\nThen.\n<channel|>One.<turn|>\n"),
        ("gemma4-vllm", f"{THOUGHT}{CALL}{RESULT}Well.\n<|channel>thought\nThen.\n<channel|>One.<turn|>\n"),
        ("gemma4-previous", f"{THOUGHT}{CALL.replace('null', 'None')}{RESULT}Well.<turn|>\nOne.<turn|>\n"),
        (
            "gemma4-first",
            f"{CALL.replace('null', 'None')}Well.<turn|>\n<|turn>tool\n1<turn|>\n<|turn>model\nOne.<turn|>\n",
        ),
    ],
)
def test_gemma4_was_written_in_several_ways(name: str, turn: str) -> None:
    prompt = get(name).render(STEPS, (), add_generation_prompt=False)
    assert prompt == f"<bos><|turn>user\nGo.<turn|>\n<|turn>model\n{turn}"


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("gemma4", "Well.<turn|>\n"),
        ("gemma4-large", "Well.<turn|>\n"),
        ("gemma4-vllm", "Well.<turn|>\n"),
        ("gemma4-unsloth", "Well.<turn|>\n<|turn>model\n"),
        ("gemma4-large-unsloth", "Well.<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"),
        ("gemma4-large-previous", "Well.<turn|>\n"),
        ("gemma4-first", "<|turn>tool\n1<turn|>\n<|turn>model\n"),
        ("gemma4-large-first", "<|turn>tool\n1<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"),
    ],
)
def test_gemma4_asked_the_model_to_go_on_in_several_ways(name: str, end: str) -> None:
    assert get(name).render(STEPS[:3], ()).endswith(end)


def test_gemma4_in_vllm_begins_turns_with_the_empty_thought_of_the_prompt() -> None:
    history = [USER, said(content="1"), USER]
    assert "<|turn>model\n<|channel>thought\n<channel|>1<turn|>" in get("gemma4-vllm").render(history, ())
    assert "<|turn>model\n1<turn|>" in get("gemma4-vllm").render(history, (), enable_thinking=True)


def test_ring_1t_shows_the_last_thought_alone_and_ends_no_turn() -> None:
    dialect = get("ring-1t")
    first = Message("assistant", "\nDry.", "Rain?", (ToolCall("f", {}),))
    answered = [Message("system", ""), Message("user", "Hi."), first, Message("tool", "1"), Message("tool", "2")]
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    results = "".join(f"\n<tool_response>\n{n}\n</tool_response>" for n in (1, 2))
    before = f"<role>HUMAN</role>Hi.<role>ASSISTANT</role>\nDry.\n{call}<role>OBSERVATION</role>{results}"
    assert dialect.render(answered, ()) == before + "<role>ASSISTANT</role>"
    last = Message("assistant", "\nYes.", "\nSo.\n")
    shown = dialect.render([*answered, last], (), add_generation_prompt=False)
    assert shown == before + "<role>ASSISTANT</role><think>\nSo.</think>\n\nYes."
    assert dialect.emit(first, ()) == f"<think>\nRain?</think>\n\nDry.\n{call}"
    assert dialect.parse(dialect.emit(first, ())).reasoning_content == "Rain?"
    assert dialect.render([answered[1]], [Tool("f")]).startswith("\n# Tools\n")
