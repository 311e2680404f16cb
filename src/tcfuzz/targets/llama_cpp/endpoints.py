"""`--end-to-end`: what the model says, as every interface of the server tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tcfuzz.case import Message
from tcfuzz.errors import TargetFailure
from tcfuzz.targets import interfaces
from tcfuzz.targets.base import Turn
from tcfuzz.targets.interfaces import Chat, Interface
from tcfuzz.targets.llama_cpp.requests import REQUEST_OPTIONS, bare
from tcfuzz.targets.llama_cpp.servers import Servers, Setup
from tcfuzz.targets.llama_cpp.target import LlamaCppTarget

SUFFIX = "-end-to-end"
KEPT = ("chat_template_kwargs", "parallel_tool_calls")
"""Fields of a chat request that the other interfaces take, too."""
OTHERS = (
    Interface(
        "/v1/chat/completions stream", "/v1/chat/completions", True, interfaces.ask_completions,
        interfaces.read_completions_stream,
    ),
    Interface("/v1/responses", "/v1/responses", False, interfaces.ask_responses, interfaces.read_responses),
    Interface(
        "/v1/responses stream", "/v1/responses", True, interfaces.ask_responses, interfaces.read_responses_stream
    ),
    Interface("/v1/messages", "/v1/messages", False, interfaces.ask_messages, interfaces.read_messages),
)  # fmt: skip
"""Beside the chat endpoint. The stream of `/v1/messages` is left out: its blocks overlap, which nobody forbids."""


class EndToEndTarget(LlamaCppTarget):
    """The same target, asked through all of its interfaces."""

    def __init__(self, setup: Setup, servers: Servers | None = None) -> None:
        super().__init__(setup, servers)
        self.model = setup.model + SUFFIX

    def answers(self, turn: Turn, chunks: Sequence[str]) -> Mapping[str, Message]:
        """See `Endpoints`. An interface that gave no message has one of the role `error`, which says what it did."""
        found = dict(super().answers(turn, chunks))
        if "said" in found and not any(name in turn.options for name in REQUEST_OPTIONS):
            said = self._said(turn, "".join(chunks))
            for interface in OTHERS:
                found |= self._told(interface, turn, said)
        return found

    def _told(self, interface: Interface, turn: Turn, said: str) -> dict[str, Message]:
        parrot, asked = self._to_say(turn, said)
        chat = Chat(NAME, [Message("user", asked["messages"][-1]["content"])], [bare(tool) for tool in turn.tools])
        body = interface.body(chat)
        if body is None:
            return {}
        most = asked["max_tokens"]
        kept: dict[str, Any] = {
            key: asked[key] for key in ("chat_template_kwargs", "parallel_tool_calls") if key in asked
        }
        body = {**body, **kept, "temperature": 0, "max_tokens": most, "max_output_tokens": most}
        try:
            readings = interface.read(parrot.text(interface.path, body))
        except TargetFailure as failure:
            if failure.kind in ("hung", "died"):
                raise
            readings = {"": interfaces.error_message(failure)}
        return {interface.name + way: message for way, message in readings.items()}

    def fresh(self) -> EndToEndTarget:
        """The same on the server of the other model."""
        return EndToEndTarget(self._setup, self._servers)


NAME = "model"
"""What requests call the model; the server has one only."""
