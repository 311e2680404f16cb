"""OpenAI's and Anthropic's interfaces of a server: how each is asked, and how a client reads its answer.

Every reader takes what a client of that protocol takes, nothing else: an OpenAI client joins the pieces of a call by
their index, one of the Responses API knows an item by its output index. What a protocol demands and the server leaves
out is a TargetFailure of kind `malformed`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcfuzz.case import Json, Message, Tool
from tcfuzz.deltas import collect, message_from_openai
from tcfuzz.errors import TargetFailure
from tcfuzz.targets.base import Delta

MOST_TOKENS = 100_000


@dataclass(frozen=True, slots=True)
class Chat:
    """What is asked of a model. `think`: True, False, the name of a level, or None where the request says nothing.

    reasoning: what a message calls its thoughts in OpenAI's shape.
    """

    model: str
    messages: Sequence[Message]
    tools: Sequence[Tool]
    think: Json = None
    reasoning: str = "reasoning_content"


Body = dict[str, Json]
Reading = Mapping[str, Message]
"""The messages that one answer holds: mostly one, under "", or what several ways of reading a stream give."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One way to ask. `ask` gives None for what the protocol has no way to say; `read` takes the answer's text."""

    name: str
    path: str
    stream: bool
    ask: Callable[[Chat], Body | None]
    read: Callable[[str], Reading]

    def body(self, chat: Chat) -> Body | None:
        """The request's body."""
        asked = self.ask(chat)
        return None if asked is None else {**asked, "stream": self.stream}


# -- OpenAI's chat completions -----------------------------------------------------------------------------------------


def ask_completions(chat: Chat) -> Body:
    """For `/v1/chat/completions`. It has no word for thinking that is on, which is what silence means."""
    body: Body = {"model": chat.model, "messages": [_openai(message, chat.reasoning) for message in chat.messages]}
    if chat.tools:
        body["tools"] = [tool.to_openai() for tool in chat.tools]
    if (effort := _effort(chat.think)) is not None:
        body["reasoning_effort"] = effort
    return body


def _effort(think: Json) -> str | None:
    return "none" if think is False else think if isinstance(think, str) else None


def _openai(message: Message, reasoning: str) -> Body:
    shape: Body = message.to_openai(arguments_as_string=True)
    if "reasoning_content" in shape:
        shape[reasoning] = shape.pop("reasoning_content")
    return shape if shape["content"] is not None or message.tool_calls else {**shape, "content": ""}


def read_completions(text: str) -> Reading:
    """One choice with a message."""
    return {"": message_from_openai(_only(loads(text).get("choices"), "choice").get("message"))}


def read_completions_stream(text: str) -> Reading:
    """Deltas, joined as every client joins them."""
    message, complaints = collect(completion_deltas(text))
    if complaints:
        raise malformed(complaints[0].text)
    return {"": message}


def completion_deltas(text: str) -> list[Delta]:
    """The deltas of such a stream. Raises TargetFailure for one that is broken off, or an error in its place."""
    events = list(events_of(text))
    values = [loads(event) for event in events if event != "[DONE]"]
    if not events or events[-1] != "[DONE]":
        raise malformed("the stream ends without [DONE]")
    choices = [_only(value.get("choices"), "choice") for value in values]
    if not any(choice.get("finish_reason") for choice in choices):
        raise malformed("the stream ends without a finish_reason")
    return [choice.get("delta") for choice in choices]


# -- OpenAI's responses ------------------------------------------------------------------------------------------------


def ask_responses(chat: Chat) -> Body | None:
    """For `/v1/responses`."""
    items: list[Body] = []
    for message in chat.messages:
        items += _items(message)
    if not items:
        return None
    body: Body = {"model": chat.model, "input": items}
    if chat.tools:
        body["tools"] = [{"type": "function", **tool.to_openai()["function"]} for tool in chat.tools]
    if (effort := _effort(chat.think)) is not None:
        body["reasoning"] = {"effort": effort}
    return body


def _items(message: Message) -> Iterator[Body]:
    if message.role == "tool":
        output = {"type": "function_call_output", "output": message.content or ""}
        yield {**output, "call_id": message.tool_call_id or "call_0"}
        return
    if message.reasoning_content:
        yield {"type": "reasoning", "summary": [], "encrypted_content": message.reasoning_content}
    if message.content or not message.tool_calls:
        yield {"type": "message", "role": message.role, "content": message.content or ""}
    for index, call in enumerate(message.tool_calls):
        arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
        called = {"type": "function_call", "call_id": call.id or f"call_{index}"}
        yield {**called, "name": call.name, "arguments": arguments}


def read_responses(text: str) -> Reading:
    """An object with output items."""
    return {"": _of_items(loads(text).get("output"))}


def read_responses_stream(text: str) -> Reading:
    """What a client has that joins the deltas, one that takes each item when it is done, and one that waits for all."""
    events = [loads(event) for event in events_of(text)]
    if not events or events[-1].get("type") != "response.completed":
        raise malformed("the stream ends without response.completed")
    done = [event["item"] for event in events if event.get("type") == "response.output_item.done"]
    return {
        "": message_or_error(lambda: _of_deltas(events)),
        " (items done)": message_or_error(lambda: _of_items(done)),
        " (completed)": message_or_error(lambda: _of_items(events[-1]["response"].get("output"))),
    }


def _of_items(items: Any) -> Message:
    content, reasoning, calls = [], [], []
    for item in items or ():
        kind = item.get("type")
        if kind == "message":
            content += [part.get("text") or "" for part in item.get("content") or ()]
        elif kind == "reasoning":
            reasoning += [part.get("text") or "" for part in item.get("summary") or ()]
        elif kind == "function_call":
            calls.append({"id": item.get("call_id"), "function": item})
        else:
            raise malformed(f"an output item is of the type {kind!r:.40}")
    return _message("".join(content), "".join(reasoning), calls)


def _of_deltas(events: Sequence[Any]) -> Message:
    """As the items that were added say what each is, and the deltas go to the item of their output index."""
    items: dict[int, Body] = {}
    for event in events:
        kind, index = event.get("type", ""), event.get("output_index")
        if kind == "response.output_item.added":
            if index in items:
                raise malformed(f"two output items have the output_index {index}")
            items[index] = {**event["item"], "text": ""}
        elif kind in _TEXT_DELTAS:
            if items.get(index, {}).get("type") != _TEXT_DELTAS[kind]:
                raise malformed(f"{kind} for the output_index {index}, which is no {_TEXT_DELTAS[kind]}")
            items[index]["text"] += event["delta"]
    ordered = [items[index] for index in sorted(items)]
    return _message(
        "".join(item["text"] for item in ordered if item["type"] == "message"),
        "".join(item["text"] for item in ordered if item["type"] == "reasoning"),
        [
            {"id": item.get("call_id"), "function": {"name": item.get("name"), "arguments": item["text"]}}
            for item in ordered
            if item["type"] == "function_call"
        ],
    )


_TEXT_DELTAS = {
    "response.output_text.delta": "message",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.function_call_arguments.delta": "function_call",
}


# -- Anthropic's messages ----------------------------------------------------------------------------------------------


def ask_messages(chat: Chat) -> Body | None:
    """For `/v1/messages`, which has user and assistant turns, none of them empty, and system text before them."""
    first = chat.messages[0] if chat.messages else None
    system = first.content if first is not None and first.role == "system" else None
    turns = [_turn(message) for message in chat.messages[system is not None :]]
    if not turns or any(not turn["content"] for turn in turns):
        return None
    body: Body = {"model": chat.model, "max_tokens": MOST_TOKENS, "messages": turns}
    if system:
        body["system"] = system
    if chat.tools:
        body["tools"] = [_anthropic_tool(tool) for tool in chat.tools]
    if isinstance(chat.think, str):
        body["output_config"] = {"effort": chat.think}
    elif chat.think is not None:
        body["thinking"] = {"type": "enabled", "budget_tokens": 1024} if chat.think else {"type": "disabled"}
    return body


def _anthropic_tool(tool: Tool) -> Body:
    shape: Body = {"name": tool.name}
    if tool.description is not None:
        shape["description"] = tool.description
    if tool.parameters is not None:
        shape["input_schema"] = dict(tool.parameters)
    return shape


def _turn(message: Message) -> Body:
    blocks: list[Body] = []
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id or "call_0"}
        return {"role": "user", "content": [{**result, "content": message.content or ""}]}
    if message.reasoning_content:
        blocks.append({"type": "thinking", "thinking": message.reasoning_content, "signature": ""})
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    for index, call in enumerate(message.tool_calls):
        used = {"type": "tool_use", "id": call.id or f"call_{index}"}
        blocks.append({**used, "name": call.name, "input": dict(call.arguments)})
    return {"role": "assistant" if message.role == "assistant" else "user", "content": blocks}


def read_messages(text: str) -> Reading:
    """An object with content blocks."""
    blocks = loads(text).get("content")
    if not isinstance(blocks, list):
        raise malformed(f"content is {json.dumps(blocks)[:40]}, not a list of blocks")
    return {"": _of_blocks(blocks)}


def _of_blocks(blocks: Sequence[Any]) -> Message:
    for block in blocks:
        if block.get("type") not in ("text", "thinking", "tool_use"):
            raise malformed(f"a content block is of the type {block.get('type')!r:.40}")
    return _message(
        "".join(block.get("text") or "" for block in blocks if block["type"] == "text"),
        "".join(block.get("thinking") or "" for block in blocks if block["type"] == "thinking"),
        [
            {"id": block.get("id"), "function": {"name": block.get("name"), "arguments": block.get("input")}}
            for block in blocks
            if block["type"] == "tool_use"
        ],
    )


def read_messages_stream(text: str) -> Reading:
    """Blocks that start, grow and stop, one after the other."""
    events = [loads(event) for event in events_of(text)]
    if not events or events[-1].get("type") != "message_stop":
        raise malformed("the stream ends without message_stop")
    blocks: list[Body] = []
    stopped = 0
    for event in events:
        kind, index = event.get("type"), event.get("index")
        if kind == "content_block_start":
            if index != len(blocks) or stopped != len(blocks):
                raise malformed(f"content block {index} starts where {len(blocks)} is next, {stopped} having stopped")
            blocks.append({**event["content_block"], "json": ""})
        elif kind == "content_block_delta":
            if index != len(blocks) - 1 or stopped == len(blocks):
                raise malformed(f"a delta for content block {index}, which is not open")
            _grow(blocks[index], event["delta"])
        elif kind == "content_block_stop":
            if index != len(blocks) - 1 or stopped == len(blocks):
                raise malformed(f"content block {index} stops and is not open")
            stopped += 1
    if stopped != len(blocks):
        raise malformed(f"content block {len(blocks) - 1} never stops")
    return {"": _of_blocks([{**block, "input": block["json"] or block.get("input")} for block in blocks])}


def _grow(block: Body, delta: Body) -> None:
    taken = {"text_delta": ("text", "text"), "thinking_delta": ("thinking", "thinking"),
             "input_json_delta": ("partial_json", "json")}.get(delta.get("type", ""))  # fmt: skip
    if taken is None:
        raise malformed(f"a delta is of the type {delta.get('type')!r:.40}")
    block[taken[1]] = (block.get(taken[1]) or "") + (delta.get(taken[0]) or "")


# -- what they share ---------------------------------------------------------------------------------------------------


def message_or_error(read: Callable[[], Message]) -> Message:
    """What it gives or, where it is no message, one of the role `error` that says what it is."""
    try:
        return read()
    except TargetFailure as failure:
        return error_message(failure)


def error_message(failure: TargetFailure) -> Message:
    """What stands for an answer that is no message: `malformed: …` or `raised: …`."""
    said = failure.message if failure.kind == "malformed" else f"{failure.error}: {failure.message}"
    return Message("error", f"{failure.kind}: {said}")


def _message(content: str, reasoning: str, calls: list[Body]) -> Message:
    return message_from_openai(
        {"content": content or None, "reasoning_content": reasoning or None, "tool_calls": calls}
    )


def events_of(text: str) -> Iterator[str]:
    """The data of server-sent events."""
    for line in text.split("\n"):
        if line.startswith("data: "):
            yield line[6:].rstrip("\r")
        elif line.strip() and not line.startswith(("event:", ":")):
            raise malformed(f"a line of the stream is no event: {line[:80]!r}")


def loads(text: str) -> Any:
    """An object. An error in it is what the server did instead of answering."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise malformed(f"the answer is no JSON ({error}): {text[:80]!r}") from None
    if not isinstance(value, dict):
        raise malformed(f"the answer is {text[:80]}, not an object")
    if value.get("error"):
        raise TargetFailure("raised", "error", error_text(value))
    return value


def error_text(value: Mapping[str, Any]) -> str:
    """What an error says, in any of the shapes."""
    error = value.get("error")
    return str(error.get("message") if isinstance(error, Mapping) else error)


def _only(items: Any, what: str) -> Any:
    if not isinstance(items, list) or len(items) != 1:
        raise malformed(f"the answer has {len(items) if isinstance(items, list) else 'no'} {what}s, not one")
    return items[0]


def malformed(text: str) -> TargetFailure:
    return TargetFailure("malformed", "answer", text)
