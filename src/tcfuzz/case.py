"""One concrete conversation, in OpenAI's chat shapes. Frozen values that know no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Json = Any
"""A JSON value: None, bool, int, float, str, list[Json] or dict[str, Json]. Never mutated once in a case."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call: `name`, ordered `arguments` (a dict), and the `id` that a result refers to (None: not given)."""

    name: str
    arguments: Mapping[str, Json]
    id: str | None = None

    def to_openai(self, *, arguments_as_string: bool = False) -> dict[str, Json]:
        """`{"id", "type": "function", "function": {"name", "arguments"}}`; arguments a dict or its JSON text."""
        arguments: Json = dict(self.arguments)
        if arguments_as_string:
            arguments = json.dumps(arguments, ensure_ascii=False)
        shape: dict[str, Json] = {"type": "function", "function": {"name": self.name, "arguments": arguments}}
        return shape if self.id is None else {"id": self.id, **shape}


@dataclass(frozen=True, slots=True)
class Message:
    """One message: role system, developer, user, assistant or tool.

    `content` None is OpenAI's null. Only an assistant has `reasoning_content` and `tool_calls`; only a tool
    message has `tool_call_id` (the call that it answers) and `name` (that call's function).
    """

    role: str
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    def to_openai(self, *, arguments_as_string: bool = False) -> dict[str, Json]:
        """The OpenAI dict; keys that say nothing (no calls, no reasoning, no id) are left out."""
        shape: dict[str, Json] = {"role": self.role, "content": self.content}
        if self.reasoning_content is not None:
            shape["reasoning_content"] = self.reasoning_content
        if self.tool_calls:
            shape["tool_calls"] = [c.to_openai(arguments_as_string=arguments_as_string) for c in self.tool_calls]
        if self.tool_call_id is not None:
            shape["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            shape["name"] = self.name
        return shape


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool definition. `parameters` is a JSON schema (a dict) or None, `description` may be None."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Json] | None = None

    def to_openai(self) -> dict[str, Json]:
        """`{"type": "function", "function": {"name"[, "description"][, "parameters"]}}`."""
        function: dict[str, Json] = {"name": self.name}
        if self.description is not None:
            function["description"] = self.description
        if self.parameters is not None:
            function["parameters"] = dict(self.parameters)
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Case:
    """One concrete input.

    `messages` is the history, `reply` the assistant message that the model is to say next. `text` is native
    text for the parser alone: with a `reply` it is that reply's native form and replaces what the dialect would
    emit (a crasher pins it so); without one it is malformed on purpose and no answer is right but a safe one.
    `chunks` are the sizes, in characters, by which a text is cut for streaming (used in turn, over and over;
    empty: no such cut). `options` are chat-template options such as `enable_thinking`.
    """

    tools: tuple[Tool, ...] = ()
    messages: tuple[Message, ...] = ()
    reply: Message | None = None
    text: str | None = None
    chunks: tuple[int, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)

    def with_(self, **changes: Any) -> Case:
        """This case with some fields replaced."""
        return replace(self, **changes)

    def tool(self, name: str) -> Tool | None:
        """The declared tool of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def conversation(self) -> Iterator[Message]:
        """The history, then the reply."""
        yield from self.messages
        if self.reply is not None:
            yield self.reply


def strings_of(value: Json) -> Iterator[str]:
    """Every string in a JSON value, object keys too, in document order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from strings_of(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings_of(item)
