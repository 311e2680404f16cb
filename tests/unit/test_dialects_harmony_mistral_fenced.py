"""harmony, qwen3-vl, the later Mistral formats, cogito, deepseek-r1, functiongemma: the corners of each."""

from __future__ import annotations

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects import get
from tcfuzz.errors import OutOfDomain

USER = Message("user", "hi")


def said(*calls: ToolCall, content: str | None = None, reasoning: str | None = None) -> Message:
    return Message("assistant", content, reasoning, calls)


def call(arguments: dict[str, Json], name: str = "f", id: str | None = "call_0") -> ToolCall:  # noqa: A002
    return ToolCall(name, arguments, id)


def streamed(name: str, text: str) -> tuple[str, str, list[str]]:
    """What comes out of a stream of single characters."""
    stream = get(name).stream()
    deltas = [delta for char in text for delta in stream.feed(char)] + stream.finish()
    names = [entry["function"]["name"] for delta in deltas for entry in delta.get("tool_calls", ())]
    content = "".join(delta.get("content", "") for delta in deltas)
    return content, "".join(delta.get("reasoning_content", "") for delta in deltas), names


# -- harmony -----------------------------------------------------------------------------------------------------------

HARMONY_CALLS = (
    ' to=functions.f<|channel|>commentary json<|message|>{"a": "<|call|>"}',
    '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": "<|call|>"}<|call|>',
    '<|channel|>commentary to=functions.f<|constrain|>json<|message|>{"a": "<|call|>"}',
    '<|start|>assistant<|channel|>analysis to=functions.f code<|message|> {"a": "<|call|>"} <|end|>',
)


@pytest.mark.parametrize("text", HARMONY_CALLS)
def test_harmony_reads_a_call_however_it_is_addressed(text: str) -> None:
    assert get("harmony").parse(text) == said(call({"a": "<|call|>"}))
    assert streamed("harmony", text) == ("", "", ["f"])


def test_harmony_says_text_beside_a_call_in_commentary() -> None:
    reply = said(call({}), content="Wait.", reasoning="So.")
    text = get("harmony").emit(reply, [])
    assert text == (
        "<|channel|>analysis<|message|>So.<|end|><|start|>assistant<|channel|>commentary<|message|>Wait.<|end|>"
        "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}"
    )
    assert get("harmony").parse(text) == reply


@pytest.mark.parametrize(
    "text",
    [
        " to=nobody",
        "Hi<|end|>",
        "<|start|>user<|message|>Hi<|end|>",
        "<|channel|>commentary to=functions.f<|message|>{",
        "<|channel|>commentary to=functions.f<|message|>[]<|call|>",
        "<|channel|>commentary to=functions.<|message|>{}",
        "<|channel|><|start|>",
    ],
)
def test_harmony_gives_back_what_is_no_message(text: str) -> None:
    assert get("harmony").parse(text).content == text
    assert streamed("harmony", text) == (text, "", [])


def test_harmony_shows_reasoning_until_an_answer_follows() -> None:
    called = (USER, said(call({}), reasoning="THOUGHT"), Message("tool", "r"))
    assert "THOUGHT" in get("harmony").render(called, [])
    assert "THOUGHT" not in get("harmony").render([*called, said(content="Done."), USER], [])


def test_harmony_writes_one_call_a_message() -> None:
    with pytest.raises(OutOfDomain):
        get("harmony").emit(said(call({}), call({})), [])
    with pytest.raises(OutOfDomain):
        get("harmony").render([USER, said(content="x"), Message("tool", "r")], [])


def test_harmony_names_the_call_of_each_result() -> None:
    messages = [USER, said(call({}, "f")), Message("tool", 'a "b"'), said(call({}, "g")), Message("tool", None)]
    assert get("harmony").result_bindings(get("harmony").render(messages, [])) == [("f", 'a "b"'), ("g", "")]


# -- qwen3-vl ----------------------------------------------------------------------------------------------------------


def test_qwen3_vl_has_no_default_system_turn() -> None:
    for name in ("qwen3-vl-instruct", "qwen3-vl-thinking"):
        assert get(name).render([USER], []).startswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


def test_qwen3_vl_closes_a_thought_before_a_call() -> None:
    history = (USER, said(call({"a": 1}), reasoning="So."), Message("tool", "r"))
    prompt = get("qwen3-vl-thinking").render(history, [])
    assert '<think>\nSo.\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>' in prompt


@pytest.mark.parametrize("reply", [said(content="x"), said(content="x", reasoning="So."), said(call({}))])
def test_qwen3_vl_goes_on_with_the_thought_that_its_prompt_opens(reply: Message) -> None:
    dialect = get("qwen3-vl-thinking")
    prompt, text = dialect.render([USER], []), dialect.emit(reply, [])
    assert dialect.opened_by(prompt) == "<think>\n"
    assert dialect.parse("<think>\n" + dialect.said_after(prompt, text)) == dialect.parse(text)
    assert get("qwen3-vl-instruct").opened_by(get("qwen3-vl-instruct").render([USER], [])) == ""


# -- the later Mistral formats -----------------------------------------------------------------------------------------

MISTRALS = ("ministral-3", "devstral", "mistral-small-3.2")


@pytest.mark.parametrize("name", MISTRALS)
@pytest.mark.parametrize(
    "text",
    [
        "[TOOL_CALLS]",
        "[TOOL_CALLS]f",
        "[TOOL_CALLS]f[ARGS]",
        "[TOOL_CALLS][ARGS]{}",
        '[TOOL_CALLS]f[ARGS]{"a": 1',
        "[TOOL_CALLS]f[ARGS][1]",
        "[TOOL_CALLS]f[CALL_ID]abc{}",
        "[TOOL_CALLS][TOOL_CALLS]",
    ],
)
def test_what_is_no_call_for_mistral_is_content(name: str, text: str) -> None:
    assert get(name).parse(text) == said(content=text)
    assert streamed(name, text) == (text, "", [])


@pytest.mark.parametrize("name", MISTRALS)
def test_mistral_reads_a_call_after_a_broken_one(name: str) -> None:
    text = 'a[TOOL_CALLS]f[TOOL_CALLS]g[CALL_ID]abc123XYZ[ARGS]{"x": "[TOOL_CALLS]"}'
    expected = said(call({"x": "[TOOL_CALLS]"}, "g", "abc123XYZ"), content="a[TOOL_CALLS]f")
    assert get(name).parse(text) == expected


def test_mistral_small_writes_ids_of_nine_and_drops_text_beside_calls() -> None:
    dialect = get("mistral-small-3.2")
    reply = said(call({"a": 1}, id="abc123XYZ"), content="gone")
    assert dialect.emit(reply, []) == '[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS]{"a": 1}'
    with pytest.raises(OutOfDomain):
        dialect.emit(said(call({}, id="call_0")), [])
    messages = [USER, reply, Message("tool", "r", tool_call_id="abc123XYZ")]
    assert dialect.result_bindings(dialect.render(messages, [])) == [("abc123XYZ", "r")]


def test_ministral_thinks_in_brackets() -> None:
    reply = said(call({}), content=" Hi", reasoning="So.")
    text = get("ministral-3").emit(reply, [])
    assert text == "[THINK]So.[/THINK] Hi[TOOL_CALLS]f[ARGS]{}"
    assert get("ministral-3").parse(text) == reply
    assert get("ministral-3").parse("[THINK]So.") == said(reasoning="So.")
    assert get("devstral").parse("[THINK]So.") == said(content="[THINK]So.")


# -- deepseek-r1 and cogito --------------------------------------------------------------------------------------------

CALLS, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
ONE, ONE_END, SEP = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
FENCED = f"{CALLS}{ONE}function{SEP}{{}}\n```json\n{{}}\n```{ONE_END}{CALLS_END}"
NASTY = f'{{"a": "\\n```{ONE_END}"}}'
R1_CALLS = (
    FENCED.format("f", NASTY),
    FENCED.format("f", NASTY).removesuffix(CALLS_END),
    f"{CALLS}\n{ONE}x{SEP}f```json{NASTY}```\n{ONE_END}\n",
)
FENCED_NAMES = ("deepseek-r1", "cogito")


@pytest.mark.parametrize("name", FENCED_NAMES)
@pytest.mark.parametrize("text", R1_CALLS)
def test_a_fenced_call_is_found_by_its_json(name: str, text: str) -> None:
    assert get(name).parse(text) == said(call({"a": "\n```<｜tool▁call▁end｜>"}))
    assert streamed(name, text) == ("", "", ["f"])


@pytest.mark.parametrize("name", FENCED_NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{}<｜tool▁call▁end｜>",
        FENCED.format("", "{}"),
        FENCED.format("f", "[]"),
        FENCED.format("f", '{"a": 1'),
    ],
)
def test_a_broken_fenced_call_is_content(name: str, text: str) -> None:
    assert get(name).parse(text) == said(content=text)
    assert streamed(name, text) == (text, "", [])


@pytest.mark.parametrize("name", FENCED_NAMES)
@pytest.mark.parametrize("reply", [said(content="x"), said(content="\nx", reasoning="So."), said(call({}))])
def test_a_fenced_format_goes_on_with_the_thought_that_its_prompt_opens(name: str, reply: Message) -> None:
    dialect = get(name)
    prompt, text = dialect.render([USER], [], enable_thinking=True), dialect.emit(reply, [])
    assert dialect.opened_by(prompt) == "<think>\n"
    assert dialect.parse("<think>\n" + dialect.said_after(prompt, text)) == dialect.parse(text) == reply
    assert dialect.opened_by(dialect.render([USER], [])) == ""


def test_deepseek_r1_writes_every_round_like_the_first() -> None:
    rounds = [message for _ in range(2) for message in (said(call({})), Message("tool", "r"), Message("tool", "s"))]
    block = FENCED.format("f", "{}") + "<｜end▁of▁sentence｜>"
    results = (
        "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>r<｜tool▁output▁end｜>\n"
        "<｜tool▁output▁begin｜>s<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"
    )
    prompt = get("deepseek-r1").render([USER, *rounds], [])
    assert prompt == "<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>" + 2 * (block + results)
    assert get("deepseek-r1").template_limit([USER, *rounds], [], {}) is not None
    assert (
        get("cogito")
        .render([USER, *rounds], [])
        .endswith("<｜User｜>hi<｜Assistant｜>" + 2 * (block + results) + "<｜Assistant｜>")
    )


def test_cogito_thinks_at_a_first_line() -> None:
    messages, tools = [Message("system", "Be brief."), USER], [Tool("f")]
    plain = get("cogito").render(messages, tools)
    thinking = get("cogito").render(messages, tools, enable_thinking=True)
    declared = '```json\n{\n    "type": "function",\n    "function": {\n        "name": "f"\n    }\n}\n```\n'
    assert plain.endswith(f"{declared}<｜User｜>hi<｜Assistant｜>")
    assert thinking.startswith("<｜begin▁of▁sentence｜>Enable deep thinking subroutine.\n\n")
    assert "\n\nBe brief.\n\n\n" in thinking
    assert thinking.endswith("<｜User｜>hi<｜Assistant｜><think>\n")


# -- functiongemma -----------------------------------------------------------------------------------------------------

CALLED = "<start_function_call>call:f{a:<escape>x}<end_function_call><escape>,b:None,l:[1,true,{k:<escape><escape>}]}"


def test_functiongemma_writes_and_reads_its_values() -> None:
    reply = said(call({"b": None, "a": "x}<end_function_call>", "l": [1, True, {"k": ""}]}), content="Hi")
    dialect = get("functiongemma")
    text = dialect.emit(reply, [])
    assert text == f"Hi{CALLED}<end_function_call>"
    assert dialect.parse(text) == reply
    assert dialect.parse(CALLED.replace("None", "null")).tool_calls == reply.tool_calls
    assert streamed("functiongemma", text) == ("Hi", "", ["f"])


@pytest.mark.parametrize(
    "text",
    [
        "<start_function_call>",
        "<start_function_call>f{}<end_function_call>",
        "<start_function_call>call:{}<end_function_call>",
        "<start_function_call>call:f{a:<escape>x}<end_function_call>",
        "<start_function_call>call:f{a}<end_function_call>",
    ],
)
def test_a_broken_call_of_functiongemma_is_content(text: str) -> None:
    assert get("functiongemma").parse(text) == said(content=text)
    assert streamed("functiongemma", text) == (text, "", [])


def test_functiongemma_keeps_calls_results_and_answer_in_one_turn() -> None:
    calls = said(call({}, "f", "1"), call({}, "g", "2"))
    results = [Message("tool", "G", tool_call_id="2"), Message("tool", "F", tool_call_id="1")]
    dialect = get("functiongemma")
    prompt = dialect.render([USER, calls, *results], [])
    assert prompt == (
        "<bos><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n"
        "<start_function_call>call:f{}<end_function_call><start_function_call>call:g{}<end_function_call>"
        "<start_function_response>response:g{value:<escape>G<escape>}<end_function_response>"
        "<start_function_response>response:f{value:<escape>F<escape>}<end_function_response>"
    )
    assert dialect.result_bindings(prompt) == [("g", "G"), ("f", "F")]
    assert dialect.render([USER, calls, *results, said(content=" Done. ")], []) == (
        f"{prompt}Done.<end_of_turn>\n<start_of_turn>model\n"
    )
    waiting = dialect.render([USER, calls], [], add_generation_prompt=False)
    assert dialect.strip_turn_end(waiting).endswith("call:g{}<end_function_call>")
    with pytest.raises(OutOfDomain):
        dialect.render([USER, calls, USER], [])


def test_functiongemma_declares_tools_in_the_developers_turn() -> None:
    parameters = {
        "type": "object",
        "properties": {"b": {"type": "integer"}, "A": {"type": "string"}},
        "required": ["b"],
    }
    prompt = get("functiongemma").render([Message("system", " s "), USER], [Tool("f", "Does.", parameters)])
    assert prompt.startswith(
        "<bos><start_of_turn>developer\ns<start_function_declaration>declaration:f{description:<escape>Does.<escape>,"
        "parameters:{properties:{A:{description:<escape><escape>,type:<escape>STRING<escape>},"
        "b:{description:<escape><escape>,type:<escape>INTEGER<escape>}},required:[<escape>b<escape>],"
        "type:<escape>OBJECT<escape>}}<end_function_declaration><end_of_turn>\n<start_of_turn>user\n"
    )
