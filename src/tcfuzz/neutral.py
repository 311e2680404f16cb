"""The neutral twin of a case: the same conversation with a plain word for every string that holds a special token.

What the renderer writes by itself is the same for both, so special tokens can be counted: those of the case are
those of the twin plus those in the supplied strings. Equal strings get equal words, as templates compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tcfuzz.case import Case, Json, Message, Tool, ToolCall, strings_of

_Plain = Callable[[str], str]


def neutral_twin(case: Case, special_tokens: Sequence[str]) -> Case:
    """The twin. The very same case where no string holds a special token."""
    words: dict[str, str] = {}

    def plain(text: str) -> str:
        if not any(token in text for token in special_tokens):
            return text
        return words.setdefault(text, f"plain{len(words)}")

    twin = case.with_(
        messages=tuple(_message(message, plain) for message in case.messages),
        reply=None if case.reply is None else _message(case.reply, plain),
        tools=tuple(
            Tool(plain(t.name), t.description and plain(t.description), t.parameters and _json(t.parameters, plain))
            for t in case.tools
        ),
    )
    return twin if words else case


def supplied_strings(messages: Iterable[Message], tools: Iterable[Tool]) -> Iterator[str]:
    """Every string that the conversation supplies, in order, once an occurrence."""
    for tool in tools:
        yield tool.name
        yield tool.description or ""
        yield from strings_of(dict(tool.parameters or {}))
    for message in messages:
        yield message.content or ""
        yield message.reasoning_content or ""
        yield message.tool_call_id or ""
        yield message.name or ""
        for call in message.tool_calls:
            yield call.name
            yield call.id or ""
            yield from strings_of(dict(call.arguments))


def _message(message: Message, plain: _Plain) -> Message:
    calls = tuple(ToolCall(plain(c.name), _json(c.arguments, plain), c.id) for c in message.tool_calls)
    return replace(
        message,
        content=message.content and plain(message.content),
        reasoning_content=message.reasoning_content and plain(message.reasoning_content),
        name=message.name and plain(message.name),
        tool_calls=calls,
    )


def _json(value: Json, plain: _Plain) -> Json:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(key): _json(item, plain) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item, plain) for item in value]
    return value
