"""Replies, made shortly, and whether they come back."""

from __future__ import annotations

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect

USER = Message("user", "Go.")
Call = tuple[str, dict[str, Json]]


def said(*calls: Call, content: str | None = None, reasoning: str | None = None) -> Message:
    return Message("assistant", content, reasoning, tuple(ToolCall(*call) for call in calls))


def calls_of(message: Message) -> list[Call]:
    return [(call.name, dict(call.arguments)) for call in message.tool_calls]


def comes_back(dialect: Dialect, reply: Message, tools: tuple[Tool, ...] = ()) -> bool:
    wanted, back = (dialect.normalise(m) for m in (reply, dialect.parse(dialect.emit(reply, tools), tools)))
    texts = [(m.content, m.reasoning_content) for m in (wanted, back)]
    return texts[0] == texts[1] and repr(calls_of(wanted)) == repr(calls_of(back))
