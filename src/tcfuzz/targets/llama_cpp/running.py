"""A llama-server that the user runs, with the user's model: it renders, and parses what is prefilled."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import CannotAsk, TargetFailure, TargetUnavailable
from tcfuzz.escape import visible
from tcfuzz.targets.base import Capability, Turn
from tcfuzz.targets.llama_cpp import models
from tcfuzz.targets.llama_cpp.requests import begun, prompt_of, request
from tcfuzz.targets.llama_cpp.server import RunningServer
from tcfuzz.targets.llama_cpp.servers import Setup
from tcfuzz.targets.llama_cpp.target import LlamaCppTarget

_WORDS = "Plain words to begin with"
_USER = Message("user", "Plain words.")
_TOOL = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a server's version and flags let be asked of it.

    end: the id of the token that ends an answer, None where the server does not tell. prefills: whether an answer can
    be begun. takes_replies: whether a conversation may end with an answer, rendered as one. thinks: its default.
    """

    end: int | None
    prefills: bool
    takes_replies: bool
    thinks: bool


def abilities(server: RunningServer, tell: Callable[[str], None]) -> Abilities:
    """Found out with one request each; what cannot be done is told in a line. Raises TargetUnavailable."""
    plain = _prompt(server, request([_USER], [], {}))
    if plain is None:
        raise TargetUnavailable(
            f"the server at {visible(server.url)} shows no prompt (/apply-template): use a newer one"
        )
    if _prompt(server, request([_USER], [_TOOL], {})) is None:
        raise TargetUnavailable(f"the server at {visible(server.url)} takes no tools: start it with --jinja")
    prefills = _prefills(server)
    if not prefills:
        tell("the server cannot go on with an answer that has begun: parsing is left out, rendering is checked")
    takes = _takes_replies(server)
    if not takes:
        tell("the server takes a last answer for the beginning of one: replies are not rendered; "
             "start it with --no-prefill-assistant to have that checked, too")  # fmt: skip
    tell("nothing is streamed: a model of one's own says what it wants; --template FILE starts a server that repeats")
    silent = _prompt(server, request([_USER], [], {"enable_thinking": False}))
    aloud = _prompt(server, request([_USER], [], {"enable_thinking": True}))
    return Abilities(_end(server), prefills, takes, thinks=plain == aloud or plain != silent)


def _prompt(server: RunningServer, body: Mapping[str, Any]) -> str | None:
    try:
        return prompt_of(server, body)
    except TargetFailure as failure:
        if failure.kind in ("hung", "died"):
            raise TargetUnavailable(
                f"the server at {visible(server.url)} does not answer ({visible(str(failure))})"
            ) from None
        return None


def _prefills(server: RunningServer) -> bool:
    prompt = _prompt(server, begun(request([_USER], [], {}), "content", _WORDS))
    return prompt is not None and prompt.endswith(_WORDS)


def _takes_replies(server: RunningServer) -> bool:
    body = request([_USER, Message("assistant", _WORDS)], [], {}) | {"add_generation_prompt": False}
    prompt = _prompt(server, body)
    return prompt is not None and not prompt.endswith(_WORDS)


def _end(server: RunningServer) -> int | None:
    """The id of the end of an answer: the first token of its text, if that is all of it."""
    text = server.props.get("eos_token")
    if not isinstance(text, str) or not text:
        return None
    with contextlib.suppress(TargetFailure):
        tokens = server.post("/tokenize", {"content": text, "parse_special": True, "add_special": False}).get("tokens")
        if isinstance(tokens, list) and len(tokens) == 1 and isinstance(tokens[0], int):
            return tokens[0]
    return None


def model_name(server: RunningServer) -> str:
    """What the server calls its model, without folders and suffix."""
    told = str(server.props.get("model_alias") or server.props.get("model_path") or "model")
    return re.sub(r"\.gguf$", "", PurePath(told).name) or "model"


def setup_of(server: RunningServer, dialect: Dialect | None, timeout: float) -> Setup:
    """The server's template, build and special tokens."""
    template = str(server.props["chat_template"])
    build = re.match(r"b\d+", str(server.props.get("build_info") or ""))
    tokens = {key: str(server.props.get(key) or "") for key in ("bos_token", "eos_token")}
    vocabulary = models.vocabulary([], [], bos=tokens["bos_token"], eos=tokens["eos_token"])
    digest = hashlib.sha256(template.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    version = build[0] if build else str(server.props.get("build_info") or "unknown")
    return Setup(Path(), version, template, digest, model_name(server), dialect, vocabulary, timeout)


class RunningTarget(LlamaCppTarget):
    """The model and template of a running server. Nothing is streamed: the model is not ours to say what we want."""

    def __init__(self, server: RunningServer, setup: Setup, can: Abilities) -> None:
        super().__init__(setup)
        self._server = server
        self._can = can
        can_do: list[Capability] = ["render", "parse"] if can.prefills else ["render"]
        self.capabilities = frozenset(can_do)

    @property
    def _main(self) -> RunningServer:
        return self._server

    def _ending(self) -> int | None:
        return self._can.end

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """See `Renders`. Raises CannotAsk for a conversation that ends with an answer, where that is taken for less."""
        if messages and messages[-1].role == "assistant" and not self._can.takes_replies:
            raise CannotAsk("the server takes a last answer for the beginning of one")
        return super().render(messages, tools, add_generation_prompt=add_generation_prompt, options=options)

    def _spoken(self, turn: Turn, said: str) -> Message:
        raise CannotAsk("this text cannot be prefilled, and a model of one's own does not say it")

    def effective(self, options: Mapping[str, Json]) -> Mapping[str, Json]:
        """See `Converses`."""
        found = dict(super().effective(options))
        if "enable_thinking" in found and "enable_thinking" not in options:
            found["enable_thinking"] = self._can.thinks
        return found

    def fresh(self) -> RunningTarget:
        """The same server through another connection."""
        return RunningTarget(RunningServer(self._server.url, self._setup.timeout), self._setup, self._can)

    def close(self) -> None:
        """Give back the connection; the server runs on."""
        self._server.close()
