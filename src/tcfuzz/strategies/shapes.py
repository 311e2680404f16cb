"""Features of a conversation's shape: `calls:*`, `history:*`, `id:*` and `option:*`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

from tcfuzz.case import Case, Json, Message
from tcfuzz.dialects import registry as dialects
from tcfuzz.dialects.base import Dialect
from tcfuzz.strategies import texts
from tcfuzz.strategies.draft import CallDraft, Draft, Text
from tcfuzz.strategies.feature import Feature, Scope, always, with_calls, with_made_tools
from tcfuzz.strategies.tape import Tape

MANY_CALLS = 4
LONG_HISTORY = 12
"""From how many messages on a history is long."""
JSON_RESULTS = (
    '{"t": 1}', "[1,2]", "null", "123", "true", '"quoted"', '{"content": "x"}', '{"output": "x"}', "{}", "[]", "1.0",
    '{"a": "b", "c": [null, {"d": 1e3}]}', '["a"]', "007", "None", '{"error": "no"}',
)  # fmt: skip


# -- how they are recognised ------------------------------------------------------------------------------------------


def find_calls(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """All `calls:*` features of a case."""
    found: set[str] = set()
    for message in case.conversation():
        names = [call.name for call in message.tool_calls]
        if len(names) > 1:
            found.update(("calls:parallel", "calls:many") if len(names) >= MANY_CALLS else ("calls:parallel",))
        if len(set(names)) < len(names):
            found.add("calls:same-tool-twice")
        if any(not call.arguments for call in message.tool_calls):
            found.add("calls:no-arguments")
    if case.reply is not None:
        found.update(_reply(case.reply, dialect))
    return frozenset(found)


def _reply(reply: Message, dialect: Dialect | None) -> Iterator[str]:
    if not reply.tool_calls and (dialect is None or dialect.traits.max_calls != 0):
        yield "calls:none"
    if reply.tool_calls and reply.content:
        yield "calls:content-beside"
    if reply.reasoning_content:
        yield "calls:reasoning"
    if reply.content is None and reply.tool_calls:
        yield "history:null-content"


def find_history(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """All `history:*` features of a case."""
    messages = case.messages
    tests = {
        "system": bool(messages) and messages[0].role == "system",
        "developer": any(m.role == "developer" for m in messages),
        "system-late": any(m.role == "system" for m in messages[1:]),
        "multi-round": sum(bool(m.tool_calls) for m in messages) > 1,
        "tool-results": any(m.role == "tool" for m in messages),
        "results-reordered": _reordered(messages),
        "assistant-text": any(_is_text(messages, i) for i in range(len(messages))),
        "reasoning": any(m.reasoning_content for m in messages),
        "null-content": any(m.content is None and m.tool_calls for m in messages),
        "empty-content": any(m.content == "" and not m.tool_calls and m.role != "tool" for m in messages),
        "content-beside-call": any(m.content and m.tool_calls for m in messages),
        "result-empty": any(m.content == "" and m.role == "tool" for m in messages),
        "result-json": any(m.role == "tool" and texts.looks_like(m.content or "") for m in messages),
        "ends-with-result": bool(messages) and messages[-1].role == "tool",
        "two-users": any(a.role == b.role == "user" for a, b in pairwise(messages)),
        "long": len(messages) >= LONG_HISTORY,
    }
    return frozenset(f"history:{name}" for name, holds in tests.items() if holds)


def _reordered(messages: Sequence[Message]) -> bool:
    asked: list[str | None] = []
    given: list[str | None] = []
    for message in messages:
        asked.extend(call.id for call in message.tool_calls)
        if message.role == "tool":
            given.append(message.tool_call_id)
    return asked[: len(given)] != given


def _is_text(messages: Sequence[Message], index: int) -> bool:
    """An assistant message without calls that is not the answer after a result."""
    message = messages[index]
    return message.role == "assistant" and not message.tool_calls and messages[index - 1].role != "tool"


def find_ids(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """All `id:*` features of a case."""
    ids = [call.id or "" for message in case.conversation() for call in message.tool_calls]
    found = {"id:long" if len(id_) > 40 else "id:odd" for id_ in ids if not _USUAL_ID.fullmatch(id_)}
    return frozenset(found)


_USUAL_ID = re.compile(r"call_?\d+|functions\.[\w.-]+:\d+")


def find_options(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """All `option:*` features of a case."""
    return frozenset(f"option:{name}" for name in case.options)


# -- calls ------------------------------------------------------------------------------------------------------------


def _no_calls(draft: Draft, tape: Tape) -> None:
    if draft.wants_arguments(only=True) and tape.chance(1, 2):
        return
    draft.calls.clear()
    draft.content = draft.content or draft.text()


def _parallel(draft: Draft, tape: Tape) -> None:
    if draft.can_call_more():
        draft.add_call(draft.calls, draft.other_tool())
    if tape.chance(1, 3) and draft.can_call_more():
        draft.add_call(draft.calls, draft.other_tool())


def _same_tool(draft: Draft, tape: Tape) -> None:
    if draft.calls and draft.can_call_more():
        draft.add_call(draft.calls, tape.pick(draft.calls).tool)


def _many_calls(draft: Draft, tape: Tape) -> None:
    count = MANY_CALLS + tape.below(draft.scale(3, 8, 40))
    tools = [draft.calls[0].tool] if draft.calls else []
    if tape.chance(1, 2) or not tools:
        tools.append(draft.other_tool())
    while len(draft.calls) < count and draft.can_call_more():
        draft.add_call(draft.calls, tools[len(draft.calls) % len(tools)])


def _no_arguments(draft: Draft, tape: Tape) -> None:
    """A call without arguments: the reply's, or one in the history where the reply's arguments are needed."""
    call = draft.calls[0] if draft.calls and not draft.wants_arguments() else None
    if call is None or tape.chance(1, 4):
        call = _bare_step(draft)
    call.bare = True


def _bare_step(draft: Draft) -> CallDraft:
    step = draft.add_step()
    step.calls.clear()
    return draft.add_call(step.calls, draft.new_tool())


def _content_beside(draft: Draft, tape: Tape) -> None:
    draft.content = draft.content or draft.text()


def _reasoning(draft: Draft, tape: Tape) -> None:
    draft.reasoning = draft.reasoning or draft.text()


# -- history ----------------------------------------------------------------------------------------------------------


def _system(draft: Draft, tape: Tape) -> None:
    draft.system = draft.system or draft.text()


def _developer(draft: Draft, tape: Tape) -> None:
    draft.developer = draft.text()


def _system_late(draft: Draft, tape: Tape) -> None:
    draft.answered()
    draft.turns[-1].system = draft.text()


def _tool_results(draft: Draft, tape: Tape) -> None:
    draft.step()


def _multi_round(draft: Draft, tape: Tape) -> None:
    """Several tool rounds: one after the other in a turn, or in different turns."""
    draft.step()
    for _ in range(1 + tape.below(draft.scale(2, 4, 20))):
        draft.add_step(next(t for t in draft.turns if t.steps) if tape.chance(1, 2) else None)


def _reorder(draft: Draft, tape: Tape) -> None:
    """Calls of one tool, which only ids tell apart, or of two, as formats that bind results by name need."""
    step = draft.step()
    two = tape.chance(1, 2) if draft.traits.id_pattern else not tape.chance(1, 8)
    tool = draft.other_tool() if two else step.calls[0].tool
    while len(step.calls) < 2 + tape.chance(1, 4):
        draft.add_call(step.calls, tool)
        step.results.append(draft.text())
    step.reversed = True


def _assistant_text(draft: Draft, tape: Tape) -> None:
    for _ in range(1 + tape.chance(1, 3)):
        draft.new_turn()


def _past_reasoning(draft: Draft, tape: Tape) -> None:
    """Reasoning with an answer, or with a call."""
    if draft.has_tools and tape.chance(1, 2):
        draft.step().reasoning = draft.text()
    else:
        draft.answered().reasoning = draft.text()


def _null_content(draft: Draft, tape: Tape) -> None:
    """Null beside calls, in the history and sometimes in the reply."""
    draft.step().content = None
    draft.null_content = bool(draft.calls) and tape.chance(1, 2)


def _empty_content(draft: Draft, tape: Tape) -> None:
    text = Text("", touched=True)
    if tape.chance(1, 3):
        draft.turns[-1].users[0] = text
    else:
        draft.answered().answer = text


def _content_beside_call(draft: Draft, tape: Tape) -> None:
    draft.step().content = draft.text()


def _result_empty(draft: Draft, tape: Tape) -> None:
    draft.step().results[0] = Text("", touched=True)


def _result_json(draft: Draft, tape: Tape) -> None:
    draft.step().results[-1] = Text(tape.pick(JSON_RESULTS), touched=True)


def _ends_with_result(draft: Draft, tape: Tape) -> None:
    draft.add_step(draft.turns[-1])


def _two_users(draft: Draft, tape: Tape) -> None:
    draft.turns[-1].users.append(draft.text())


def _long_history(draft: Draft, tape: Tape) -> None:
    for _ in range(LONG_HISTORY // 2 + tape.below(draft.scale(2, 8, 45))):
        draft.new_turn()


# -- ids and options --------------------------------------------------------------------------------------------------

_ODD_IDS = (
    "functions_{name}_{index}",
    "chatcmpl-tool-{index:08x}",
    "toolu_01{index}Ab",
    "{index}",
    "a-{index}.b:{name}",
)


def _odd_id(draft: Draft, tape: Tape) -> None:
    pattern = tape.pick(_ODD_IDS)
    draft.call_id = lambda name, index: pattern.format(name=name, index=index)


def _long_id(draft: Draft, tape: Tape) -> None:
    length = 41 + tape.byte()
    draft.call_id = lambda name, index: f"call_{index:0{length}d}_"


REQUEST_OPTIONS: dict[str, tuple[Json, ...]] = {
    "tool_choice": ("required", "named", "auto"),
    "parallel_tool_calls": (True, False),
}
"""Options of requests, for targets that take them; `named` stands for the first tool."""


def _option(name: str, draft: Draft, tape: Tape) -> None:
    values = draft.traits.options.get(name) or REQUEST_OPTIONS.get(name, ())
    if values:
        draft.options[name] = tape.pick(values)


def _request_option(name: str, draft: Draft, tape: Tape) -> None:
    """With a reply, in some cases, that the option rules out."""
    _option(name, draft, tape)
    if tape.chance(1, 2):
        _no_calls(draft, tape) if draft.options[name] == "required" else _parallel(draft, tape)


# -- the features -----------------------------------------------------------------------------------------------------


def _several(scope: Scope) -> bool:
    return scope.several_calls


def _many(scope: Scope) -> bool:
    allowed = scope.traits.max_calls
    return allowed is None or allowed >= MANY_CALLS


def _two_tools(scope: Scope) -> bool:
    return scope.several_calls and not scope.own_tools


def _beside(scope: Scope) -> bool:
    return scope.calls and scope.traits.content_with_call == "kept"


def _reasons(scope: Scope) -> bool:
    return scope.traits.reasoning


def _has_system(scope: Scope) -> bool:
    return scope.traits.system != "none"


def _any_system(scope: Scope) -> bool:
    return scope.traits.system == "any"


def _has_developer(scope: Scope) -> bool:
    return scope.traits.developer


def _two_in_a_row(scope: Scope) -> bool:
    return not scope.traits.alternating


def _free_ids(scope: Scope) -> bool:
    return scope.calls and scope.traits.id_pattern is None


def _has_option(name: str, scope: Scope) -> bool:
    return name in scope.traits.options and (scope.options is None or name in scope.options)


def _takes_option(name: str, scope: Scope) -> bool:
    return scope.options is not None and name in scope.options and scope.calls


_RESULTS = frozenset({"history:tool-results"})
_LONG = frozenset({"history:long"})
_TEXT = frozenset({"history:assistant-text"})
_PARALLEL = frozenset({"calls:parallel"})
_TWICE = _PARALLEL | {"calls:same-tool-twice"}
_CALLS = (
    ("none", "a reply of text alone", _no_calls, with_calls, frozenset[str]()),
    ("parallel", "two or three calls in one message", _parallel, _two_tools, frozenset[str]()),
    ("same-tool-twice", "two calls of the same tool in one message", _same_tool, _several, _PARALLEL),
    ("many", "four calls and more in one message (dozens in large cases)", _many_calls, _many, _TWICE),
    ("no-arguments", "a call without arguments", _no_arguments, with_made_tools, _RESULTS),
    ("content-beside", "text beside the calls of the reply", _content_beside, _beside, frozenset[str]()),
    ("reasoning", "reasoning in the reply", _reasoning, _reasons, frozenset[str]()),
)
_HISTORY = (
    ("system", "a system message", _system, _has_system, frozenset[str]()),
    ("developer", "a developer message", _developer, _has_developer, frozenset[str]()),
    ("system-late", "a system message in the middle", _system_late, _any_system, _TEXT),
    ("multi-round", "several tool rounds, in one turn or in several", _multi_round, with_calls, _RESULTS | _LONG),
    ("tool-results", "calls and their results in the history", _tool_results, with_calls, frozenset[str]()),
    ("results-reordered", "results in another order than the calls", _reorder, _several, _RESULTS | _TWICE),
    ("assistant-text", "answers of the assistant in the history", _assistant_text, always, frozenset[str]()),
    ("reasoning", "reasoning in the history", _past_reasoning, _reasons, _RESULTS | _TEXT),
    ("null-content", "content null beside calls", _null_content, with_calls, _RESULTS),
    ("empty-content", "a user's or an assistant's content is empty", _empty_content, always, _TEXT),
    ("content-beside-call", "text beside a call in the history", _content_beside_call, _beside, _RESULTS),
    ("result-empty", "an empty tool result", _result_empty, with_calls, _RESULTS),
    ("result-json", "a tool result that is JSON", _result_json, with_calls, _RESULTS),
    ("ends-with-result", "the reply follows a tool result", _ends_with_result, with_calls, _RESULTS),
    ("two-users", "two user messages in a row", _two_users, _two_in_a_row, frozenset[str]()),
    ("long", "twelve messages and more (a hundred in large cases)", _long_history, always, _TEXT),
)
_OPTION_NAMES = tuple(dict.fromkeys(name for dialect in dialects for name in dialect.traits.options))

FEATURES: tuple[Feature, ...] = (
    *(
        Feature(f"calls:{name}", text, "plan", inject, find_calls, suits, more)
        for name, text, inject, suits, more in _CALLS
    ),
    *(
        Feature(f"history:{name}", text, "plan", inject, find_history, suits, more)
        for name, text, inject, suits, more in _HISTORY
    ),
    Feature("id:odd", "call ids of other shapes than call_0", "plan", _odd_id, find_ids, _free_ids),
    Feature("id:long", "call ids of more than forty characters", "plan", _long_id, find_ids, _free_ids),
    *(
        Feature(
            f"option:{name}",
            f"the template option {name}",
            "plan",
            partial(_option, name),
            find_options,
            partial(_has_option, name),
        )
        for name in _OPTION_NAMES
    ),
    *(
        Feature(
            f"option:{name}",
            f"the request's {name}",
            "plan",
            partial(_request_option, name),
            find_options,
            partial(_takes_option, name),
        )
        for name in REQUEST_OPTIONS
    ),
)
