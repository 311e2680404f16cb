"""The last steps of shrinking, on the concrete case: what the failure does not need becomes plain or goes.

Hypothesis shrinks what a profile can draw, and a profile for one feature always draws that feature somewhere. A
failure that has nothing to do with it would keep it, then, and look like another bug for each feature.
"""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Callable, Iterator
from typing import Any

from tcfuzz.case import Case, Json, strings_of
from tcfuzz.codec import case_from_json, case_to_json

Path = tuple[Any, ...]
_PLAIN = re.compile(r"[a-z]{1,12}( [a-z]{1,12})?")


def polished(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The case with every part gone or plain without which it still `fails`; each is tried once."""
    for simpler in (_without_first_rounds, _without_texts, _without_strings):
        case = simpler(case, fails)
    return case


def _without_first_rounds(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Leave out the history before a later user message, the most that can go."""
    users = [index for index, message in enumerate(case.messages) if message.role == "user"]
    for start in reversed(users):
        shorter = case.with_(messages=case.messages[start:])
        if start and fails(shorter):
            return shorter
    return case


def _without_texts(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Leave out texts that a message can do without: reasoning, and content beside calls."""
    for path, value in list(_texts(case_to_json(case))):
        if value and path[-1] == "reasoning_content":
            case = _tried(case, path, None, fails)
        elif value and _beside_calls(case, path):
            case = _tried(case, path, "", fails)
    return case


def _without_strings(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Put a plain word for every string that is none yet, keys and names aside."""
    words = iter(string.ascii_lowercase * 40)
    declared = {text for tool in case.tools for text in strings_of(dict(tool.parameters or {}))}
    for path, value in list(_texts(case_to_json(case))):
        # A value that the schema names (enum, const) has to stay what the schema says.
        if isinstance(value, str) and not _PLAIN.fullmatch(value) and value not in declared:
            case = _tried(case, path, next(words), fails)
    return case


def _tried(case: Case, path: Path, value: Json, fails: Callable[[Case], bool]) -> Case:
    shape = copy.deepcopy(case_to_json(case))
    place = shape
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    simpler = case_from_json(shape)
    return simpler if fails(simpler) else case


def _beside_calls(case: Case, path: Path) -> bool:
    if path[0] == "tools":
        return False
    message = case.reply if path[0] == "reply" else case.messages[path[1]]
    return path[-1] == "content" and message is not None and bool(message.tool_calls)


def _texts(shape: Json) -> Iterator[tuple[Path, Json]]:
    """(path, text) of contents, reasonings, descriptions and the strings among arguments."""
    for index, tool in enumerate(shape["tools"]):
        if "description" in tool["function"]:
            yield ("tools", index, "function", "description"), tool["function"]["description"]
    messages: list[tuple[Path, Json]] = [
        (("messages", index), message) for index, message in enumerate(shape["messages"])
    ]
    if shape["reply"] is not None:
        messages.append((("reply",), shape["reply"]))
    for path, message in messages:
        for key in ("content", "reasoning_content"):
            if key in message:
                yield (*path, key), message[key]
        for place, call in enumerate(message.get("tool_calls", ())):
            where = (*path, "tool_calls", place, "function", "arguments")
            yield from _leaves(call["function"]["arguments"], where)


def _leaves(value: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
