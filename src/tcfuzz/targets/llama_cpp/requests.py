"""Requests to llama-server, and what is read out of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tcfuzz.case import Json, Message, Tool
from tcfuzz.deltas import message_from_openai
from tcfuzz.errors import TargetFailure
from tcfuzz.targets.llama_cpp.server import Answers

KEEPS_THOUGHTS: dict[str, Json] = {
    "preserve_thinking": True,
    "clear_thinking": False,
    "truncate_history_thinking": False,
    "drop_thinking": False,
}
"""What newer servers tell every template by default, for the thoughts of earlier turns to be shown."""
CHAT = "/v1/chat/completions"
REQUEST_OPTIONS = ("tool_choice", "parallel_tool_calls")
"""Options of a case that are fields of the request and no variables of the template."""

Body = dict[str, Any]


def request(messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]) -> Body:
    """The body that both the chat endpoint and `/apply-template` take."""
    body: Body = {"messages": [message.to_openai(arguments_as_string=True) for message in messages]}
    if tools:
        body["tools"] = [tool.to_openai() for tool in tools]
    variables = {name: value for name, value in options.items() if name not in REQUEST_OPTIONS}
    if variables:
        body["chat_template_kwargs"] = variables
    if tools:
        body |= {"parallel_tool_calls": True} | {name: options[name] for name in REQUEST_OPTIONS if name in options}
    if body.get("tool_choice") == "named":
        body["tool_choice"] = {"type": "function", "function": {"name": tools[0].name}}
    return body


def begun(body: Body, field: str, text: str) -> Body:
    """A request for the rest of an answer that has begun with this text."""
    last: Body = {"role": "assistant", "content": "", field: text}
    on: Body = {"continue_final_message": True, "add_generation_prompt": False}
    return body | {"messages": [*body["messages"], last]} | on


def prompt_of(server: Answers, body: Mapping[str, Json]) -> str:
    """The prompt that the server makes of a request."""
    answer = server.post("/apply-template", body)
    if not isinstance(answer.get("prompt"), str):
        raise TargetFailure("malformed", "prompt", "/apply-template shows no prompt")
    return str(answer["prompt"])


def message_of(answer: Mapping[str, Any]) -> Message:
    """The message of a chat answer."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        raise TargetFailure("malformed", "answer", "the answer has not one choice")
    message = choices[0].get("message")
    return message_from_openai({key: value for key, value in message.items() if value is not None})


def bare(tool: Tool) -> Tool:
    """A tool without its description, which no parser reads: a shorter prompt is read in less time."""
    return replace(tool, description="")
