"""The last steps of shrinking: what a failure does not need goes, what it needs stays."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tcfuzz.case import Case, Json, Message, Tool, ToolCall, strings_of
from tcfuzz.polish import polished


def parameters(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def case(arguments: dict[str, Json], schema: dict[str, Json], **reply: Any) -> Case:
    """Two rounds of history, then a call with these arguments."""
    return Case(
        tools=(Tool("do-it.now", "Does “it”.", schema),),
        messages=(
            Message("user", "First?"),
            Message("assistant", "  Yes…  "),
            Message("user", "Second?\r\n"),
        ),
        reply=Message("assistant", tool_calls=(ToolCall("do-it.now", arguments, "id-1"),), **reply),
    )


RICH = case(
    {"a-b": [[1, 2], [True, None]], "text": " <tag> ", "mode": "Very/Fast", "deep": {"x y": {"z": {"k": False}}}},
    parameters(
        **{"a-b": {"type": "array"}},
        text={"type": "string", "description": "…"},
        mode={"enum": ["Very/Fast", "slow"]},
        deep={"type": "object", "additionalProperties": True},
    ),
    content="beside",
    reasoning_content="Because…",
)


def arguments_of(found: Case) -> dict[str, Json]:
    assert found.reply is not None
    return dict(found.reply.tool_calls[0].arguments)


def test_what_is_not_needed_becomes_plain_or_goes() -> None:
    small = polished(RICH, lambda _: True)
    assert small.reply is not None
    assert [message.role for message in small.messages] == ["user"]
    assert (small.reply.content, small.reply.reasoning_content) == ("", None)
    plain = [*strings_of(arguments_of(small)), small.tools[0].name, small.reply.tool_calls[0].name]
    assert all(text.replace(" ", "").isalpha() and text.isascii() and text.islower() for text in plain)


def test_nothing_changes_where_everything_is_needed() -> None:
    assert polished(RICH, lambda other: other == RICH) == RICH


@pytest.mark.parametrize(
    "needed",
    [
        lambda found: " <tag> " in strings_of(arguments_of(found)),
        lambda found: any(call.name == "do-it.now" for call in found.reply.tool_calls),
        lambda found: "x y" in strings_of(arguments_of(found)),
        lambda found: any(isinstance(value, list) and len(value) > 1 for value in arguments_of(found).values()),
        lambda found: found.reply.reasoning_content == "Because…",
        lambda found: found.reply.content == "beside",
        lambda found: len(found.messages) == 3,
        lambda found: "Very/Fast" in strings_of(arguments_of(found)),
        lambda found: found.tools[0].description == "Does “it”.",
    ],
    ids=["text", "name", "key", "items", "reasoning", "content", "history", "enum", "description"],
)
def test_what_is_needed_stays_and_the_result_is_a_case_of_ours(needed: Any) -> None:
    tried: list[Case] = []

    def fails(found: Case) -> bool:
        tried.append(found)
        return bool(needed(found))

    small = polished(RICH, fails)
    assert needed(small)
    assert len(repr(small)) < len(repr(RICH))
    # Neither the result nor anything that the target was given breaks a schema or calls a tool that is not there.
    for found in (small, *tried):
        for message in found.conversation():
            for call in message.tool_calls:
                tool = found.tool(call.name)
                assert tool is not None
                jsonschema.validate(dict(call.arguments), dict(tool.parameters or {}))


def test_a_case_is_polished_once_and_for_all() -> None:
    def fails(found: Case) -> bool:
        return " <tag> " in strings_of(arguments_of(found))

    small = polished(RICH, fails)
    assert polished(small, fails) == small


def test_calls_of_the_history_are_renamed_with_their_tools() -> None:
    call = ToolCall("get-x", {"k-1": "v"}, "c1")
    tool = Tool("get-x", "Gets.", parameters(**{"k-1": {"type": "string"}}))
    history = (
        Message("user", "Go."),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "result", tool_call_id="c1", name="get-x"),
    )
    small = polished(Case((tool,), history, Message("assistant", "Done.")), lambda found: len(found.messages) == 3)
    name = small.tools[0].name
    assert name != "get-x"
    assert small.messages[1].tool_calls[0].name == small.messages[2].name == name
    assert list(small.messages[1].tool_calls[0].arguments) == list((small.tools[0].parameters or {})["properties"])


def test_the_users_own_tools_are_left_alone() -> None:
    small = polished(RICH, lambda _: True, own_tools=True)
    assert small.tools[0].name == "do-it.now"
    assert small.tools[0].parameters == RICH.tools[0].parameters
    assert list(arguments_of(small)) == list(arguments_of(RICH))


def test_the_given_case_is_not_touched() -> None:
    before = repr(RICH)
    polished(RICH, lambda _: True)
    assert repr(RICH) == before
