"""`--raw`: a real model's answers by two ways: its canonical prompt and our parser, and Ollama's own translation.

The prompt that the canonical chat template renders goes to /api/generate as it is, and the dialect parses the answer;
the same conversation goes through /api/chat. Where both are sampled alike, a difference lies in Ollama's translator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tcfuzz.case import Case, Json, Message
from tcfuzz.deltas import message_from_openai
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import TargetFailure
from tcfuzz.hf import ChatTemplate
from tcfuzz.targets.base import Capability, Delta, Turn
from tcfuzz.targets.ollama.server import post
from tcfuzz.targets.ollama.shapes import to_ollama

GREEDY: Mapping[str, Json] = {"temperature": 0, "seed": 0, "num_predict": 512}
"""Sampled alike, as far as a server can promise it."""


class RawTarget:
    """A model of a running server, asked by both ways. Its cases are conversations; their replies are not used."""

    name = "ollama"
    capabilities: frozenset[Capability] = frozenset({"endpoints"})
    is_template = False
    utf8 = True
    atoms: tuple[str, ...] = ()
    follows_template = True
    text_arguments = False
    cuts = False
    costly = False

    def __init__(self, url: str, model: str, version: str, dialect: Dialect, template: Path, timeout: float) -> None:
        self._given = (url, model, version, dialect, template, timeout)
        self.model = f"{model} (raw)"
        self.version = version
        self.dialect: Dialect | None = dialect
        self.options: frozenset[str] | None = frozenset()
        self._name = model
        self._dialect = dialect
        self._template = ChatTemplate.from_file(template)
        self._last: tuple[Turn, Mapping[str, Message]] | None = None
        self._client = httpx.Client(base_url=url, timeout=timeout, trust_env=False)

    def answers(self, turn: Turn, chunks: Sequence[str]) -> Mapping[str, Message]:
        """See `Endpoints`: what the canonical prompt leads to, then what /api/chat makes of the same conversation.

        A conversation is asked once, however its unused reply is cut.
        """
        if self._last is None or self._last[0] is not turn:
            self._last = turn, {"raw": self._raw(turn), "/api/chat": self._chat(turn)}
        return self._last[1]

    def _raw(self, turn: Turn) -> Message:
        try:
            prompt = self._template.render(
                [message.to_openai() for message in turn.messages],
                [tool.to_openai() for tool in turn.tools] or None,
                add_generation_prompt=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever a template raises, this conversation is not for it
            raise TargetFailure("malformed", "template", str(error)) from None
        body = {"model": self._name, "prompt": prompt, "raw": True, "stream": False, "options": dict(GREEDY)}
        text = str(post(self._client, "/api/generate", body).get("response") or "")
        return self._dialect.parse(self._dialect.opened_by(prompt) + text, turn.tools)

    def _chat(self, turn: Turn) -> Message:
        body: dict[str, Json] = {
            "model": self._name,
            "messages": [to_ollama(message) for message in turn.messages],
            "tools": [tool.to_openai() for tool in turn.tools],
            "stream": False,
            "options": dict(GREEDY),
        }
        message = post(self._client, "/api/chat", body).get("message")
        calls = [{"function": call.get("function")} for call in (message or {}).get("tool_calls") or ()]
        return message_from_openai({**(message or {}), "tool_calls": calls})

    def effective(self, options: Mapping[str, Json]) -> Mapping[str, Json]:
        """See `Converses`."""
        return options

    def cannot(self, case: Case) -> str | None:
        """See `Converses`: the model says what it says."""
        return None

    def parse_in(self, turn: Turn, text: str) -> Message:
        """It has no such ability."""
        raise NotImplementedError

    def stream_in(self, turn: Turn, chunks: Sequence[str]) -> list[list[Delta]]:
        """It has no such ability."""
        raise NotImplementedError

    def fresh(self) -> RawTarget:
        """The same with connections of its own."""
        return RawTarget(*self._given)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()
