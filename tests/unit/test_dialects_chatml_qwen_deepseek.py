"""chatml, hermes, qwen3, qwen3-coder, deepseek-v3.1: writing, reading, streaming, and the corners of each."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect
from tcfuzz.diff import message_difference
from tcfuzz.errors import OutOfDomain

NAMES = ("chatml", "hermes", "qwen3", "qwen3-coder", "deepseek-v3.1")
WITH_CALLS = NAMES[1:]
JSON_DIALECTS = ("hermes", "qwen3", "deepseek-v3.1")
FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=100)

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "whole": {"type": "integer"},
        "number": {"type": "number"},
        "flag": {"type": "boolean"},
        "list": {"type": "array"},
        "thing": {"$ref": "#/$defs/Thing"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "free": {},
    },
    "$defs": {"Thing": {"type": "object"}},
}
TOOLS = (Tool("f", "does it", SCHEMA), Tool("get-it.now", None, None))


# -- what is drawn -----------------------------------------------------------------------------------------------------


def pieces(name: str) -> st.SearchStrategy[str]:
    """A marker, a part of one, or some text."""
    markers = [marker.text for marker in dialects.get(name).markers]
    parts = [text[:cut] for text in markers for cut in (1, len(text) // 2, len(text) - 1)]
    plain = [
        "a",
        " ",
        "\n",
        "\n\n",
        '"',
        "\\",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "f",
        ">",
        "é",
        "🙂",
        "\u2028",
        "\x00",
        "7",
    ]
    calls = ['{"name": "f", "arguments": {"a": 1}}', '{"name": "f"', "f>\n", "text>\nx\n", '{"text": "}"}']
    return st.sampled_from([*markers, *parts, *plain, *calls])


def texts(name: str) -> st.SearchStrategy[str]:
    return st.lists(pieces(name), max_size=8).map("".join)


def values(name: str) -> st.SearchStrategy[Json]:
    leaves = st.one_of(
        texts(name),
        st.sampled_from([None, True, False, 0, -1, 1.5, -0.0, 1e300, 2**53 + 1, 10**25, "7", "true", "null", ""]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(name), inner, max_size=3),
        max_leaves=5,
    )


def arguments(name: str) -> st.SearchStrategy[dict[str, Json]]:
    if name != "qwen3-coder":
        return st.dictionaries(texts(name), values(name), max_size=4)
    by_name: dict[str, st.SearchStrategy[Json]] = {
        "text": texts(name),
        "whole": st.integers(),
        "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        "flag": st.booleans(),
        "list": st.lists(values(name), max_size=3),
        "thing": st.dictionaries(texts(name), values(name), max_size=3),
        "maybe": st.none() | texts(name),
        "free": texts(name),
    }
    keys = st.lists(st.sampled_from(list(by_name)), unique=True, max_size=4)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: by_name[key] for key in chosen}))


@st.composite
def replies(draw: st.DrawFn, name: str) -> Message:
    limit = 0 if name == "chatml" else 3
    calls = draw(st.lists(st.builds(ToolCall, st.just("f"), arguments(name)), max_size=limit))
    reasoning = draw(st.none() | texts(name)) if dialects.get(name).traits.reasoning else None
    return Message("assistant", draw(st.none() | texts(name)), reasoning, tuple(calls))


def emitted(dialect: Dialect, reply: Message) -> str | None:
    try:
        return dialect.emit(reply, TOOLS)
    except OutOfDomain:
        return None


def mutated(text: str, rng: random.Random) -> str:
    """Cut, doubled, swapped or stuffed at a random place."""
    at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    return rng.choice(
        (
            text[:at],
            text[at:],
            text[:to] + text[at:],
            text[:at] + text[to:],
            text[:at] + rng.choice("<{\n x") + text[at:],
        )
    )


# -- parsing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_is_emitted_parses_back(name: str) -> None:
    """Whatever the formats' facts call representable is in the domain."""
    dialect = dialects.get(name)
    kept = 0

    @FIXED
    @given(replies(name))
    def check(reply: Message) -> None:
        nonlocal kept
        text = emitted(dialect, reply)
        if text is None or not is_representable(name, reply):
            return
        kept += 1
        back = dialect.normalise(dialect.parse(text, TOOLS))
        assert message_difference(dialect.normalise(reply), back) is None
        assert [list(c.arguments) for c in back.tool_calls] == [list(c.arguments) for c in reply.tool_calls]

    check()
    assert kept > 30


def is_representable(name: str, reply: Message) -> bool:
    """By the facts, not by the round trip."""
    content = reply.content or ""
    if name == "qwen3-coder":
        strings = [value for call in reply.tool_calls for value in call.arguments.values() if isinstance(value, str)]
        return not any("\n</parameter>" in "\n" + text for text in strings)
    if name in ("qwen3", "deepseek-v3.1"):
        # A tag at the beginning of the text, and one in the reasoning, are read as the format's own.
        return "think>" not in (reply.reasoning_content or "") and "think>" not in content
    return True


@pytest.mark.parametrize("name", NAMES)
def test_streaming_is_parsing(name: str) -> None:
    dialect = dialects.get(name)

    @FIXED
    @given(replies(name), st.lists(pieces(name), max_size=25).map("".join), st.randoms(use_true_random=False))
    def check(reply: Message, soup: str, rng: random.Random) -> None:
        text = emitted(dialect, reply) or ""
        for one in (text, mutated(text, rng), text + soup, soup):
            whole = dialect.parse(one, TOOLS)
            for chunks in chunkings(one, rng):
                assert streamed(dialect, chunks) == whole, chunks

    check()


def chunkings(text: str, rng: random.Random) -> Iterator[list[str]]:
    yield [text]
    yield list(text)
    for cut in range(0, len(text), max(1, len(text) // 12)):
        yield [text[:cut], text[cut:]]
    cuts = sorted(rng.randint(0, len(text)) for _ in range(6))
    yield [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("name", WITH_CALLS)
def test_every_split_of_a_reply_with_all_parts(name: str) -> None:
    dialect = dialects.get(name)
    reasoning = "Hm.\nYes." if dialect.traits.reasoning else None
    calls = (ToolCall("f", {"text": 'a</tool_call>\n{\\"', "whole": 7, "list": [{}]}), ToolCall("get-it.now", {}))
    text = dialect.emit(Message("assistant", "On it.\nNow", reasoning, calls), TOOLS)
    whole = dialect.parse(text, TOOLS)
    assert message_difference(Message("assistant", "On it.\nNow", reasoning, calls), whole) is None
    for cut in range(len(text) + 1):
        assert streamed(dialect, [text[:cut], text[cut:]]) == whole


def streamed(dialect: Dialect, chunks: Sequence[str]) -> Message:
    stream = dialect.stream(TOOLS)
    deltas = [delta for chunk in chunks for delta in stream.feed(chunk)] + stream.finish()
    joined = {key: "".join(d.get(key, "") for d in deltas) or None for key in ("content", "reasoning_content")}
    entries = [entry for delta in deltas for entry in delta.get("tool_calls", [])]
    assert [entry["index"] for entry in entries] == list(range(len(entries)))
    calls = [ToolCall(e["function"]["name"], read_back(e["function"]["arguments"]), e["id"]) for e in entries]
    return Message("assistant", joined["content"], joined["reasoning_content"], tuple(calls))


def read_back(text: str) -> dict[str, Json]:
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("name", NAMES)
def test_plain_text_is_content_and_comes_at_once(name: str) -> None:
    dialect = dialects.get(name)
    stream = dialect.stream(TOOLS)
    assert stream.feed("Good ") == [{"content": "Good "}]
    assert stream.feed("morning <") == [{"content": "morning <" if name == "chatml" else "morning "}]
    assert dialect.parse("2 < 3 > 1 & {}\n\n ") == Message("assistant", "2 < 3 > 1 & {}\n\n ")
    assert dialect.parse("") == Message("assistant")


@pytest.mark.parametrize("name", WITH_CALLS)
def test_a_cut_call_is_no_other_call(name: str) -> None:
    dialect = dialects.get(name)
    call = ToolCall("f", {"text": "one two", "whole": 123, "flag": True})
    text = dialect.emit(Message("assistant", "", None, (call,)), TOOLS)
    for cut in range(len(text)):
        back = dialect.parse(text[:cut], TOOLS)
        if back.tool_calls:
            assert (back.tool_calls[0].name, back.tool_calls[0].arguments) == (call.name, call.arguments)
        else:
            assert (back.content or "") == text[:cut]


@pytest.mark.parametrize("name", WITH_CALLS)
def test_a_broken_call_hides_neither_its_text_nor_the_next_call(name: str) -> None:
    dialect = dialects.get(name)
    good = dialect.emit(Message("assistant", None, None, (ToolCall("f", {"whole": 1}),)), TOOLS)
    marker = dialect.marker("call-open")
    assert marker is not None
    back = dialect.parse(f"So {marker} broken, then {good}", TOOLS)
    assert back.content == f"So {marker} broken, then "
    assert [(call.name, call.arguments) for call in back.tool_calls] == [("f", {"whole": 1})]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", ["<", "<tool_call>", "<tool_call>{", '<tool_call>{"', "[", "\n", "<think>", "\\"])
def test_a_megabyte_takes_no_square_time(name: str, unit: str) -> None:
    """A parser that scans again for each unit would not come back from this."""
    dialect = dialects.get(name)
    text = unit * (1_000_000 // len(unit))
    whole = dialect.parse(text, TOOLS)
    assert streamed(dialect, [text[at : at + 4096] for at in range(0, len(text), 4096)]) == whole


@pytest.mark.parametrize("name", WITH_CALLS)
@pytest.mark.parametrize("role", ["call-open", "param-open", "separator", "reasoning-open"])
def test_a_megabyte_of_a_marker_takes_no_square_time(name: str, role: Any) -> None:
    dialect = dialects.get(name)
    marker = dialect.marker(role) or "<"
    text = (dialect.marker("call-open") or "") + marker * (1_000_000 // len(marker))
    assert streamed(dialect, [text]) == dialect.parse(text, TOOLS)


def test_a_long_call_streams_in_small_pieces() -> None:
    dialect = dialects.get("hermes")
    call = ToolCall("f", {"text": "x" * 300_000})
    text = dialect.emit(Message("assistant", None, None, (call,)), TOOLS)
    back = streamed(dialect, [text[at : at + 3] for at in range(0, len(text), 3)])
    assert back.tool_calls[0].arguments == call.arguments


def test_deep_and_huge_values_are_out_of_the_domain() -> None:
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 10**5000):
        for name in WITH_CALLS:
            with pytest.raises(OutOfDomain):
                dialects.get(name).emit(Message("assistant", None, None, (ToolCall("f", {"thing": value}),)), TOOLS)


@pytest.mark.parametrize("name", JSON_DIALECTS)
def test_unreadable_json_is_content(name: str) -> None:
    dialect = dialects.get(name)
    for bad in ("[" * 200_000 + "]" * 200_000, "9" * 5000, "NaN", "1e999"):
        call = dialect.emit(Message("assistant", None, None, (ToolCall("f", {"a": 0}),)), TOOLS)
        text = call.replace('{"a": 0}', f'{{"a": {bad}}}')
        assert dialect.parse(text, TOOLS) == Message("assistant", text)


# -- each format -------------------------------------------------------------------------------------------------------


def test_hermes_writes_and_reads_its_separators() -> None:
    calls = (ToolCall("add", {"a": 1, "b": None}), ToolCall("now", {}))
    text = dialects.get("hermes").emit(Message("assistant", "Checking. ", None, calls), TOOLS)
    assert text == (
        'Checking. \n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": null}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    )
    assert dialects.get("hermes").parse(text).content == "Checking. "


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<think>\nWhy\n</think>\n\nSo.", "Why", "So."),
        ("\n<think>Why</think>So.", "Why", "So."),
        ("<think>\n\n</think>\n\nSo.", None, "So."),
        ("<think>\nStill thinking <tool_call>", "Still thinking <tool_call>", None),
        ("So <think>no</think>.", None, "So <think>no</think>."),
    ],
)
def test_qwen3_reasons_first(text: str, reasoning: str | None, content: str | None) -> None:
    assert dialects.get("qwen3").parse(text) == Message("assistant", content, reasoning)


def test_qwen3_shows_reasoning_after_the_last_question_only() -> None:
    thought = Message("assistant", "A", "R", (ToolCall("f", {}),))
    history = (Message("user", "Q"), thought, Message("tool", "T"))
    qwen3 = dialects.get("qwen3")
    assert "<think>\nR\n</think>\n\nA" in qwen3.render(history, ())
    assert "R" not in qwen3.render((*history, Message("assistant", "B"), Message("user", "Q2")), ())
    results = Message("user", "<tool_response>\nT\n</tool_response>")
    assert "R" in qwen3.render((*history, results), ())
    assert qwen3.render(history, (), enable_thinking=False).endswith("assistant\n<think>\n\n</think>\n\n")


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<think>Why</think>So.", "Why", "So."),
        ("</think>So.", None, "So."),
        ("So.", None, "So."),
        ("<think>\nWhy", "\nWhy", None),
    ],
)
def test_deepseek_reads_reasoning_at_the_beginning(text: str, reasoning: str | None, content: str | None) -> None:
    assert dialects.get("deepseek-v3.1").parse(text) == Message("assistant", content, reasoning)


def test_deepseek_keeps_the_calls_before_a_broken_one() -> None:
    deepseek = dialects.get("deepseek-v3.1")
    calls = (ToolCall("f", {"text": "<｜tool▁call▁end｜>"}), ToolCall("g", {}))
    text = deepseek.emit(Message("assistant", "On it", None, calls), TOOLS)
    back = deepseek.parse(text.replace("g<｜tool▁sep｜>", "g"))
    assert [call.name for call in back.tool_calls] == ["f"]
    assert back.content is not None
    assert "<｜tool▁call▁begin｜>g{}" in back.content


def test_deepseek_goes_on_after_results_without_a_header() -> None:
    history = (Message("user", "Q"), Message("assistant", None, None, (ToolCall("f", {}),)), Message("tool", "T"))
    deepseek = dialects.get("deepseek-v3.1")
    assert deepseek.render(history, ()).endswith("<｜tool▁output▁begin｜>T<｜tool▁output▁end｜>")
    thinking = deepseek.render(history[:1], (), thinking=True)
    assert thinking.endswith("<｜Assistant｜><think>")
    assert deepseek.opened_by(thinking) == "<think>"
    assert deepseek.opened_by(deepseek.render(history[:1], ())) == ""


@pytest.mark.parametrize(
    "value", ["\nabc\n", "", "\n", " 7 ", "a</parameter>\n<parameter=b>", "None", "{}", "\r\n", "7"]
)
def test_qwen3_coder_keeps_a_declared_string_as_it_is(value: str) -> None:
    coder = dialects.get("qwen3-coder")
    text = coder.emit(Message("assistant", None, None, (ToolCall("f", {"text": value, "whole": 1}),)), TOOLS)
    assert coder.parse(text, TOOLS).tool_calls[0].arguments == {"text": value, "whole": 1}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text", "null"),
        ("maybe", "None"),
        ("maybe", "7"),
        ("free", "true"),
        ("free", "[1"),
        ("free", "nan"),
        ("free", ""),
    ],
)
def test_qwen3_coder_promises_no_ambiguous_string(key: str, value: str) -> None:
    coder = dialects.get("qwen3-coder")
    reply = Message("assistant", None, None, (ToolCall("f", {key: value}),))
    if value:
        with pytest.raises(OutOfDomain):
            coder.emit(reply, TOOLS)
    else:
        assert coder.parse(coder.emit(reply, TOOLS), TOOLS).tool_calls[0].arguments == {key: value}


def test_qwen3_coder_writes_scalars_as_python_does() -> None:
    call = ToolCall("f", {"flag": True, "number": 1e16, "maybe": None, "thing": {"a": None}, "list": []})
    text = dialects.get("qwen3-coder").emit(Message("assistant", "Hi ", None, (call,)), TOOLS)
    assert text == (
        "Hi\n\n<tool_call>\n<function=f>\n<parameter=flag>\nTrue\n</parameter>\n<parameter=number>\n1e+16\n</parameter>\n"
        '<parameter=maybe>\nNone\n</parameter>\n<parameter=thing>\n{"a": null}\n</parameter>\n'
        "<parameter=list>\n[]\n</parameter>\n</function>\n</tool_call>"
    )


@pytest.mark.parametrize("name", NAMES)
def test_calls_in_plain_chatml_and_reserved_text_are_refused(name: str) -> None:
    dialect = dialects.get(name)
    content = "Use <tool_call> or <｜tool▁calls▁begin｜> here."
    calls = (ToolCall("f", {}),) if name == "chatml" else ()
    with pytest.raises(OutOfDomain):
        dialect.emit(Message("assistant", content, None, calls), TOOLS)
