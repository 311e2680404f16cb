"""`apertus`: an assistant's turn holds calls, results and answers, a call is an object with the name as its key.

Source: the chat template of Apertus-8B-Instruct (2025-09). Its generation prompt opens another turn even within one, so
that a prompt after results is no prefix of history. The published template shows no `reasoning_content`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import (
    Dialect,
    Marker,
    ToolIndex,
    Traits,
    like_header,
    refuse,
    refuse_markers,
    refuse_turn_end,
    to_json,
)
from tcfuzz.dialects.syntax.calls import Call, calls_or_text, list_of_calls
from tcfuzz.dialects.syntax.reader import Machine, Markers, Reader, Sink
from tcfuzz.errors import OutOfDomain

BOS = "<s>"
SYSTEM_OPEN, SYSTEM_CLOSE = "<|system_start|>", "<|system_end|>"
DEVELOPER_OPEN, DEVELOPER_CLOSE = "<|developer_start|>", "<|developer_end|>"
USER_OPEN, USER_CLOSE = "<|user_start|>", "<|user_end|>"
ASSISTANT_OPEN, ASSISTANT_CLOSE = "<|assistant_start|>", "<|assistant_end|>"
THINK_OPEN, THINK_CLOSE = "<|inner_prefix|>", "<|inner_suffix|>"
CALLS_OPEN, CALLS_CLOSE = "<|tools_prefix|>", "<|tools_suffix|>"
DEFAULT_SYSTEM = "You are an assistant."

_STARTS = Markers([CALLS_OPEN, THINK_OPEN])
_THOUGHT_END = Markers([THINK_CLOSE])
_BASIC_TYPES = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}
_GAP = "\n" + " " * 16
_LONGEST_ITEM = 50


# -- tools -------------------------------------------------------------------------------------------------------------


def declarations(tools: Sequence[Tool]) -> str:
    """The tools as TypeScript."""
    try:
        return "\n".join(f"// {tool.description or ''}\ntype {tool.name} = {_signature(tool)};" for tool in tools)
    except RecursionError:
        raise OutOfDomain("a schema too deep to be declared") from None


def _signature(tool: Tool) -> str:
    parameters = tool.parameters or {}
    properties = parameters.get("properties")
    if not properties:
        return "() => any"
    lines = ",\n".join(_line(name, schema, parameters.get("required")) for name, schema in properties.items())
    return f"(_: {{\n{lines}\n}}) => any"


def _line(name: str, schema: Json, required: Json) -> str:
    """One parameter. What a default is joined with depends on what stands beside it."""
    said = _known(schema)
    comment = f"// {said['description']}\n" if said.get("description") else ""
    line = f"{comment}{_key(name, required)}{_type(schema)}"
    if "default" not in said:
        return line
    plain = said.get("enum") or said.get("oneOf")
    default = str(said["default"]) if plain else to_json(said["default"])
    return f"{line}{'' if said.get('oneOf') and not said.get('enum') else ', '}// default: {default}"


def _known(schema: Json) -> Mapping[str, Json]:
    return schema if isinstance(schema, Mapping) else {}


def _key(name: str, required: Json) -> str:
    return f"{name}{'' if name in (required or ()) else '?'}: "


def _type(schema: Json) -> str:
    """A schema as a type."""
    said = _known(schema)
    kind, null = said.get("type"), " | null" if said.get("nullable") else ""
    if kind == "array":
        return _items(said.get("items")) + "[]" + null
    if isinstance(kind, list) and kind:
        return " | ".join(map(str, kind))
    if said.get("oneOf"):
        return " | \n".join(map(_variant, said["oneOf"]))
    if kind == "string" and said.get("enum"):
        return '"' + '" | "'.join(map(str, said["enum"])) + '"'
    if kind == "object":
        return _object(said)
    basic = _BASIC_TYPES.get(kind) if isinstance(kind, str) else None
    return basic + (null if kind == "string" else "") if basic else "any"


def _items(schema: Json) -> str:
    """The type of an array's items; `any` for a long one."""
    kind = _known(schema).get("type")
    if isinstance(kind, str) and kind in _BASIC_TYPES:
        return _BASIC_TYPES[kind]
    inner = _type(schema)
    return "any" if inner == "object | object" or len(inner) > _LONGEST_ITEM else inner


def _variant(schema: Json) -> str:
    said = _known(schema)
    comment = f"// {said['description']}" if said.get("description") else ""
    default = " " * 20 + f"// default: {to_json(said['default'])}" if "default" in said else ""
    return _type(schema) + comment + default


def _object(schema: Mapping[str, Json]) -> str:
    properties = schema.get("properties")
    if not properties:
        return "object"
    required = schema.get("required")
    return "{\n" + ", ".join(_key(name, required) + _GAP + _type(inner) for name, inner in properties.items()) + "}"


# -- turns -------------------------------------------------------------------------------------------------------------


def said(message: Message) -> str:
    """A message's text and calls. The names are not escaped: the canonical template writes them raw between quotes."""
    calls = ", ".join(f'{{"{call.name}": {to_json(dict(call.arguments))}}}' for call in message.tool_calls)
    return (message.content or "") + (f"{CALLS_OPEN}[{calls}]{CALLS_CLOSE}" if calls else "")


def turns(messages: Sequence[Message]) -> Iterator[str]:
    """All but the first system turn. An assistant's turn ends where the user's begins."""
    speaking = listing = False
    for message in messages:
        if message.role == "tool":
            if not speaking:
                raise OutOfDomain("a result outside of an assistant's turn")
            yield (", " if listing else "[") + (message.content or "")
            listing = True
            continue
        yield "]" if listing else ""
        listing = False
        if message.role == "user":
            yield f"{ASSISTANT_CLOSE if speaking else ''}{USER_OPEN}{message.content or ''}{USER_CLOSE}"
        elif message.role == "assistant":
            yield ("" if speaking else ASSISTANT_OPEN) + said(message)
        else:
            raise OutOfDomain(f"no turn for a later {message.role} message")
        speaking = message.role == "assistant"
    yield "]" if listing else ""


def _as_call(value: Json) -> Call | None:
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((name, arguments),) = value.items()
    return (name, arguments) if name and isinstance(arguments, dict) else None


class Apertus(Dialect):
    """Apertus with its switch for thinking."""

    name = "apertus"
    summary = "Apertus: a JSON list of calls, each an object with the name as its key"
    markers = (
        Marker(BOS, "bos"),
        Marker(SYSTEM_OPEN, "turn"),
        Marker(SYSTEM_CLOSE, "turn"),
        Marker(DEVELOPER_OPEN, "turn"),
        Marker(DEVELOPER_CLOSE, "turn"),
        Marker(USER_OPEN, "turn"),
        Marker(USER_CLOSE, "turn"),
        Marker(ASSISTANT_OPEN, "turn"),
        Marker(ASSISTANT_CLOSE, "turn"),
        Marker(CALLS_OPEN, "call-open"),
        Marker(CALLS_CLOSE, "call-close"),
        Marker(THINK_OPEN, "reasoning-open"),
        Marker(THINK_CLOSE, "reasoning-close"),
    )
    turn_ends = (ASSISTANT_CLOSE,)
    traits = Traits(
        kind="json",
        reasoning=True,
        reasoning_in_history=False,
        content_trim="exact",
        string_arguments="encoded-twice",
        system="first",
        developer=False,
        prefix_stable=False,
        options={"enable_thinking": (True, False)},
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        refuse(like_header(messages, ASSISTANT_OPEN))
        head = messages[0] if messages and messages[0].role == "system" else None
        system = (head.content or "") if head else DEFAULT_SYSTEM
        thinking = "enabled" if options.get("enable_thinking") else "disabled"
        capabilities = f"\n{declarations(tools)}" if tools else " disabled"
        developer = f"Deliberation: {thinking}\nTool Capabilities:{capabilities}"
        parts = [BOS, SYSTEM_OPEN, system, SYSTEM_CLOSE, DEVELOPER_OPEN, developer, DEVELOPER_CLOSE]
        parts.extend(turns(messages[1:] if head else messages))
        return "".join(parts) + (ASSISTANT_OPEN if add_generation_prompt else "")

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        refuse_markers(reply.content, _STARTS.texts, "content")
        refuse_markers(reply.reasoning_content, [THINK_CLOSE], "reasoning")
        refuse_turn_end(said(reply), self.turn_ends)
        thought = f"{THINK_OPEN}{reply.reasoning_content}{THINK_CLOSE}" if reply.reasoning_content else ""
        return thought + said(reply)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        while (start := (yield from read.text_until(_STARTS, out.content))) is not None:
            if start == THINK_OPEN:
                yield from read.text_until(_THOUGHT_END, out.reasoning)
                continue
            read.anchor(start)
            yield from calls_or_text(read, out, list_of_calls(read, CALLS_CLOSE, _as_call))

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if any(tool.description is None for tool in tools):
            return "raises at a tool without a description"
        if any(_unlike_text(schema) for tool in tools for schema in _members(tool)):
            return "raises at a default or description that is no text"
        for before, message in zip((None, *messages), messages, strict=False):
            if message.content is None and (message.role != "assistant" or not message.tool_calls):
                return "null content raises, or is written as None"
            if message.content is None and before is not None and before.role == "tool":
                return "leaves the list of results open before null content"
        return like_header(messages, ASSISTANT_OPEN)


def _members(tool: Tool) -> list[Json]:
    return list(_known(_known(tool.parameters).get("properties")).values())


def _unlike_text(schema: Json) -> bool:
    """Whether the template raises: it joins a default beside an enum, and descriptions, as they are."""
    schema = _known(schema)
    joined = [schema.get("description") or "", *(v.get("description") or "" for v in map(_known, _variants(schema)))]
    if schema.get("enum") or schema.get("oneOf"):
        joined.append(schema.get("default", ""))
    return not all(isinstance(text, str) for text in joined)


def _variants(schema: Mapping[str, Json]) -> Sequence[Json]:
    return schema.get("oneOf") or ()
