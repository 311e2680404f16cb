"""`ollama`, end to end: every case goes through a real server, whose runner says the reply's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import TargetFailure, TargetUnavailable
from tcfuzz.targets import interfaces
from tcfuzz.targets.base import Delta, Turn
from tcfuzz.targets.interfaces import Chat, Interface
from tcfuzz.targets.ollama import go
from tcfuzz.targets.ollama.daemon import Daemon
from tcfuzz.targets.ollama.interfaces import INTERFACES, ask_chat, chat_deltas
from tcfuzz.targets.ollama.models import Pair
from tcfuzz.targets.ollama.target import OllamaTarget, Setup

SUFFIX = "-end-to-end"
_WHOLE, _STREAMED = INTERFACES[:2]
_PLAIN = Message("user", "Plain words.")


class EndToEndTarget(OllamaTarget):
    """One pair of a server: rendered, parsed and streamed by `/api/chat`, and told by every interface that it has.

    Targets of one binary share a server, unless they are fresh: it starts with the first and ends with the last.
    """

    def __init__(
        self,
        pair_name: str,
        renderer: str | None,
        parser: str,
        dialect: Dialect | None,
        *,
        version: str,
        binary: Path | None = None,
        timeout: float = 5.0,
        template: str | None = None,
        alone: bool = False,
    ) -> None:
        """`version` is the release to build where no `binary` is given. Raises UsageError, TargetUnavailable."""
        binary = go.server(version) if binary is None else binary
        pair = Pair(pair_name + SUFFIX, renderer, parser, dialect.name if dialect else None)
        self._model = Model(Daemon(binary, timeout) if alone else _shared(binary, timeout), pair, template)
        super().__init__(
            Setup(
                self._model.version, pair, dialect, template, timeout,
                prompts=(lambda: self._model) if renderer or template else None,
                parses=False, thinks=self._model.thinks,
            )
        )  # fmt: skip
        self._binary = binary
        self.capabilities |= {"parse", "stream", "endpoints"}

    def parse_in(self, turn: Turn, text: str) -> Message:
        """See `Converses`."""
        self._model.say(self._said(turn, [text]))
        return _WHOLE.read(self._asked(_WHOLE, turn))[""]

    def stream_in(self, turn: Turn, chunks: Sequence[str]) -> list[list[Delta]]:
        """See `Converses`. Which chunk a delta came after cannot be told: all of them stand at the end."""
        self._model.say(self._said(turn, chunks))
        return [*([] for _ in chunks), chat_deltas(self._asked(_STREAMED, turn))]

    def answers(self, turn: Turn, chunks: Sequence[str]) -> Mapping[str, Message]:
        """See `Endpoints`. An interface that gave no message has one of the role `error`, which says what it did."""
        self._model.say(self._said(turn, chunks))
        found: dict[str, Message] = {}
        for interface in INTERFACES:
            if interface.ask(self._chat(turn)) is None:
                continue
            try:
                readings = interface.read(self._asked(interface, turn))
            except TargetFailure as failure:
                if failure.kind in ("hung", "died"):
                    raise
                readings = {"": interfaces.error_message(failure)}
            found |= {interface.name + way: message for way, message in readings.items()}
        return found

    def _asked(self, interface: Interface, turn: Turn) -> str:
        body = interface.body(self._chat(turn))
        assert body is not None
        return self._model.post(interface.path, body).text

    def _chat(self, turn: Turn) -> Chat:
        """What is asked; thinking is left to the server's own default where the case says nothing of it."""
        said = self.dialect is None or turn.options.get(self._think_option or "") is not None
        return self._model.chat(turn.messages or (_PLAIN,), turn.tools, self._think(turn.options) if said else None)

    def fresh(self) -> EndToEndTarget:
        """The same on a server of its own."""
        setup = self._setup
        return EndToEndTarget(
            setup.pair.name.removesuffix(SUFFIX), setup.pair.renderer, setup.pair.parser, setup.dialect,
            version=setup.version, binary=self._binary, timeout=setup.timeout, template=setup.template, alone=True,
        )  # fmt: skip

    def close(self) -> None:
        """End the server, unless another target has it, too."""
        self._model.close()


class Model:
    """A pair as a model of a server, which gives prompts, too (see `Prompts`)."""

    def __init__(self, daemon: Daemon, pair: Pair, template: str | None) -> None:
        self._daemon = daemon
        self._open = True
        self.name = pair.name
        try:
            self.version = daemon.version()
            if (0, 0, 0) < go.number(self.version) < go.SERVER_SINCE:
                oldest = ".".join(map(str, go.SERVER_SINCE))
                raise TargetUnavailable(f"the server is Ollama {self.version}: --end-to-end takes v{oldest} and later")
            can = daemon.model(self.name, renderer=pair.renderer, parser=pair.parser, template=template)
        except BaseException:
            self.close()
            raise
        self._takes_tools = "tools" in can
        self.thinks = "thinking" in can

    def chat(self, messages: Sequence[Message], tools: Sequence[Tool], think: Json) -> Chat:
        """What is asked of it: tools only where it takes any, for others are refused."""
        return Chat(self.name, messages, tools if self._takes_tools else (), think, "reasoning")

    def say(self, chunks: Sequence[str]) -> None:
        """What it says from now on."""
        self._daemon.say(chunks)

    def post(self, path: str, body: Mapping[str, Json]) -> httpx.Response:
        """The answer to a request. Raises TargetFailure for none, and for an error."""
        answer = self._daemon.post(path, body)
        if answer.status_code < 400:
            return answer
        try:
            said = interfaces.error_text(answer.json())
        except (ValueError, AttributeError):
            said = answer.text.strip()
        raise TargetFailure("raised", f"HTTP {answer.status_code}", said[:500])

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Tool], think: Json, *, as_string: bool = False
    ) -> str:
        """See `Prompts`."""
        ask = interfaces.ask_completions if as_string else ask_chat
        body = {**ask(self.chat(messages, tools, think)), "stream": False, "_debug_render_only": True}
        answer = self.post("/v1/chat/completions" if as_string else "/api/chat", body)
        info = answer.json().get("_debug_info")
        if not isinstance(info, dict):
            raise TargetFailure("malformed", "answer", f"no prompt comes back, but {answer.text[:200]}")
        prompt: str = info.get("rendered_template") or ""
        return prompt

    def close(self) -> None:
        """End the server, unless another target has it, too."""
        if self._open:
            self._open = False
            _release(self._daemon)


@dataclass(slots=True)
class _Share:
    daemon: Daemon
    users: int = 0


_shares: dict[tuple[Path, float], _Share] = {}


def _shared(binary: Path, timeout: float) -> Daemon:
    share = _shares.setdefault((binary, timeout), _Share(Daemon(binary, timeout)))
    share.users += 1
    return share.daemon


def _release(daemon: Daemon) -> None:
    key = next((key for key, share in _shares.items() if share.daemon is daemon), None)
    if key is not None:
        _shares[key].users -= 1
        if _shares[key].users:
            return
        del _shares[key]
    daemon.close()
