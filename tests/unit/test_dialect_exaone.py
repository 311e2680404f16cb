"""exaone-4.0: the corners of the format."""

from __future__ import annotations

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects import get
from tcfuzz.dialects.exaone import TOOL_PREAMBLE
from tcfuzz.errors import OutOfDomain
from tests.replies import USER, calls_of, comes_back, said

EXAONE = get("exaone-4.0")
NOTHING = "<think>\n\n</think>\n\n"
LISTED = (
    f"# Available Tools\n{TOOL_PREAMBLE}\n"
    '<tool>{"type": "function", "function": {"name": "f"}}</tool>\n'
    '<tool>{"type": "function", "function": {"name": "g", "description": "é"}}</tool>'
)
TOOLS = (Tool("f"), Tool("g", "é"))


def shown(*messages: Message, tools: tuple[Tool, ...] = (), **options: Json) -> str:
    return EXAONE.render(messages, tools, add_generation_prompt=False, **options)


def test_a_call_is_one_line_and_its_name_is_not_escaped() -> None:
    reply = said(("f", {"b": 1.0, "a": ["é\n", None]}), ('g"', {}), content=" A ")
    calls = (
        '<tool_call>{"name": "f", "arguments": {"b": 1.0, "a": ["é\\n", null]}}</tool_call>\n'
        '<tool_call>{"name": "g"", "arguments": {}}</tool_call>'
    )
    assert EXAONE.emit(reply, []) == f" A \n{calls}"
    assert shown(reply) == f"[|assistant|]\n{NOTHING} A \n{calls}[|endofturn|]\n"


def test_tools_stand_in_the_first_system_turn_or_one_of_their_own() -> None:
    system = Message("system", " S\n")
    user = f"[|user|]\n{USER.content}[|endofturn|]\n"
    assert shown(USER, tools=TOOLS) == f"[|system|]\n{LISTED}[|endofturn|]\n{user}"
    assert shown(system, USER, tools=TOOLS) == f"[|system|]\n S\n\n\n{LISTED}[|endofturn|]\n{user}"
    late = f"[|system|]\n{LISTED}[|endofturn|]\n{user}[|system|]\n S\n[|endofturn|]\n"
    assert shown(USER, system, tools=TOOLS) == late


def test_results_share_a_turn_and_are_json() -> None:
    results = Message("tool", 'a "b"\né'), Message("tool", None), Message("tool", "")
    assert shown(*results, USER, results[0]) == (
        '[|tool|]\n<tool_result>{"result": "a \\"b\\"\\né"}</tool_result>\n'
        '<tool_result>{"result": null}</tool_result>\n'
        f'<tool_result>{{"result": ""}}</tool_result>[|endofturn|]\n[|user|]\n{USER.content}[|endofturn|]\n'
        '[|tool|]\n<tool_result>{"result": "a \\"b\\"\\né"}</tool_result>[|endofturn|]\n'
    )


def test_a_turn_without_text_and_calls_is_empty() -> None:
    assert shown(said(reasoning="R")) == "[|assistant|]\n[|endofturn|]\n"


@pytest.mark.parametrize(
    ("reply", "options", "block"),
    [
        (said(content="A", reasoning="R"), {}, NOTHING),
        (said(content="A", reasoning="R"), {"skip_think": True}, NOTHING),
        (said(content="A", reasoning=" R "), {"skip_think": False}, "<think>\n R \n</think>\n\n"),
        (said(("f", {}), content="A", reasoning="R"), {"skip_think": False}, "<think>\nR\n</think>\n\n"),
        (said(("f", {}), reasoning="R"), {"skip_think": False}, NOTHING),
        (said(content="A"), {"skip_think": False, "enable_thinking": True}, NOTHING),
    ],
)
def test_a_thought_is_shown_of_a_last_answer_with_text(reply: Message, options: dict[str, Json], block: str) -> None:
    opened = "[|assistant|]\n"
    assert shown(reply, **options).startswith(f"{opened}{block}A" if reply.content else f"{opened}{block}<tool_call>")
    assert shown(reply, USER, **options).startswith(f"{opened}{NOTHING}")


@pytest.mark.parametrize(
    ("options", "ends", "opened"),
    [
        ({}, f"[|assistant|]\n{NOTHING}", ""),
        ({"enable_thinking": False}, f"[|assistant|]\n{NOTHING}", ""),
        ({"enable_thinking": 1}, f"[|assistant|]\n{NOTHING}", ""),
        ({"enable_thinking": True}, "[|assistant|]\n<think>\n", "<think>\n"),
    ],
)
def test_the_prompt_opens_a_thought_only_if_asked_to(options: dict[str, Json], ends: str, opened: str) -> None:
    prompt = EXAONE.render([USER], [], **options)
    assert prompt.endswith(ends) and EXAONE.opened_by(prompt) == opened
    for reply in (said(content="A"), said(("f", {}), content="A", reasoning="R"), said(("f", {}))):
        text = EXAONE.emit(reply, [])
        assert EXAONE.parse(opened + EXAONE.said_after(prompt, text)) == EXAONE.parse(text)


@pytest.mark.parametrize(
    ("content", "reasoning"),
    [
        ("\n A \n\n", None), ("\n\nA", "R"), ("<tool_call>", None), ("A<think>B</think>", None), (None, " R\n\n"),
        ("<tool_call>{}</tool_call>", "<think> <tool_call>"), ("<think>", "R"), ("[|endofturn|]", "[|user|]\n"),
    ],
)  # fmt: skip
def test_what_comes_back(content: str | None, reasoning: str | None) -> None:
    assert comes_back(EXAONE, said(content=content, reasoning=reasoning))
    assert comes_back(EXAONE, said(("f", {"a": "</tool_call>"}), ("g", {}), content=content, reasoning=reasoning))


@pytest.mark.parametrize(("content", "reasoning"), [(" <think>A", None), ("</think>", " \n"), ("A", "R</think>S")])
def test_what_does_not(content: str, reasoning: str | None) -> None:
    with pytest.raises(OutOfDomain):
        EXAONE.emit(said(content=content, reasoning=reasoning), [])


@pytest.mark.parametrize("content", [" <think>A", "\n</think>"])
def test_a_thought_that_is_not_shown_cannot_stand_before_a_text_like_one(content: str) -> None:
    reply = said(("f", {}), content=content, reasoning="R")
    with pytest.raises(OutOfDomain):
        shown(reply)
    assert f"{NOTHING}{content}" in shown(reply, USER)
    assert f"R\n</think>\n\n{content}" in shown(reply, skip_think=False)


def test_calls_are_read_as_models_vary_them() -> None:
    text = 'A\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call><tool_call>{"name": "g"}'
    back = EXAONE.parse(text)
    assert (back.content, calls_of(back)) == ("A", [("f", {"a": 1}), ("g", {})])


def test_there_is_no_developer() -> None:
    with pytest.raises(OutOfDomain):
        EXAONE.render([Message("developer", "D")], [])


@pytest.mark.parametrize(
    ("messages", "limit"),
    [
        ([], "drops the tools"),
        ([Message("system", None), USER], "None"),
        ([USER, Message("user", None)], "None"),
        ([USER, said(content="A</think>B")], "thought"),
        ([USER, said(content=" <think>", reasoning="R")], "not shown"),
        ([USER, said(content=" <think>", reasoning="R"), USER], None),
        ([USER, said(content="A <think>")], None),
        ([Message("system", ""), USER, said(content=None), Message("tool", None)], None),
    ],
)
def test_what_the_template_gets_wrong(messages: list[Message], limit: str | None) -> None:
    found = EXAONE.template_limit(messages, TOOLS, {})
    assert found is None if limit is None else limit in (found or "")
