"""gemma4, llama3.1, llama4, mistral-nemo: writing, reading, streaming and totality."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects import get
from tcfuzz.dialects.base import Dialect
from tcfuzz.dialects.gemma4 import Gemma4
from tcfuzz.dialects.syntax.gemma4_values import value_text
from tcfuzz.dialects.syntax.pythonic import read_calls, unescape
from tcfuzz.errors import OutOfDomain

NAMES = ("gemma4", "llama3.1", "llama4", "mistral-nemo")
TOOLS = (Tool("f"), Tool("get_weather"), Tool("get.time"))
USER = Message("user", "hi")


@pytest.fixture(params=NAMES)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return get(request.param)


def call(arguments: dict[str, Json], name: str = "f", id: str = "abc123XYZ") -> ToolCall:  # noqa: A002
    return ToolCall(name, arguments, id)


def said(*calls: ToolCall, content: str | None = None, reasoning: str | None = None) -> Message:
    return Message("assistant", content, reasoning, calls)


def without_ids(message: Message) -> tuple[str | None, str | None, list[tuple[str, str]]]:
    """What must be the same in two messages: values with their types, keys in their order."""
    calls = [(one.name, json.dumps(one.arguments)) for one in message.tool_calls]
    return message.content, message.reasoning_content, calls


def in_order(dialect: Dialect, value: Json) -> Json:
    """A value with its keys as the dialect writes them."""
    if isinstance(value, dict):
        items = list(value.items())
        if dialect.traits.key_order == "sorted":
            items.sort(key=lambda item: item[0].lower())
        return {key: in_order(dialect, item) for key, item in items}
    return [in_order(dialect, item) for item in value] if isinstance(value, list) else value


def expected(dialect: Dialect, reply: Message) -> Message:
    calls = tuple(call(in_order(dialect, dict(one.arguments)), one.name) for one in reply.tool_calls)
    return dialect.normalise(Message("assistant", reply.content, reply.reasoning_content, calls))


def streamed(dialect: Dialect, chunks: Sequence[str], tools: Sequence[Tool] = TOOLS) -> Message:
    stream = dialect.stream(tools)
    deltas = [delta for chunk in chunks for delta in stream.feed(chunk)] + stream.finish()
    calls = [entry for delta in deltas for entry in delta.get("tool_calls", ())]
    return Message(
        "assistant",
        "".join(delta.get("content", "") for delta in deltas) or None,
        "".join(delta.get("reasoning_content", "") for delta in deltas) or None,
        tuple(ToolCall(c["function"]["name"], json.loads(c["function"]["arguments"]), c["id"]) for c in calls),
    )


# -- replies -----------------------------------------------------------------------------------------------------------

STRINGS = (
    "", "plain", " outer ", "a\nb\r\nc", "\x85\xa0\u2028\u3000", "'", '"', "it's \"x\"", "\\", "\\n", "a\\",
    "\\u0041", "{", "}}", "[[", "],[", "a,b:c", "true", "null", "None", "7", "1.0",
    '{"name": "f", "parameters": {}}', "[f(a=1)]", "<b>&amp;", "</s>", "<|eot_id|>", "<tool_call|>",
    "<|tool_call>call:f{}", "[TOOL_CALLS][]", "<|", "|>", "<|python_start|>", "é日本🙂e\u0301\u202e", "\ud800",
    "\ud83d\ude00", "\x00\x1f\x7f", "#{x}", "%s", "x" * 3000,
)  # fmt: skip
SCALARS: tuple[Json, ...] = (True, False, None, 0, -1, 2**53 + 1, 10**30, 1.0, -0.0, 0.1, 1e16, 1e-7, [], {})
KEYS = ("a", "b", "B", "_x", "key1", "é", "items", "type", "name")


def values(rand: random.Random, depth: int = 0) -> Json:
    kind = rand.randrange(4 if depth < 3 else 2)
    if kind == 0:
        return rand.choice(STRINGS)
    if kind == 1:
        return rand.choice(SCALARS)
    if kind == 2:
        return [values(rand, depth + 1) for _ in range(rand.randrange(4))]
    return {key: values(rand, depth + 1) for key in rand.sample(KEYS, rand.randrange(4))}


def replies(seed: int, count: int) -> Iterator[Message]:
    rand = random.Random(seed)
    for _ in range(count):
        names = [rand.choice([tool.name for tool in TOOLS]) for _ in range(rand.choice((0, 1, 1, 1, 2, 3)))]
        arguments = [{key: values(rand) for key in rand.sample(KEYS, rand.randrange(4))} for _ in names]
        calls = [call(one, name) for one, name in zip(arguments, names, strict=True)]
        content = rand.choice((None, "", "Some text.", "a\n\nb", rand.choice(STRINGS)))
        yield said(*calls, content=content, reasoning=rand.choice((None, None, "Well.", "So,\n\nthen")))


def texts(dialect: Dialect, seed: int, count: int) -> Iterator[str]:
    """Native texts that fit into a few hundred characters."""
    for reply in replies(seed, count):
        try:
            text = dialect.emit(reply, TOOLS)
        except OutOfDomain:
            continue
        if len(text) < 300:
            yield text


# -- writing and reading -----------------------------------------------------------------------------------------------


def test_a_reply_comes_back(dialect: Dialect) -> None:
    came_back = 0
    for reply in replies(1, 1500):
        if reply.reasoning_content and not dialect.traits.reasoning:
            continue
        try:
            text = dialect.emit(reply, TOOLS)
        except OutOfDomain:
            continue
        back = dialect.normalise(dialect.parse(text, TOOLS))
        assert without_ids(back) == without_ids(expected(dialect, reply)), text
        came_back += 1
    assert came_back > 400


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemma4", '<|tool_call>call:f{a:[1,<|"|>x<|"|>,null],B:{k:true,z:1.0},c:<|"|><|"|>}<tool_call|>'),
        ("llama3.1", '{"name": "f", "parameters": {"c": "", "B": {"z": 1.0, "k": true}, "a": [1, "x", null]}}'),
        ("llama4", "[f(c='', B={'z': 1.0, 'k': True}, a=[1, 'x', None])]"),
        (
            "mistral-nemo",
            '[TOOL_CALLS][{"name": "f", "arguments": {"c": "", "B": {"z": 1.0, "k": true}, "a": [1, "x", null]}, '
            '"id": "abc123XYZ"}]',
        ),
    ],
)
def test_the_written_form(name: str, text: str) -> None:
    reply = said(call({"c": "", "B": {"z": 1.0, "k": True}, "a": [1, "x", None]}))
    assert get(name).emit(reply, TOOLS) == text


def test_several_calls_and_none_with_arguments() -> None:
    reply = said(call({}), call({"a": 1}, "get.time", "123456789"))
    assert (
        get("gemma4").emit(reply, TOOLS) == "<|tool_call>call:f{}<tool_call|><|tool_call>call:get.time{a:1}<tool_call|>"
    )
    assert get("llama4").emit(reply, TOOLS) == "[f(), get.time(a=1)]"
    back = get("mistral-nemo").parse(get("mistral-nemo").emit(reply, TOOLS), TOOLS)
    assert [one.id for one in back.tool_calls] == ["abc123XYZ", "123456789"]


@pytest.mark.parametrize(
    ("name", "reply", "reason"),
    [
        ("llama3.1", said(call({}), call({})), "one call"),
        ("llama3.1", said(content=' {"name": "x", "parameters": {}}\n'), "itself a call"),
        ("mistral-nemo", said(call({}, id="call_1")), "nine letters"),
        ("mistral-nemo", said(ToolCall("f", {})), "nine letters"),
        ("mistral-nemo", said(content="[TOOL_CALLS]"), "content holds"),
        ("llama4", said(call({"from": 1})), "parameter's name"),
        ("llama4", said(call({"a-b": 1})), "parameter's name"),
        ("llama4", said(call({"ﬁ": 1})), "parameter's name"),
        ("llama4", said(call({}, "get-time")), "function's name"),
        ("llama4", said(content="so: [f(a=1)]"), "itself a list"),
        ("gemma4", said(content="a<|channel>b"), "content holds"),
    ],
)
def test_what_a_format_cannot_say(name: str, reply: Message, reason: str) -> None:
    with pytest.raises(OutOfDomain, match=reason):
        get(name).emit(reply, TOOLS)


@pytest.mark.parametrize("arguments", [{"a": 'x<|"|>y'}, {"a:b": 1}, {"a,b": 1}, {"": 1}, {" a": 1}, {"a}": 1}])
def test_gemma4_strings_and_keys_out_of_the_domain_do_not_come_back(arguments: dict[str, Json]) -> None:
    gemma = get("gemma4")
    back = gemma.parse(gemma.emit(said(call(arguments)), TOOLS), TOOLS)
    assert without_ids(back) != without_ids(said(call(arguments)))


@pytest.mark.parametrize(
    "key", ["a-b", "a.b", "a b", "$ref", "a[0]", "a[", "]", "<", "<|", "a'b", 'a"b', "10", "\ud800"]
)
def test_gemma4_keys_are_any_text_up_to_the_colon(key: str) -> None:
    gemma = get("gemma4")
    reply = said(call({key: {key: [1]}}))
    assert without_ids(gemma.parse(gemma.emit(reply, TOOLS))) == without_ids(reply)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("{a : 1 , b :[ 1 , 2 ] }", {"a": 1, "b": [1, 2]}),
        ('{<|"|>a<|"|>:1,"b":2}', {"a": 1, "b": 2}),
        ("{a:12:30,b:some words}", {"a": "12:30", "b": "some words"}),
        ("{a:None,b:null,c:-0.0,d:1e+16,e:007}", {"a": None, "b": None, "c": -0.0, "d": 1e16, "e": "007"}),
        ("{b:1,a:2}", {"b": 1, "a": 2}),
        ("{a:{},b:[],c:[[],{}]}", {"a": {}, "b": [], "c": [[], {}]}),
    ],
)
def test_gemma4_reads_what_models_write(text: str, arguments: dict[str, Json]) -> None:
    message = get("gemma4").parse(f"<|tool_call>call:f{text}<tool_call|>")
    assert without_ids(message) == without_ids(said(call(arguments)))


@pytest.mark.parametrize(
    "text",
    ["{a:1,}", "{,}", "{a}", "{a:}", "{:1}", "{a:[1,]}", "{a:1]", '{a:<|"|>x}', "{a:1 {}", "{a:[}]}", "{a:{b:1}"],
)
def test_gemma4_gives_back_what_is_no_call(text: str) -> None:
    native = f"<|tool_call>call:f{text}<tool_call|>"
    assert get("gemma4").parse(native) == Message("assistant", native)


def test_gemma4_reads_on_after_a_broken_call() -> None:
    broken, whole = "<|tool_call>call:f{a:", "<|tool_call>call:f{a:1}<tool_call|>"
    message = get("gemma4").parse(broken + whole)
    assert without_ids(message) == without_ids(said(call({"a": 1}), content=broken))


def test_gemma4_text_stands_on_either_side_of_a_call() -> None:
    one = "<|tool_call>call:f{}<tool_call|>"
    for text in (f"Text{one}", f"{one}Text", f"<|channel>thought\nWhy\n<channel|>Text{one}"):
        assert get("gemma4").parse(text).content == "Text"
    assert get("gemma4").parse(f"<|channel>thought\nWhy\n<channel|>{one}").reasoning_content == "Why"


@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        ('{"name": "f", "parameters": {}}', True),
        (' \n<|python_tag|>{"type": "function", "name": "f", "arguments": {"a": 1}}\n', True),
        ('{"name": "g", "parameters": {}}', False),
        ('{"name": "f"}', False),
        ('{"name": "f", "parameters": {}} and', False),
        ('{"name": "f", "parameters": {}}; {"name": "f", "parameters": {}}', True),
        ('{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}', False),
        ('Look: {"name": "f", "parameters": {}}', False),
        ('{"name": "f", "parameters": {}', False),
        ("{}", False),
    ],
)
def test_llama31_takes_a_whole_object_of_a_declared_tool(text: str, is_call: bool) -> None:
    message = get("llama3.1").parse(text, TOOLS)
    assert bool(message.tool_calls) == is_call
    assert message.content == (None if is_call else text)


def test_llama31_takes_any_name_where_no_tool_is_declared() -> None:
    assert get("llama3.1").parse('{"name": "g", "parameters": {}}').tool_calls[0].name == "g"


@pytest.mark.parametrize("text", ["Hello", " {1", "{ not", "[1", "<|python_tag|>print"])
def test_llama31_holds_back_only_what_can_still_be_a_call(text: str) -> None:
    stream = get("llama3.1").stream(TOOLS)
    assert "".join(delta["content"] for delta in stream.feed(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "[", "[1, 2]", "[not a call]", "[f]", "[f(", "[f(a=1)", "[f(a=1)] so", "[g(a=1)]", "[f(1)]",
        "[f(a=1, b)]", "[f(a=b)]", "[f(a=1 b=2)]", "[f(a='x' 'y')]", "[f(a={1: 2})]", "[f(a={1, 2})]",
        "[f(a=(1))]", "[f(a=g())]", "[f(a=[1)]]", "[f(), g()]", "[f()", "[f(a=,)]", "[f(,)]", "[f(a=01)]",
        "[f(a=1]", "[[f()]]", "[{}]", "[f()f()]", "<|python_start|>", "<|python_start|>print(1)<|python_end|>",
        "[ [ f()", "[f(a=nan)]", "[f(a=1e999)]",
    ],
)  # fmt: skip
def test_llama4_gives_back_what_is_no_list_of_calls(text: str) -> None:
    assert get("llama4").parse(text, TOOLS) == Message("assistant", text)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('[f(a="x", b=true, c=null, d=None)]', {"a": "x", "b": True, "c": None, "d": None}),
        (" [ f ( a = 1 , b = -2.5 , ) , ] \n", {"a": 1, "b": -2.5}),
        ("<|python_start|>[f(a=(1, 2), b=(), c=(1,))]<|python_end|>", {"a": [1, 2], "b": [], "c": [1]}),
        ("[f(a={'k': [1, {'z': ')]'}]})]", {"a": {"k": [1, {"z": ")]"}]}}),
        ("[f(a='it\\'s', b='\\x41\\u00e9\\n', c='\\q')]", {"a": "it's", "b": "Aé\n", "c": "\\q"}),
    ],
)
def test_llama4_reads_what_models_write(text: str, arguments: dict[str, Json]) -> None:
    message = get("llama4").parse(text, TOOLS)
    assert [dict(one.arguments) for one in message.tool_calls] == [arguments]


def test_llama4_keeps_the_text_before_the_list() -> None:
    message = get("llama4").parse("See [1]:\n[f(a=1)]", TOOLS)
    assert without_ids(message) == without_ids(said(call({"a": 1}), content="See [1]:\n"))


@pytest.mark.parametrize("text", ["", "plain", *STRINGS])
def test_python_strings_are_unescaped_as_python_does(text: str) -> None:
    assert unescape(repr(text)[1:-1]) == text
    assert read_calls(f"[f(a={text!r})]") == [("f", {"a": text})]


@pytest.mark.parametrize(
    "text",
    [
        "[TOOL_CALLS]",
        "[TOOL_CALLS][]",
        "[TOOL_CALLS][1]",
        "[TOOL_CALLS][{}]",
        '[TOOL_CALLS][{"name": "f"',
        "[TOOL_CALLS]x",
    ],
)
def test_mistral_nemo_gives_back_what_is_no_list_of_calls(text: str) -> None:
    assert get("mistral-nemo").parse(text, TOOLS) == Message("assistant", text)


# -- streams -----------------------------------------------------------------------------------------------------------


def chunkings(text: str, rand: random.Random) -> Iterator[list[str]]:
    yield list(text)
    yield from ([text[:at], text[at:]] for at in range(1, len(text)))
    for _ in range(5):
        cuts = sorted(rand.sample(range(len(text) + 1), min(4, len(text))))
        yield [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def mutated(text: str, dialect: Dialect, rand: random.Random) -> str:
    """The text cut, or with a piece of the format doubled, dropped, or put somewhere else."""
    at, end = sorted((rand.randrange(len(text) + 1), rand.randrange(len(text) + 1)))
    pieces = [
        *(marker.text for marker in dialect.markers),
        *"{}[]():,=\"'\\ \n<",
        "thought\n",
        "call:",
        "f(",
        '{"name"',
    ]
    middle = rand.choice(("", text[at:end] * 2, rand.choice(pieces), rand.choice(pieces) + text[at:end]))
    return rand.choice((text[:at], text[:at] + middle + text[end:], text[:at] + middle + text[at:]))


def test_a_stream_says_what_the_whole_says(dialect: Dialect) -> None:
    rand = random.Random(2)
    for text in texts(dialect, 2, 60):
        whole = dialect.parse(text, TOOLS)
        for chunks in chunkings(text, rand):
            assert streamed(dialect, chunks) == whole, chunks


def test_any_text_gives_a_message_and_its_stream_the_same(dialect: Dialect) -> None:
    rand = random.Random(3)
    for text in texts(dialect, 3, 400):
        for _ in range(4):
            text = mutated(text, dialect, rand)
            whole = dialect.parse(text, TOOLS)
            assert streamed(dialect, list(text)) == whole, text
            at = rand.randrange(len(text) + 1)
            assert streamed(dialect, [text[:at], text[at:]]) == whole, text


def test_a_text_without_a_call_is_content(dialect: Dialect) -> None:
    for text in ("Hello", " \n", "{[(<|'\"\\", "a < b", "[1] {2}", "<|tool", "[TOOL_CALL", "é🙂\u2028\ud800"):
        assert dialect.parse(text, TOOLS) == Message("assistant", text)
        assert streamed(dialect, list(text)) == Message("assistant", text)


def test_a_cut_call_is_no_call(dialect: Dialect) -> None:
    """Only the tokens after a call's last bracket may be missing."""
    text = dialect.emit(said(call({"a": "x", "b": [1, {"c": 23}]})), TOOLS)
    whole = dialect.parse(text, TOOLS).tool_calls
    for at in range(len(text)):
        calls = dialect.parse(text[:at], TOOLS).tool_calls
        assert not calls or [dict(one.arguments) for one in calls] == [dict(one.arguments) for one in whole]


@pytest.mark.parametrize(
    "text",
    [
        "<", "[", "{", "[f(", '{"', "<|tool_call>", '<|tool_call>call:f{a:<|"|>x', "<|tool_call>call:f{a:[",
        "[TOOL_CALLS]", '[TOOL_CALLS][{"', "[f(a='x", "[f(a='\\", "[f(a=1)]", "[ ", "<|channel>",
        '{"name": "x', "<|python_start|>[",
    ],
)  # fmt: skip
def test_time_grows_with_the_length_alone(text: str, dialect: Dialect) -> None:
    """A quadratic scan of a text this long would take minutes."""
    start = time.process_time()
    long = text + text[-1] * 1_000_000 if len(text) < 3 else text * (300_000 // len(text))
    assert dialect.parse(long, TOOLS) is not None
    streamed(dialect, [long[at : at + 50] for at in range(0, 200_000, 50)])
    assert time.process_time() - start < 20


def test_depth_is_no_danger(dialect: Dialect) -> None:
    for text in (
        "<|tool_call>call:f{a:" + "[" * 99999,
        "[f(a=" + "[" * 99999,
        "[TOOL_CALLS]" + "[" * 99999,
        '{"name":' * 99999,
    ):
        closed = text + "]" * 99999
        assert dialect.parse(text, TOOLS).content == text
        assert dialect.parse(closed, TOOLS).content == closed
    nested: Json = 1
    for _ in range(150):
        nested = {"a": [nested]}
    reply = said(call({"a": nested}))
    assert without_ids(dialect.parse(dialect.emit(reply, TOOLS), TOOLS)) == without_ids(reply)


# -- conversations -----------------------------------------------------------------------------------------------------


def rounds() -> list[Message]:
    """A question, two calls, their results in the other order, an answer."""
    calls = (call({}, "f", "aaaaaaaaa"), call({}, "get_weather", "bbbbbbbbb"))
    return [
        USER,
        said(*calls),
        Message("tool", "second", tool_call_id="bbbbbbbbb", name="get_weather"),
        Message("tool", 'first "x" {}', tool_call_id="aaaaaaaaa", name="f"),
        Message("assistant", "done"),
    ]


def test_results_are_bound_to_their_calls() -> None:
    gemma, mistral = get("gemma4"), get("mistral-nemo")
    named = [("get_weather", "second"), ("f", 'first "x" {}')]
    assert gemma.result_bindings(gemma.render(rounds(), TOOLS)) == named
    identified = [("bbbbbbbbb", "second"), ("aaaaaaaaa", 'first "x" {}')]
    assert mistral.result_bindings(mistral.render(rounds(), TOOLS)) == identified
    assert get("llama4").result_bindings("") is None


def test_a_conversation_in_llama4() -> None:
    messages = [Message("system", "Be brief."), *rounds()[:2], Message("tool", 'a "b"')]
    assert get("llama4").render(messages, ()) == (
        "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe brief.<|eot|>"
        "<|header_start|>user<|header_end|>\n\nhi<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n[f(), get_weather()]<|eot|>"
        '<|header_start|>ipython<|header_end|>\n\n"a \\"b\\""<|eot|>'
        "<|header_start|>assistant<|header_end|>\n\n"
    )
    assert '"name": "get_weather"' in get("llama4").render([USER], TOOLS)


def test_mistral_nemo_moves_system_and_tools_to_the_last_user_turn() -> None:
    prompt = get("mistral-nemo").render(
        [Message("system", "Sys"), *rounds(), Message("user", "more"), said(content="ok")], TOOLS
    )
    assert prompt.startswith("<s>[INST]hi[/INST][TOOL_CALLS]")
    assert prompt.endswith("[/AVAILABLE_TOOLS][INST]Sys\n\nmore[/INST]ok</s>")
    assert prompt.count("[AVAILABLE_TOOLS]") == 1


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([USER, USER], "turns"),
        ([said(content="x")], "turns"),
        ([USER, Message("system", "x")], "only user"),
        ([Message("developer", "x"), USER], "only user"),
        ([Message("system", "x")], "no user turn"),
        ([USER, Message("tool", "x", tool_call_id="call_1")], "nine letters"),
    ],
)
def test_conversations_that_mistral_nemo_cannot_hold(messages: list[Message], reason: str) -> None:
    with pytest.raises(OutOfDomain, match=reason):
        get("mistral-nemo").render(messages, ())


def test_llama31_needs_a_user_turn_for_tools_and_one_call_a_turn() -> None:
    with pytest.raises(OutOfDomain, match="user turn"):
        get("llama3.1").render([said(content="x")], TOOLS)
    with pytest.raises(OutOfDomain, match="one call"):
        get("llama3.1").render(rounds(), TOOLS)


@pytest.mark.parametrize(
    ("name", "messages", "tools", "reason"),
    [
        ("gemma4", [USER, Message("tool", "x")], (), "follows no call"),
        ("gemma4", [USER], (Tool("f", None, {"properties": {"a": {"type": "string"}}}),), "closing brace"),
        (
            "gemma4",
            [USER],
            (Tool("f", None, {"type": "object", "properties": {"a": {"enum": [1]}}}),),
            "drops the enum",
        ),
        ("llama3.1", [Message("user", None)], (), "null content"),
        ("llama3.1", [said(content="x"), USER], TOOLS, "first message"),
        ("mistral-nemo", [Message("user", None)], (), "null content"),
        ("mistral-nemo", [Message("system", "x"), USER, said(content="y")], (), "drops the system"),
        ("mistral-nemo", [USER, said(content="y"), USER], TOOLS, "declares the tools"),
        ("mistral-nemo", [USER], (Tool("f", 'say "x"'),), "unescaped"),
    ],
)
def test_what_the_published_templates_cannot_do(
    name: str, messages: list[Message], tools: tuple[Tool, ...], reason: str
) -> None:
    dialect = get(name)
    assert reason in (dialect.template_limit(messages, tools, {}) or "")
    assert dialect.render(messages, tools)
    assert dialect.template_limit([USER], TOOLS, {}) is None


def test_gemma4_declares_what_its_template_drops() -> None:
    schema = {
        "properties": {"a": {"type": "integer", "enum": [1, 2]}, "B": {"type": ["string", "null"], "enum": ["x"]}}
    }
    prompt = get("gemma4").render([USER], (Tool("f", "d", schema),))
    assert (
        '<|tool>declaration:f{description:<|"|>d<|"|>,parameters:{properties:{a:{enum:[1,2],type:<|"|>INTEGER<|"|>},'
        """B:{enum:[<|"|>x<|"|>],type:<|"|>['STRING', 'NULL']<|"|>}}}}<tool|>"""
    ) in prompt


def test_gemma4_knows_the_thought_that_its_prompt_opens() -> None:
    gemma = get("gemma4")
    before = gemma.render(rounds()[:-1], (), enable_thinking=True)
    after = gemma.render(
        [*rounds()[:-1], said(content="C", reasoning="R")], (), add_generation_prompt=False, enable_thinking=True
    )
    gained = gemma.opened_by(before) + after[len(before) :]
    assert without_ids(gemma.parse(gemma.strip_turn_end(gained))) == ("C", "R", [])
    assert gemma.opened_by(gemma.render([USER], (), enable_thinking=True)) == ""


def test_gemma4_large_models_begin_with_an_empty_thought() -> None:
    large = Gemma4(empty_thought=True)
    assert large.render([USER], ()).endswith("<|turn>model\n<|channel>thought\n<channel|>")
    assert large.render([USER], (), enable_thinking=True).endswith("<|turn>model\n")


def test_gemma4_sorts_keys_whatever_their_case_and_leaves_ties() -> None:
    assert value_text({"b": 1, "A": 2, "a": 3, "_": 4, "10": 5}) == "{10:5,_:4,A:2,a:3,b:1}"
