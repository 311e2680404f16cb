"""How fast the target `llama-cpp` renders and parses: beside the very same requests, sent bare.

Usage: python benchmarks/llama_cpp_server.py [requests]

The bare ones go through one kept-alive connection of httpx, one after the other, and their JSON is read. The two take
turns over the same requests, so that the server, and what it remembers of the last prompt, is the same for both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tcfuzz import targets
from tcfuzz.case import Message, Tool, ToolCall
from tcfuzz.targets.base import Turn
from tcfuzz.targets.llama_cpp import server
from tcfuzz.targets.llama_cpp.target import LlamaCppTarget

TEMPLATES = ("Qwen3-Coder", "meta-llama-Llama-3.1-8B-Instruct")
ROUNDS = 5
ENOUGH = 0.7
TOOL = Tool(
    "weather",
    "Tells the weather.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "tags": {"type": "array"}},
        "required": ["city"],
    },
)
HISTORY = (Message("system", "Be brief."), Message("user", "What is the weather like?"))
Work = Callable[[int], object]
"""What is done with the request of a number."""
Sent = tuple[str, str, Mapping[str, Any]]
"""A request as it was sent: the server's URL, the path, the body."""


def call(number: int) -> ToolCall:
    """A call that no other number has."""
    return ToolCall("weather", {"city": f"Łódź {number}", "days": number, "tags": ["rain", "wind"]}, "call_0")


def renders(target: LlamaCppTarget, count: int) -> Work:
    """A conversation with a call, its result and a question."""
    result = Message("tool", "Rain.", tool_call_id="call_0", name="weather")
    called = [Message("assistant", "", tool_calls=(call(number),)) for number in range(count + 1)]
    histories = [(*HISTORY, message, result, Message("user", "And tomorrow?")) for message in called]
    return lambda number: target.render(histories[number], (TOOL,))


def parses(target: LlamaCppTarget, count: int) -> Work:
    """A reply with a call."""
    turn, dialect = Turn(HISTORY, (TOOL,), {}, None), target.dialect
    assert dialect is not None
    replies = [Message("assistant", None, tool_calls=(call(number),)) for number in range(count + 1)]
    texts = [dialect.emit(reply, (TOOL,)) for reply in replies]
    return lambda number: target.parse_in(turn, texts[number])


def sent(work: Work, count: int) -> list[Sent]:
    """The requests that some work comes down to."""
    requests: list[Sent] = []
    received = server.received

    def noted(client: httpx.Client, path: str, body: Any, timeout: float, **headers: str) -> httpx.Response:
        requests.append((str(client.base_url), path, body))
        return received(client, path, body, timeout, **headers)

    work(count)  # what is asked once is asked before
    server.received = noted
    try:
        for number in range(count):
            work(number)
    finally:
        server.received = received
    assert len(requests) == count
    return requests


def rate(work: Work, count: int) -> float:
    """So many a second."""
    start = time.perf_counter()
    for number in range(count):
        work(number)
    return count / (time.perf_counter() - start)


def compared(work: Work, count: int) -> tuple[float, float]:
    """The median rates of some work and of its requests, sent bare."""
    requests = sent(work, count)
    with httpx.Client(trust_env=False, timeout=60) as client:

        def bare(number: int) -> object:
            url, path, body = requests[number]
            return client.post(url + path, json=body).json()

        rates = [(rate(work, count), rate(bare, count)) for _ in range(ROUNDS)]
    ours, theirs = (sorted(found)[ROUNDS // 2] for found in zip(*rates, strict=True))
    return ours, theirs


def main() -> int:
    """Print the rates, and which part of the bare requests' each is. 1 where one is less than 0.7."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    worst = 1.0
    for name in TEMPLATES:
        (target,) = targets.resolve("llama-cpp", template=Path(name), timeout=60.0)
        assert isinstance(target, LlamaCppTarget)
        try:
            for what, work in (("render", renders(target, count)), ("parse", parses(target, count))):
                ours, bare = compared(work, count)
                worst = min(worst, ours / bare)
                print(f"{name:34} {what:7} {ours:6.0f}/s   {ours / bare:5.2f} of {bare:.0f}/s bare")
        finally:
            target.close()
    return int(worst < ENOUGH)


if __name__ == "__main__":
    raise SystemExit(main())
