"""The corners of the dialects that type arguments by the schema: qwen3.5, nemotron-3, GLM, laguna and their kin."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects import get
from tcfuzz.dialects.base import Dialect
from tcfuzz.diff import message_difference
from tcfuzz.errors import OutOfDomain
from tests.unit.test_dialects_gemma_llama_mistral import chunkings, mutated, streamed

FUNCTION_TAGS = ("qwen3.5", "qwen3.8", "nemotron-3", "nemotron-3.5")
ARGUMENT_TAGS = ("glm-4.6", "glm-4.7", "glm-ocr", "laguna", "poolside-v1", "laguna-s-2.1")
NAMES = FUNCTION_TAGS + ARGUMENT_TAGS
USER = Message("user", "hi")

PROPERTIES: dict[str, Json] = {
    "text": {"type": "string"},
    "whole": {"type": "integer"},
    "flag": {"type": "boolean"},
    "maybe": {"type": ["string", "null"]},
    "thing": {"type": "object"},
    "many": {"type": "array"},
}
TOOLS = (Tool("f", "does it", {"type": "object", "properties": PROPERTIES}), Tool("get-it.now"))


@pytest.fixture(params=NAMES)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return get(request.param)


def said(content: str | None = None, reasoning: str | None = None, **arguments: Json) -> Message:
    return Message("assistant", content, reasoning, (ToolCall("f", arguments),) if arguments else ())


def comes_back(dialect: Dialect, reply: Message) -> bool:
    back = dialect.parse(dialect.emit(reply, TOOLS), TOOLS)
    return message_difference(dialect.normalise(reply), dialect.normalise(back)) is None


# -- writing and reading -----------------------------------------------------------------------------------------------

CALLING = said("C", "R", text="a\nb", flag=True, maybe=None, thing={"k": [1.0, "x"]})
ONE_LINE = (
    "<tool_call>f<arg_key>text</arg_key><arg_value>a\nb</arg_value><arg_key>flag</arg_key><arg_value>true</arg_value>"
    "<arg_key>maybe</arg_key><arg_value>null</arg_value><arg_key>thing</arg_key>"
    '<arg_value>{"k": [1.0, "x"]}</arg_value></tool_call>'
)
LINES = (
    ONE_LINE.replace("f<arg", "f\n<arg").replace("</arg_key>", "</arg_key>\n").replace("</arg_value>", "</arg_value>\n")
)
FUNCTION = (
    "<tool_call>\n<function=f>\n<parameter=text>\na\nb\n</parameter>\n<parameter=flag>\nTrue\n</parameter>\n"
    '<parameter=maybe>\nNone\n</parameter>\n<parameter=thing>\n{"k": [1.0, "x"]}\n</parameter>\n'
    "</function>\n</tool_call>"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qwen3.5", f"<think>\nR\n</think>\n\nC\n\n{FUNCTION}"),
        ("qwen3.8", f"<think>\nR\n</think>\n\nC\n\n{FUNCTION.replace('True', 'true').replace('None', 'null')}"),
        ("nemotron-3", f"<think>\nR\n</think>\nC\n{FUNCTION}"),
        ("nemotron-3.5", f"<think>\nR</think>C\n{FUNCTION}"),
        ("glm-4.6", f"\n<think>R</think>\nC\n{LINES}"),
        ("glm-4.7", f"<think>R</think>C{ONE_LINE}"),
        ("glm-ocr", "<think>R</think>\nC" + ONE_LINE.replace("<tool_call>", "\n<tool_call>")),
        ("laguna", f"<think>\nR\n</think>\nC\n{LINES}"),
        ("poolside-v1", f"<think>R</think>C{ONE_LINE}"),
        ("laguna-s-2.1", f"<think>R</think>C{ONE_LINE}"),
    ],
)
def test_the_written_form(name: str, text: str) -> None:
    assert get(name).emit(CALLING, TOOLS) == text
    assert comes_back(get(name), CALLING)


def test_calls_without_arguments_and_several(dialect: Dialect) -> None:
    calls = (ToolCall("f", {}), ToolCall("get-it.now", {}), ToolCall("f", {"whole": 10**25}))
    for content in (None, "C"):
        assert comes_back(dialect, Message("assistant", content, None, calls))


@pytest.mark.parametrize(
    "text", ["</tool_call>", "<tool_call>", "<think>", "</function>", "<arg_key>", " x ", "\nx\n", ""]
)
def test_a_string_holds_what_does_not_end_it(dialect: Dialect, text: str) -> None:
    assert comes_back(dialect, said(text=text))


@pytest.mark.parametrize("name", ARGUMENT_TAGS)
@pytest.mark.parametrize("text", ["null", "7", "[]", "\n\n", "</parameter>"])
def test_a_declared_string_is_taken_as_it_stands(name: str, text: str) -> None:
    assert comes_back(get(name), said(text=text))


@pytest.mark.parametrize("name", ARGUMENT_TAGS)
@pytest.mark.parametrize("value", [7, 0.5, True, None, [1, "x"], {"k": "v"}, "words", "two words"])
def test_what_no_schema_types_is_read_as_json(name: str, value: Json) -> None:
    assert comes_back(get(name), said(undeclared=value))


def test_what_an_argument_cannot_hold(dialect: Dialect) -> None:
    closing = "\n</parameter>\n" if dialect.name in FUNCTION_TAGS else "</arg_value>"
    assert not comes_back(dialect, said(text=f"a{closing}b"))
    for ambiguous in ("null", "None"):
        with pytest.raises(OutOfDomain, match="another type"):
            dialect.emit(said(maybe=ambiguous), TOOLS)
    with pytest.raises(OutOfDomain, match="another type"):
        dialect.emit(said(undeclared="7"), TOOLS)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (said("see <tool_call>"), "content holds"),
        (said("a</think>b"), "content holds"),
        (said("C", "a</think>b"), "reasoning holds"),
        (said(" <think>a"), "content begins"),
        (said("C", "\n<think>a"), "reasoning begins"),
    ],
)
def test_what_a_reply_cannot_hold(dialect: Dialect, reply: Message, reason: str) -> None:
    with pytest.raises(OutOfDomain, match=reason):
        dialect.emit(reply, TOOLS)


def test_a_thought_may_speak_of_tags(dialect: Dialect) -> None:
    assert comes_back(dialect, said("see <think> there", "then <think> or <tool_call>\n<function=f> <tool_call>f"))


def test_poolside_keeps_white_space_of_the_content() -> None:
    back = get("poolside-v1").parse("<think> R\n</think>\n\n C \n<tool_call>f</tool_call>")
    assert (back.reasoning_content, back.content) == (" R\n", "\n\n C \n")


# -- after a prompt ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"enable_thinking": True}, {"enable_thinking": False}])
def test_what_is_said_after_a_prompt_is_the_reply(dialect: Dialect, options: dict[str, Json]) -> None:
    prompt = dialect.render([USER], TOOLS, **options)
    for reply in (said("C"), said("C", "R"), said(None, "R", text="x"), said(None, text="x"), said(None), said("\nC")):
        text = dialect.emit(reply, TOOLS)
        native = dialect.opened_by(prompt) + dialect.said_after(prompt, text)
        assert dialect.parse(native, TOOLS) == dialect.parse(text, TOOLS)


@pytest.mark.parametrize(
    ("name", "default", "on", "off"),
    [
        ("qwen3.5", "<think>\n", "<think>\n", ""),
        ("qwen3.8", "<think>\n", "<think>\n", ""),
        ("nemotron-3", "<think>\n", "<think>\n", ""),
        ("nemotron-3.5", "<think>\n", "<think>\n", ""),
        ("glm-4.6", "", "", ""),
        ("glm-4.7", "<think>", "<think>", ""),
        ("laguna", "", "<think>", ""),
        ("poolside-v1", "", "<think>", ""),
        ("laguna-s-2.1", "<think>", "<think>", ""),
    ],
)
def test_the_thought_that_a_prompt_opens(name: str, default: str, on: str, off: str) -> None:
    render, opened_by = get(name).render, get(name).opened_by
    assert opened_by(render([USER], ())) == default
    assert opened_by(render([USER], (), enable_thinking=True)) == on
    assert opened_by(render([USER], (), enable_thinking=False)) == off


def test_nemotron_says_an_empty_thought_of_its_history_after_any_prompt() -> None:
    for name in ("nemotron-3", "nemotron-3.5"):
        dialect = get(name)
        for thinks, said_so in ((True, "</think>C"), (False, "<think></think>C")):
            prompt = dialect.render([USER], (), enable_thinking=thinks)
            assert dialect.said_after(prompt, "<think></think>C") == said_so
            assert dialect.parse(dialect.opened_by(prompt) + said_so) == Message("assistant", "C")


def test_qwen38_names_an_effort() -> None:
    render = get("qwen3.8").render
    assert render([USER], ()).startswith("<|im_start|>system\nReasoning effort: xhigh.<|im_end|>\n")
    assert "effort: low.\n\nSys<|im_end|>" in render([Message("system", "Sys"), USER], (), reasoning_effort="low")
    assert "effort" not in render([USER], (), reasoning_effort="medium") + render([USER], (), enable_thinking=False)
    with pytest.raises(OutOfDomain, match="no reasoning effort"):
        render([USER], (), reasoning_effort="none")


def test_nemotron_is_told_by_the_last_word_whether_to_think() -> None:
    def ending(*texts: str, name: str = "nemotron-3") -> str:
        prompt = get(name).render([Message("user", text) for text in texts], (), add_generation_prompt=True)
        assert name != "nemotron-3" or "/no_think" not in prompt
        return prompt.rpartition("assistant\n")[2]

    assert ending("a /no_think") == "<think></think>"
    assert ending("a /no_think", "b /think") == "<think>\n"
    assert ending("</think>", "/no_think </think>") == "<think></think>"
    assert ending("a /no_think", name="nemotron-3.5") == "<think>\n"


# -- conversations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "messages", "reason"),
    [
        ("qwen3.5", [Message("tool", "x"), USER], "opens no turn"),
        ("nemotron-3", [Message("system", "x"), Message("tool", "x"), USER], "opens no turn"),
        ("nemotron-3", [Message("user", None)], "null content"),
        ("nemotron-3", [], "no message"),
        ("glm-4.6", [USER, Message("assistant", None)], "null content"),
        ("glm-4.7", [Message("developer", "x")], "drops the developer"),
        ("laguna", [Message("developer", "x")], "drops the developer"),
    ],
)
def test_what_the_published_templates_cannot_do(name: str, messages: list[Message], reason: str) -> None:
    assert reason in (get(name).template_limit(messages, TOOLS, {}) or "")
    assert get(name).render(messages, TOOLS)
    assert get(name).template_limit([USER, said("C", "R")], TOOLS, {}) is None


@pytest.mark.parametrize(
    ("name", "messages", "reason"),
    [
        ("qwen3.5", [Message("system", "x")], "no user asks"),
        ("qwen3.5", [Message("user", " <tool_response>x</tool_response> ")], "no user asks"),
        ("qwen3.5", [USER, Message("system", "x")], "system message"),
        ("qwen3.8", [Message("developer", "x"), USER], "system message"),
        ("qwen3.5", [USER, said("R</think>C")], "content holds"),
        ("glm-4.7", [USER, said("R</think>C")], "content holds"),
        ("nemotron-3", [USER, said("<think>C")], "content holds"),
        ("laguna", [USER, said("R</think>C", "R")], "content holds"),
    ],
)
def test_conversations_that_a_format_cannot_hold(name: str, messages: list[Message], reason: str) -> None:
    with pytest.raises(OutOfDomain, match=reason):
        get(name).render(messages, ())


def test_glm46_says_once_not_to_think() -> None:
    messages = [Message("user", "a"), said("b"), Message("user", "c/nothink")]
    prompt = get("glm-4.6").render(messages, (), enable_thinking=False)
    assert prompt == (
        "[gMASK]<sop><|user|>\na/nothink<|assistant|>\n<think></think>\nb<|user|>\nc/nothink<|assistant|>\n<think></think>"
    )


# -- any text ----------------------------------------------------------------------------------------------------------


def replies() -> Iterator[Message]:
    for content in (None, "C", "a < b\n", "<tool"):
        for reasoning in (None, "R", "So,\n\nthen "):
            yield said(content, reasoning)
            yield said(content, reasoning, text="x", many=[{"a": None}], whole=7)
            yield said(content, reasoning, text="a\n</arg", flag=False)


def test_any_text_gives_a_message_and_its_stream_the_same(dialect: Dialect) -> None:
    rand = random.Random(5)
    for reply in replies():
        text = dialect.emit(reply, TOOLS)
        whole = dialect.parse(text, TOOLS)
        assert all(streamed(dialect, chunks, TOOLS) == whole for chunks in chunkings(text, rand))
        for _ in range(20):
            text = mutated(text, dialect, rand)[:1000]
            assert streamed(dialect, list(text), TOOLS) == dialect.parse(text, TOOLS), text


def test_a_cut_call_is_no_call(dialect: Dialect) -> None:
    text = dialect.emit(said(None, text="x", thing={"b": [1]}), TOOLS)
    whole = dialect.parse(text, TOOLS).tool_calls
    for at in range(len(text)):
        calls = dialect.parse(text[:at], TOOLS).tool_calls
        assert not calls or calls[0].arguments == whole[0].arguments


@pytest.mark.parametrize(
    "text",
    [
        "C",
        "<tool_call></tool_call>",
        "<tool_call>\n<arg_key>a</arg_key>",
        "<tool_call>f<arg_key>a</arg_key>x<arg_value>1</arg_value></tool_call>",
        "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value>",
        "<tool_call>f\nx</tool_call>",
    ],
)
@pytest.mark.parametrize("name", ARGUMENT_TAGS)
def test_what_is_no_call_is_content(name: str, text: str) -> None:
    assert get(name).parse(text, TOOLS) == Message("assistant", text)


def test_white_space_around_a_key_goes() -> None:
    text = "<tool_call>\n f <arg_key>\nwhole </arg_key> <arg_value>7</arg_value>\n</tool_call>"
    assert get("glm-4.7").parse(text, TOOLS).tool_calls[0].arguments == {"whole": 7}


def test_a_call_after_a_broken_one_is_read() -> None:
    message = get("glm-4.7").parse("<tool_call>so <tool_call>f</tool_call>", TOOLS)
    assert (message.content, [call.name for call in message.tool_calls]) == ("<tool_call>so ", ["f"])


@pytest.mark.parametrize(
    "text", ["<", "<tool_call>", "<tool_call>f\n<arg_key>", "<think>\n", "<tool_call>f<arg_key>a</arg_key>"]
)
def test_time_grows_with_the_length_alone(dialect: Dialect, text: str) -> None:
    start = time.process_time()
    long = text * (300_000 // len(text))
    assert dialect.parse(long, TOOLS) is not None
    streamed(dialect, [long[at : at + 50] for at in range(0, 100_000, 50)], TOOLS)
    assert time.process_time() - start < 20
