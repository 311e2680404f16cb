"""`ollama`, in-process: a release's own renderers, templates and parsers, called through the bridge."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcfuzz.case import Case, Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import OutOfDomain
from tcfuzz.targets.base import Capability, Delta, Turn
from tcfuzz.targets.ollama import go
from tcfuzz.targets.ollama.bridge import Bridge
from tcfuzz.targets.ollama.models import Pair
from tcfuzz.targets.ollama.prompts import BridgePrompts, PromptEnds, Prompts
from tcfuzz.targets.ollama.shapes import to_message, to_ollama, to_openai_deltas

THINK_OPTIONS = ("enable_thinking", "thinking", "reasoning", "reasoning_effort")
"""What chat templates call the switch that Ollama calls `think`."""
SERVER_THINKS_SINCE = (0, 12, 6)
"""From this release on the server lets a model think that can, where the request says nothing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is under test.

    version: a release, or what a server calls itself. template: the text of a Go template, in the place of the pair's
    renderer. prompts: where prompts come from, where that is not the bridge. parses: whether there is a bridge at all.
    thinks: whether the model can think, where no parser says it.
    """

    version: str
    pair: Pair
    dialect: Dialect | None
    template: str | None = None
    timeout: float = 5.0
    prompts: Callable[[], Prompts] | None = None
    parses: bool = True
    thinks: bool = False


class OllamaTarget:
    """One pair of one release.

    A whole text reaches the parser as a model says it: special tokens in one piece each, the rest in small ones. Its
    end comes as an empty chunk of its own, as servers send it. A stream's end comes in both ways that the parser's
    interface has: with the last chunk where there is an odd number of them, as one of its own where it is even.
    """

    name = "ollama"
    is_template = False
    utf8 = True
    text_arguments = False
    cuts = False
    costly = False

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.model = setup.pair.name
        self.version = setup.version
        self.dialect = setup.dialect
        self.follows_template = not setup.pair.beyond
        self._bridge = self._start() if setup.parses else None
        about: Mapping[str, Any] = (
            self._bridge.about() if self._bridge else {"thinking": setup.thinks, "preserved": None}
        )
        self.atoms: tuple[str, ...] = tuple(about["preserved"] or ())
        self._thinks = bool(about["thinking"])
        self._default: Json = about.get("default")
        self._think_option = think_option(setup.dialect) if self._thinks else None
        self.options: frozenset[str] | None = frozenset([self._think_option] if self._think_option else [])
        self._prompts = self._sources()
        self._ends = PromptEnds(self._prompts, setup.dialect, self._options_of) if self._prompts else None
        parse: set[Capability] = {"parse", "stream"} if self._bridge else set()
        render: set[Capability] = {"render"} if self._prompts else set()
        self.capabilities: frozenset[Capability] = frozenset(parse | render)

    def _start(self) -> Bridge:
        setup = self._setup
        renderer = "" if setup.template or setup.prompts else setup.pair.renderer or ""
        use = {"renderer": renderer, "parser": setup.pair.parser, "template": setup.template or ""}
        return Bridge(go.bridge(setup.version), use, setup.timeout)

    def _sources(self) -> Prompts | None:
        if self._setup.prompts is not None:
            return self._setup.prompts()
        renders = self._setup.template or self._setup.pair.renderer
        return BridgePrompts(self._bridge, self.version) if renders and self._bridge else None

    # -- rendering ---------------------------------------------------------------------------------------------------

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """See `Renders`. Arguments as JSON text go through Ollama's own conversion of OpenAI's requests."""
        assert self._prompts is not None and self._ends is not None
        think = self._think(options or {})
        if add_generation_prompt:
            return self._prompts.prompt(messages, tools, think, as_string=arguments_as_string)
        return self._ends.after(messages, tools, think, as_string=arguments_as_string)

    # -- parsing -----------------------------------------------------------------------------------------------------

    def parse_in(self, turn: Turn, text: str) -> Message:
        """See `Converses`."""
        known = self.dialect.special_tokens if self.dialect else ()
        return to_message(self._deltas(turn, self._said(turn, pieces(text, (*known, *self.atoms))), flush=True))

    def stream_in(self, turn: Turn, chunks: Sequence[str]) -> list[list[Delta]]:
        """See `Converses`."""
        said = self._said(turn, chunks)
        deltas = [to_openai_deltas(delta) for delta in self._deltas(turn, said, flush=len(said) % 2 == 0)]
        # Chunks that the prompt holds already say nothing.
        return [*([] for _ in range(len(chunks) - len(said))), *deltas]

    def _deltas(self, turn: Turn, chunks: Sequence[str], *, flush: bool) -> list[dict[str, Any]]:
        assert self._bridge is not None
        request: dict[str, Json] = {"op": "parse", "chunks": list(chunks), "flush": flush, "prompt": turn.prompt or ""}
        request["tools"] = [tool.to_openai() for tool in turn.tools]
        if (think := self._think(turn.options)) is not None:
            request["think"] = think
        if turn.messages:
            request["last"] = to_ollama(turn.messages[-1])
        deltas: list[dict[str, Any]] = self._bridge.ask(request)
        return deltas

    def _said(self, turn: Turn, chunks: Sequence[str]) -> list[str]:
        """The chunks without the beginning of the reply that the prompt holds already."""
        prompt = turn.prompt
        if prompt is None and self.dialect is not None:
            with contextlib.suppress(OutOfDomain):
                prompt = self.dialect.render(turn.messages, turn.tools, **self.effective(turn.options))
        return said_after(self.dialect, prompt, chunks)

    # -- what it is --------------------------------------------------------------------------------------------------

    def _think(self, options: Mapping[str, Json]) -> Json:
        """Ollama's `think` as its server would set it; None where it sets none.

        Without a reference nobody can tell which prompts open a thought: then thinking stays off.
        """
        if self.dialect is None:
            return False if self._thinks else None
        asked = options.get(self._think_option) if self._think_option else None
        if asked is None and self._default is not None:
            return self._default
        if asked is None and self._thinks and go.number(self.version) >= SERVER_THINKS_SINCE:
            return True
        return asked

    def _options_of(self, think: Json) -> Mapping[str, Json]:
        """The reference's options for a `think`."""
        built_in = dict(self._setup.pair.built_in)
        switch = think_option(self.dialect)
        if switch is None or (switch == "reasoning_effort" and not isinstance(think, str)):
            return built_in
        return {**built_in, switch: think if switch == "reasoning_effort" else bool(think)}

    def effective(self, options: Mapping[str, Json]) -> Mapping[str, Json]:
        """See `Converses`: without the option, Ollama lets a model think that can."""
        others = {name: value for name, value in options.items() if name not in THINK_OPTIONS}
        return {**others, **self._options_of(self._think(options))}

    def cannot(self, case: Case) -> str | None:
        """See `Converses`."""
        if case.reply is not None and case.reply.reasoning_content and not self._think(case.options):
            return "reasoning while thinking is off"
        return None

    def fresh(self) -> OllamaTarget:
        """The same pair in another process."""
        return OllamaTarget(self._setup)

    def close(self) -> None:
        """End the bridge."""
        if self._bridge is not None:
            self._bridge.close()
        if self._prompts is not None:
            self._prompts.close()


def think_option(dialect: Dialect | None) -> str | None:
    """The dialect's switch for thinking."""
    return next((name for name in THINK_OPTIONS if dialect is not None and name in dialect.traits.options), None)


def pieces(text: str, tokens: Sequence[str]) -> list[str]:
    """A text as a model's tokens: special ones whole, the rest in small pieces; at most some two thousand of them."""
    size = max(4, len(text) // 1500)
    if not tokens:
        return [text[at : at + size] for at in range(0, len(text), size)]
    found = "|".join(re.escape(token) for token in sorted(set(tokens), key=len, reverse=True))
    parts = re.split(f"({found})", text)
    return [
        piece
        for number, part in enumerate(parts)
        for piece in ([part] if number % 2 else (part[at : at + size] for at in range(0, len(part), size)))
    ]


def said_after(dialect: Dialect | None, prompt: str | None, chunks: Sequence[str]) -> list[str]:
    """The chunks of a text without what the prompt holds already, or with the end of a thought that it opened."""
    if dialect is None or prompt is None:
        return list(chunks)
    text = "".join(chunks)
    said = dialect.said_after(prompt, text)
    if said.endswith(text):
        return [said.removesuffix(text) + chunks[0], *chunks[1:]] if chunks else [said]
    left, kept = len(text) - len(said), list(chunks)
    while kept and left >= len(kept[0]):
        left -= len(kept.pop(0))
    return [kept[0][left:], *kept[1:]] if kept else []
