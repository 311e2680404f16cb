"""The interfaces of an Ollama server that report one and the same answer: its own, and those of other makers."""

from __future__ import annotations

from typing import Any

from tcfuzz.case import Message
from tcfuzz.deltas import message_from_openai
from tcfuzz.targets.base import Delta
from tcfuzz.targets.interfaces import (
    Body,
    Chat,
    Interface,
    Reading,
    ask_completions,
    ask_messages,
    ask_responses,
    loads,
    malformed,
    read_completions,
    read_completions_stream,
    read_messages,
    read_messages_stream,
    read_responses,
    read_responses_stream,
)
from tcfuzz.targets.ollama.shapes import to_ollama


def ask_chat(chat: Chat) -> Body:
    """For `/api/chat`. Without `truncate`, the prompt is not measured first."""
    body: Body = {"model": chat.model, "messages": [to_ollama(m) for m in chat.messages], "truncate": False}
    if chat.tools:
        body["tools"] = [tool.to_openai() for tool in chat.tools]
    if chat.think is not None:
        body["think"] = chat.think
    return body


def read_chat(text: str) -> Reading:
    """One object."""
    return {"": message_from_openai(loads(text).get("message"))}


def read_chat_stream(text: str) -> Reading:
    """Messages with what is new in them, one a line. Calls come whole."""
    messages = [message_from_openai(line.get("message")) for line in chat_lines(text)]
    return {
        "": Message(
            role="assistant",
            content="".join(message.content or "" for message in messages) or None,
            reasoning_content="".join(message.reasoning_content or "" for message in messages) or None,
            tool_calls=tuple(call for message in messages for call in message.tool_calls),
        )
    }


def chat_deltas(text: str) -> list[Delta]:
    """The deltas of such a stream."""
    deltas: list[Delta] = []
    for message in (line.get("message") or {} for line in chat_lines(text)):
        deltas += [{key: message[key]} for key in ("thinking", "content") if message.get(key)]
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            named = {"name": function.get("name"), "arguments": function.get("arguments")}
            deltas.append(
                {"tool_calls": [{"index": function.get("index", 0), "id": call.get("id"), "function": named}]}
            )
    return deltas


def chat_lines(text: str) -> list[Any]:
    """The objects of a stream that ended as it should."""
    lines = [loads(line) for line in text.split("\n") if line]
    if not lines or not lines[-1].get("done"):
        raise malformed("the stream ends without done")
    return lines


INTERFACES = (
    Interface("/api/chat", "/api/chat", False, ask_chat, read_chat),
    Interface("/api/chat stream", "/api/chat", True, ask_chat, read_chat_stream),
    Interface("/v1/chat/completions", "/v1/chat/completions", False, ask_completions, read_completions),
    Interface("/v1/chat/completions stream", "/v1/chat/completions", True, ask_completions, read_completions_stream),
    Interface("/v1/responses", "/v1/responses", False, ask_responses, read_responses),
    Interface("/v1/responses stream", "/v1/responses", True, ask_responses, read_responses_stream),
    Interface("/v1/messages", "/v1/messages", False, ask_messages, read_messages),
    Interface("/v1/messages stream", "/v1/messages", True, ask_messages, read_messages_stream),
)
"""The first is the one that the others are compared with."""
