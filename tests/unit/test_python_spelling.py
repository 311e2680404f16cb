"""What is spelled as in Python: calls with the names that tools have, lists in tags."""

import pytest

from tcfuzz import dialects, domains, strategies
from tcfuzz.case import Tool
from tcfuzz.dialects.syntax.casting import cast
from tcfuzz.dialects.syntax.pythonic import read_calls
from tests.proofs import TOOL

NAMES = ("get-time", "from", "class", "2nd", "a.b-c", "wörld", "$x", "a/b", "🙂")


@pytest.mark.parametrize("name", NAMES)
def test_names_of_functions_and_parameters(name):
    assert read_calls(f"[{name}({name}=1, {name}2='x'), f({name} = -1.5e3)]") == [
        (name, {name: 1, f"{name}2": "x"}),
        ("f", {name: -1500.0}),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("llama4", "Now. [{}({}=True)]"),
        ("lfm2", "Now. <|tool_call_start|>[{}({}=True)]<|tool_call_end|>"),
        ("olmo3", "Now. <function_calls>{}({}=true)</function_calls>"),
    ],
)
def test_formats_of_python_calls_read_them(dialect, text, name):
    for tools in ((), (Tool(name), TOOL)) if dialect != "llama4" else ((Tool(name), TOOL),):
        message = dialects.get(dialect).parse(text.format(name, name), tools)
        assert [(call.name, call.arguments) for call in message.tool_calls] == [(name, {name: True})]


@pytest.mark.parametrize(
    "text",
    [
        "[f(a b=1)]",
        "[f(=1)]",
        "[(a=1)]",
        "[f(a==1)]",
        "[f(a=b=1)]",
        "[f(a=b-c)]",
        "[f(1)]",
        "[f(x=g(1))]",
        "[f-(]",
        "[-1]",
    ],
)
def test_what_is_no_call_is_none(text):
    assert read_calls(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['it', \"it's\", None, True, 1.5, {'k': []}]", ["it", "it's", None, True, 1.5, {"k": []}]),
        ('["a", null]', ["a", None]),
        ("['a'], g=[1]", "['a'], g=[1]"),
        ("['a'])", "['a'])"),
        ("{'k': 1}", "{'k': 1}"),
        ("['a'", "['a'"),
        ("[f(a=1)]", "[f(a=1)]"),
    ],
)
def test_lists_in_tags_are_read_as_python_spells_them_too(text, value):
    assert cast(text, frozenset({"array"})) == value
    assert cast(text, frozenset({"string"})) == text


@pytest.mark.parametrize("feature", ["value:array", "value:mixed", "value:deep"])
def test_the_first_template_of_qwen3_coder_loses_no_list(feature):
    found = domains.try_feature(dialects.get("qwen3-coder-first"), strategies.registry.get(feature))
    assert (found.status, found.reason) == ("yes", "")
