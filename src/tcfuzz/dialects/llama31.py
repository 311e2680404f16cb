"""`llama3.1`: a call is a turn that is one JSON object, with no marker before it, and one call a turn.

Source: the chat template of Llama-3.1-8B-Instruct (3.2 and 3.3 write the same calls). Tools stand in the first user
turn. The format has no place for text beside a call, and a text that is itself such an object is a call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect, Marker, ToolIndex, Traits, refuse_markers, to_json
from tcfuzz.dialects.json_call import ARGUMENT_KEYS, as_call
from tcfuzz.dialects.reader import Machine, Reader, Sink, Step, load_json
from tcfuzz.errors import OutOfDomain

BOS = "<|begin_of_text|>"
HEADER_OPEN, HEADER_CLOSE = "<|start_header_id|>", "<|end_header_id|>"
TURN_CLOSE = "<|eot_id|>"
PYTHON_TAG = "<|python_tag|>"
DATE = "26 Jul 2024"
TOOL_PREAMBLE = (
    'Functions, one JSON object each. Answer with {"name": function name, "parameters": its arguments} to call one.'
)


def turn(role: str, text: str) -> str:
    """One turn."""
    return f"{HEADER_OPEN}{role}{HEADER_CLOSE}\n\n{text}{TURN_CLOSE}"


def tool_list(tools: Sequence[Tool]) -> str:
    """The declarations, indented by four."""
    return "".join(json.dumps(tool.to_openai(), ensure_ascii=False, indent=4) + "\n\n" for tool in tools)


def call_object(calls: Sequence[ToolCall]) -> str:
    """The one call. The name is not escaped: the canonical template writes it raw between quotes."""
    if len(calls) > 1:
        raise OutOfDomain("one call a turn")
    return f'{{"name": "{calls[0].name}", "parameters": {to_json(dict(calls[0].arguments))}}}'


def _turn(message: Message) -> str:
    if message.role == "tool":
        return turn("ipython", to_json(message.content or ""))
    return turn(
        message.role, call_object(message.tool_calls) if message.tool_calls else (message.content or "").strip()
    )


def _first_user(messages: Sequence[Message]) -> int:
    index = next((i for i, message in enumerate(messages) if message.role == "user"), None)
    if index is None:
        raise OutOfDomain("no user turn to declare the tools in")
    return index


def _read_call(text: str | None, tools: ToolIndex) -> tuple[str, dict[str, Json]] | None:
    """The call in a JSON object: of a declared tool, where there are any."""
    try:
        value = load_json(text or "")
    except ValueError:
        return None
    if not isinstance(value, dict) or not any(key in value for key in ARGUMENT_KEYS):
        return None
    call = as_call(value)
    if call is None or (tools.by_name and call[0] not in tools):
        return None
    return call[0], call[1]


def _object_opens(read: Reader) -> Step[bool]:
    """Whether an object with members is next; nothing is consumed."""
    if not (yield from read.literal("{")):
        return False
    gap = yield from read.spaces()
    opens = (yield from read.peek(1)) == '"'
    read.pos -= 1 + len(gap)
    return opens


class Llama31(Dialect):
    """Llama 3.1's form, without built-in tools."""

    name = "llama3.1"
    summary = "Llama 3.1, 3.2, 3.3: one bare JSON call"
    markers = (
        Marker(BOS, "bos"),
        Marker(HEADER_OPEN, "turn"),
        Marker(HEADER_CLOSE, "turn"),
        Marker(TURN_CLOSE, "turn"),
        Marker("<|eom_id|>", "stop"),
        Marker("<|end_of_text|>", "stop"),
        Marker(PYTHON_TAG, "call-open"),
        Marker('{"name": "', "call-open", special=False),
    )
    turn_ends = (TURN_CLOSE, "<|eom_id|>")
    traits = Traits(
        kind="json",
        max_calls=1,
        content_with_call="dropped",
        content_trim="outer",
        text_trim=frozenset({"system", "developer", "user", "assistant"}),
        text_json=frozenset({"tool"}),
        string_arguments="encoded-twice",
        options={"date_string": (DATE, "1 Jan 2030")},
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        head = messages[0] if messages and messages[0].role == "system" else None
        rest = list(messages[1:] if head else messages)
        environment = "Environment: ipython\n" if tools else ""
        date = f"Cutting Knowledge Date: December 2023\nToday Date: {options.get('date_string', DATE)}\n\n"
        system = (head.content or "").strip() if head else ""
        turns = [turn("system", f"{environment}{date}{system}"), *map(_turn, rest)]
        if tools:
            user = _first_user(rest)
            asked = f"{TOOL_PREAMBLE}\n\n{tool_list(tools)}{(rest[user].content or '').strip()}"
            turns[1 + user] = turn("user", asked)
        return BOS + "".join(turns) + (f"{HEADER_OPEN}assistant{HEADER_CLOSE}\n\n" if add_generation_prompt else "")

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        if reply.tool_calls:
            return call_object(reply.tool_calls)
        refuse_markers(reply.content, [PYTHON_TAG], "content")
        if self.parse(reply.content or "").tool_calls:
            raise OutOfDomain("content is itself a call")
        return reply.content or ""

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        read.anchor()
        yield from read.spaces()
        if (yield from read.literal(PYTHON_TAG)):
            yield from read.spaces()
        if (yield from _object_opens(read)):
            call = _read_call((yield from read.json_container()), tools)
            if call is not None:
                yield from read.spaces()
                if read.at_end:
                    read.raw()
                    out.call(*call)
                    return
        out.content(read.raw())
        yield from read.flow(out.content)

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if any(m.content is None and not m.tool_calls for m in messages):
            return "writes null content as None"
        rest = messages[1:] if messages and messages[0].role == "system" else messages
        if tools and rest and rest[0].role != "user":
            return "shows the first message as the user's"
        return None
