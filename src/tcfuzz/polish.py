"""The last steps of shrinking, on the concrete case: what the failure does not need becomes plain or goes.

Hypothesis shrinks what a profile can draw, and a profile for one feature always draws that feature somewhere. A
failure that has nothing to do with it would keep it, then, and look like another bug for each feature and each size.
"""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import jsonschema

from tcfuzz.case import Case, Json, strings_of
from tcfuzz.codec import case_from_json, case_to_json
from tcfuzz.diff import json_type

Fails = Callable[[Case], bool]
Path = tuple[Any, ...]
_PLAIN = re.compile(r"[a-z]{1,12}( [a-z]{1,12})?")
_WORDS = tuple(first + second for second in ("", *string.ascii_lowercase) for first in string.ascii_lowercase)
MOST_STEPS = 40
"""Values made smaller, one step at a time, in one case."""
MOST_CUTS = 80
"""Pieces tried to be cut out of one string."""


def polished(case: Case, fails: Fails, *, still: Fails | None = None, own_tools: bool = False) -> Case:
    """The case with every part gone or plain without which it still `fails`.

    still: the same where it does not matter whether a step on the way is nastier in something else; own_tools: the
    tools are the user's, and left alone.
    """

    def shorter(case: Case, fails: Fails) -> Case:
        cut = _with_shorter_strings(case, still or fails)
        return cut if cut == case or fails(cut) else _with_shorter_strings(case, fails)

    always = (_without_first_rounds, _without_calls, _without_texts, shorter, _with_plain_strings)
    on_ours = (_without_tools, _with_plain_schemas, _with_smaller_values, _with_plain_names)
    for simpler in always if own_tools else (*always[:3], *on_ours, *always[3:]):
        case = simpler(case, fails)
    return case


def _without_first_rounds(case: Case, fails: Fails) -> Case:
    """Leave out the history before a later user message, the most that can go."""
    users = [index for index, message in enumerate(case.messages) if message.role == "user"]
    for start in reversed(users):
        shorter = case.with_(messages=case.messages[start:])
        if start and fails(shorter):
            return shorter
    return case


def _without_calls(case: Case, fails: Fails) -> Case:
    """Leave out single calls with their results where a message makes several, the last ones first."""
    for place in reversed(range(len(case.messages))):
        for number in reversed(range(len(case.messages[place].tool_calls))):
            caller = case.messages[place]
            if len(caller.tool_calls) > 1:
                dropped = caller.tool_calls[number]
                fewer = replace(caller, tool_calls=tuple(call for call in caller.tool_calls if call is not dropped))
                rest = (m for m in case.messages if dropped.id is None or m.tool_call_id != dropped.id)
                shorter = case.with_(messages=tuple(fewer if m is caller else m for m in rest))
                case = shorter if fails(shorter) else case
    return _without_reply_calls(case, fails)


def _without_reply_calls(case: Case, fails: Fails) -> Case:
    for number in reversed(range(len(case.reply.tool_calls) if case.reply else 0)):
        if case.reply is not None and len(case.reply.tool_calls) > 1:
            calls = case.reply.tool_calls
            shorter = case.with_(reply=replace(case.reply, tool_calls=calls[:number] + calls[number + 1 :]))
            case = shorter if fails(shorter) else case
    return case


def _without_tools(case: Case, fails: Fails) -> Case:
    """Leave out tools that nobody calls."""
    called = {call.name for message in case.conversation() for call in message.tool_calls}
    for tool in reversed(case.tools):
        if tool.name not in called:
            shorter = case.with_(tools=tuple(other for other in case.tools if other is not tool))
            case = shorter if fails(shorter) else case
    return case


def _without_texts(case: Case, fails: Fails) -> Case:
    """Leave out texts that a message can do without: reasoning, and content beside calls."""
    for path, value in list(_texts(case_to_json(case))):
        if value and path[-1] == "reasoning_content":
            case = _tried(case, path, None, fails)
        elif value and _beside_calls(case, path):
            case = _tried(case, path, "", fails)
    return case


def _with_plain_schemas(case: Case, fails: Fails) -> Case:
    """Give each called tool the plainest schema that its arguments satisfy."""
    arguments = {call.name: call.arguments for message in case.conversation() for call in message.tool_calls}
    for index, tool in enumerate(case.tools):
        if tool.name in arguments:
            schema = _schema_of(arguments[tool.name])
            case = _tried(case, ("tools", index, "function", "parameters"), schema, _if_valid(fails))
    return case


def _schema_of(arguments: Mapping[str, Json]) -> dict[str, Json]:
    kinds = {key: json_type(value) for key, value in arguments.items()}
    properties = {key: {"type": ["string", "null"] if kind == "null" else kind} for key, kind in kinds.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _with_smaller_values(case: Case, fails: Fails) -> Case:
    """Unwrap and shorten the arrays and objects among the arguments, step by step."""
    valid = _if_valid(fails)
    for _ in range(MOST_STEPS):
        smaller = next((made for made in _smaller_cases(case) if valid(made)), None)
        if smaller is None:
            break
        case = smaller
    return case


def _smaller_cases(case: Case) -> Iterator[Case]:
    for path, value in _all_containers(case):
        for smaller in _smaller(value):
            yield _changed(case, path, smaller)


def _smaller(value: Json) -> Iterator[Json]:
    """What is inside of the same type; the first item alone; half of the items."""
    items = list(value.values()) if isinstance(value, dict) else value
    yield from (item for item in items if json_type(item) == json_type(value) and item)
    for count in {1, len(items) // 2} - {0, len(items)}:
        yield dict(list(value.items())[:count]) if isinstance(value, dict) else value[:count]


def _all_containers(case: Case) -> Iterator[tuple[Path, Json]]:
    for path, arguments in _calls(case_to_json(case)):
        for key, value in arguments.items():
            yield from _containers(value, (*path, key))


def _containers(value: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    if value and isinstance(value, (dict, list)):
        yield path, value
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _containers(item, (*path, key))


def _with_plain_names(case: Case, fails: Fails) -> Case:
    """Put a plain word for each name of a tool and each key of an argument, wherever it stands."""
    names = [tool.name for tool in case.tools]
    keys = [key for message in case.conversation() for call in message.tool_calls for key in _keys(call.arguments)]
    taken = {*names, *keys}
    words = (word for word in _WORDS if word not in taken)
    for old, rename in [*((name, _tool_renamed) for name in names), *((key, _key_renamed) for key in keys)]:
        if not _PLAIN.fullmatch(old):
            renamed = rename(case, old, next(words))
            case = renamed if fails(renamed) else case
    return case


def _keys(value: Json) -> list[str]:
    found: dict[str, None] = {}
    if isinstance(value, Mapping):
        for key, item in value.items():
            found |= dict.fromkeys([key, *_keys(item)])
    elif isinstance(value, list):
        for item in value:
            found |= dict.fromkeys(_keys(item))
    return list(found)


def _tool_renamed(case: Case, old: str, new: str) -> Case:
    shape = copy.deepcopy(case_to_json(case))
    for tool in shape["tools"]:
        if tool["function"]["name"] == old:
            tool["function"]["name"] = new
    for _, message in _messages(shape):
        if message.get("name") == old:
            message["name"] = new
        for call in message.get("tool_calls", ()):
            if call["function"]["name"] == old:
                call["function"]["name"] = new
    return case_from_json(shape)


def _key_renamed(case: Case, old: str, new: str) -> Case:
    shape = copy.deepcopy(case_to_json(case))
    for tool in shape["tools"]:
        if "parameters" in tool["function"]:
            tool["function"]["parameters"] = _schema_renamed(tool["function"]["parameters"], old, new)
    for _, message in _messages(shape):
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = _renamed(call["function"]["arguments"], old, new)
    return case_from_json(shape)


def _renamed(value: Json, old: str, new: str) -> Json:
    if isinstance(value, dict):
        return {new if key == old else key: _renamed(item, old, new) for key, item in value.items()}
    return [_renamed(item, old, new) for item in value] if isinstance(value, list) else value


def _schema_renamed(schema: Json, old: str, new: str) -> Json:
    """The schema with a property of that name renamed, whatever its depth."""
    if isinstance(schema, list):
        return [_schema_renamed(item, old, new) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed: dict[str, Json] = {}
    for keyword, value in schema.items():
        if keyword == "properties" and isinstance(value, dict):
            value = {new if key == old else key: _schema_renamed(item, old, new) for key, item in value.items()}
        elif keyword == "required" and isinstance(value, list):
            value = [new if key == old else key for key in value]
        elif keyword not in ("enum", "const", "default", "examples"):
            value = _schema_renamed(value, old, new)
        renamed[keyword] = value
    return renamed


def _with_plain_strings(case: Case, fails: Fails) -> Case:
    """Put a plain word for every string that is none yet, keys and names aside."""
    words = iter(_WORDS)
    declared = {text for tool in case.tools for text in strings_of(dict(tool.parameters or {}))}
    for path, value in list(_texts(case_to_json(case))):
        # A value that the schema names (enum, const) has to stay what the schema says.
        if not isinstance(value, str) or _PLAIN.fullmatch(value) or value in declared:
            continue
        if value or not _beside_calls(case, path):  # nothing beside a call is as plain as can be
            case = _tried(case, path, next(words, "z"), fails)
    return case


def _with_shorter_strings(case: Case, fails: Fails) -> Case:
    """Cut pieces out of every string that is no plain word: halves, quarters, down to single characters."""
    declared = {text for tool in case.tools for text in strings_of(dict(tool.parameters or {}))}
    for path, value in list(_texts(case_to_json(case))):
        if isinstance(value, str) and not _PLAIN.fullmatch(value) and value not in declared:
            case = _shortened(case, path, value, fails)
    return case


def _shortened(case: Case, path: Path, text: str, fails: Fails) -> Case:
    tries, size = 0, len(text) // 2
    while size and tries < MOST_CUTS:
        at = 0
        while at < len(text) and tries < MOST_CUTS:
            shorter = text[:at] + text[at + size :]
            tries += 1
            changed = _tried(case, path, shorter, fails) if shorter else case
            if changed is case:
                at += size
            else:
                case, text = changed, shorter
        size //= 2
    return case


# -- changing one place ------------------------------------------------------------------------------------------------


def _tried(case: Case, path: Path, value: Json, fails: Fails) -> Case:
    simpler = _changed(case, path, value)
    return simpler if simpler != case and fails(simpler) else case


def _changed(case: Case, path: Path, value: Json) -> Case:
    shape = copy.deepcopy(case_to_json(case))
    place = shape
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return case_from_json(shape)


def _if_valid(fails: Fails) -> Fails:
    """`fails`, for cases whose arguments satisfy the schemas; others are no cases of ours."""
    return lambda case: _valid(case) and fails(case)


def _valid(case: Case) -> bool:
    for message in case.conversation():
        for call in message.tool_calls:
            tool = case.tool(call.name)
            schema = tool.parameters if tool else None
            if schema is not None and not jsonschema.Draft202012Validator(schema).is_valid(dict(call.arguments)):
                return False
    return True


def _beside_calls(case: Case, path: Path) -> bool:
    if path[0] == "tools":
        return False
    message = case.reply if path[0] == "reply" else case.messages[path[1]]
    return path[-1] == "content" and message is not None and bool(message.tool_calls)


def _messages(shape: Json) -> Iterator[tuple[Path, Json]]:
    for index, message in enumerate(shape["messages"]):
        yield ("messages", index), message
    if shape["reply"] is not None:
        yield ("reply",), shape["reply"]


def _calls(shape: Json) -> Iterator[tuple[Path, Json]]:
    """(path, arguments) of each call."""
    for path, message in _messages(shape):
        for place, call in enumerate(message.get("tool_calls", ())):
            yield (*path, "tool_calls", place, "function", "arguments"), call["function"]["arguments"]


def _texts(shape: Json) -> Iterator[tuple[Path, Json]]:
    """(path, text) of contents, reasonings, descriptions and the strings among arguments."""
    for index, tool in enumerate(shape["tools"]):
        if "description" in tool["function"]:
            yield ("tools", index, "function", "description"), tool["function"]["description"]
    for path, message in _messages(shape):
        for key in ("content", "reasoning_content"):
            if key in message:
                yield (*path, key), message[key]
    for path, arguments in _calls(shape):
        yield from _leaves(arguments, path)


def _leaves(value: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
