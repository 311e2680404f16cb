"""What a dialect is: one model's native text for conversations and tool calls, written down as code.

A dialect renders a conversation as the model's canonical chat template does (its own short sentence in place of
the vendor's tool prose), emits what the model says for a reply, and parses such text back, whole or as a stream.
It is the reference that translators are compared with, so it declares what its format does and cannot do.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.syntax.reader import Machine, Reader, Sink
from tcfuzz.errors import OutOfDomain

MarkerRole = Literal[
    "bos", "turn", "call-open", "call-close", "param-open", "param-close", "reasoning-open", "reasoning-close",
    "quote", "separator", "result-open", "result-close", "tools-open", "tools-close", "toggle", "media", "stop",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marker:
    """A piece of text with a meaning of its own in a format.

    `special`: a single token of the vocabulary, which a stream never splits; otherwise plain text.
    """

    text: str
    role: MarkerRole
    special: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a format declares about itself.

    kind: how arguments are written: plain (no tools), json, xml (tags), custom (own quoting), pythonic.
    key_order: argument keys as the call has them (`kept`) or as the canonical template sorts them (`sorted`).
    max_calls: calls in one assistant turn, None for any number, 0 for none.
    id_pattern: the regular expression of ids that are on the wire; None where the format has no ids.
    reasoning: whether the format has a place for `reasoning_content`.
    reasoning_in_history: whether a reply's reasoning is shown when it is appended right after a user or tool turn.
    content_with_call: `kept`, or `dropped` where the format has no place for text beside a call.
    calls_shown_first: whether history shows a calling message's text behind its calls, where no model says it.
    content_trim: how `content` may change on its way without loss by the format's own rules: `exact`; `beside-call`
        (outer white space goes where there is a call too); `outer` (always).
    text_trim: roles whose text the canonical template strips of outer white space in the prompt.
    text_json: roles whose text the canonical template writes as a JSON string.
    declares_tools: whether the canonical template shows the tools at all.
    self_describing: types can be read off the call; otherwise (`False`) the tool's schema decides.
    string_arguments: what the canonical template makes of `arguments` given as JSON text: `alike` (as the object),
        `verbatim` (its own spelling where the object has another), `encoded-twice`, `refused`; `required` where it
        takes nothing else.
    system: `any` place, `first` message only, or `none`.
    developer: whether a developer message keeps a turn of its own.
    alternating: whether user and assistant must take turns (tool steps aside).
    prefix_stable: whether an earlier prompt stays a prefix of a later one (history without reasoning).
    prompt_kept: whether the generation prompt is a prefix of what history shows; False where published revisions of the
        template differ in it.
    options: template options that change the rendering, each with the values worth trying.
    """

    kind: Literal["plain", "json", "xml", "custom", "pythonic"]
    key_order: Literal["kept", "sorted"] = "kept"
    max_calls: int | None = None
    id_pattern: str | None = None
    reasoning: bool = False
    reasoning_in_history: bool = True
    content_with_call: Literal["kept", "dropped"] = "kept"
    calls_shown_first: bool = False
    content_trim: Literal["exact", "beside-call", "outer"] = "beside-call"
    text_trim: frozenset[str] = frozenset()
    text_json: frozenset[str] = frozenset()
    declares_tools: bool = True
    self_describing: bool = True
    string_arguments: Literal["alike", "verbatim", "encoded-twice", "refused", "required"] = "alike"
    system: Literal["any", "first", "none"] = "any"
    developer: bool = True
    alternating: bool = False
    prefix_stable: bool = True
    prompt_kept: bool = True
    options: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)


class ToolIndex:
    """The declared tools by name, and the schema of a parameter."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.by_name = {tool.name: tool for tool in tools}

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def schema(self, tool: str, parameter: str) -> Mapping[str, Json] | None:
        """The JSON schema of one parameter; None where tool, parameter or schema is not declared."""
        declared = self.by_name.get(tool)
        if declared is None or declared.parameters is None:
            return None
        properties = declared.parameters.get("properties")
        schema = properties.get(parameter) if isinstance(properties, Mapping) else None
        return schema if isinstance(schema, Mapping) else None

    def root(self, tool: str) -> Mapping[str, Json]:
        """A tool's whole parameter schema, for resolving `$ref`; empty where there is none."""
        declared = self.by_name.get(tool)
        return declared.parameters if declared and declared.parameters is not None else {}


class Stream:
    """An incremental parser: feed text, get deltas, finish.

    A delta is `{"content": str}`, `{"reasoning_content": str}` or `{"tool_calls": [{"index", "id", "type",
    "function": {"name", "arguments"}}]}` with `arguments` as JSON text, one delta a call.
    """

    def __init__(self, start: Callable[[Reader, Sink], Machine]) -> None:
        self._reader = Reader()
        self._deltas: list[dict[str, Json]] = []
        self._calls = 0
        self._machine: Machine | None = start(self._reader, self)
        self._pending: list[str] = []
        self._pending_size = 0

    def feed(self, chunk: str) -> list[dict[str, Json]]:
        """The deltas that this chunk completes."""
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        # A long unfinished call is looked at again only after it has grown by a share of its length: appending
        # a character at a time to a growing buffer would cost the square of it.
        if self._pending_size * 16 >= self._reader.unread - 4096:
            self._advance()
        return self._take()

    def finish(self) -> list[dict[str, Json]]:
        """Everything that was held back."""
        self._reader.end()
        self._advance()
        return self._take()

    def _advance(self) -> None:
        self._reader.feed("".join(self._pending))
        self._pending.clear()
        self._pending_size = 0
        if self._machine is not None:
            try:
                next(self._machine)
            except StopIteration:
                self._machine = None

    def _take(self) -> list[dict[str, Json]]:
        taken, self._deltas = self._deltas, []
        return taken

    def content(self, text: str) -> None:
        """See `Sink`."""
        if text:
            self._deltas.append({"content": text})

    def reasoning(self, text: str) -> None:
        """See `Sink`."""
        if text:
            self._deltas.append({"reasoning_content": text})

    def call(self, name: str, arguments: dict[str, Json], id: str | None = None) -> None:  # noqa: A002
        """See `Sink`."""
        function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
        entry = {"index": self._calls, "id": id or f"call_{self._calls}", "type": "function", "function": function}
        self._calls += 1
        self._deltas.append({"tool_calls": [entry]})


class _Collector:
    """The sink of a whole parse."""

    def __init__(self) -> None:
        self.contents: list[str] = []
        self.reasonings: list[str] = []
        self.calls: list[ToolCall] = []

    def content(self, text: str) -> None:
        self.contents.append(text)

    def reasoning(self, text: str) -> None:
        self.reasonings.append(text)

    def call(self, name: str, arguments: dict[str, Json], id: str | None = None) -> None:  # noqa: A002
        self.calls.append(ToolCall(name, arguments, id or f"call_{len(self.calls)}"))

    def message(self) -> Message:
        return Message(
            role="assistant",
            content="".join(self.contents) or None,
            reasoning_content="".join(self.reasonings) or None,
            tool_calls=tuple(self.calls),
        )


class Dialect(ABC):
    """One native format. Subclasses set `name`, `markers`, `turn_ends`, `traits` and write the four methods."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for `tcfuzz list dialects`: the models that speak it."""
    markers: ClassVar[tuple[Marker, ...]]
    turn_ends: ClassVar[tuple[str, ...]]
    """What may end an assistant's turn in a prompt, the longest first; not part of what is parsed."""
    thought_end: ClassVar[str] = ""
    """What the model says first where its prompt opened a thought and it thinks nothing (`</think>`)."""
    prose: ClassVar[str] = ""
    """Its own short sentence where the template has the vendor's prose in every prompt, with tools or without."""
    prose_parts: ClassVar[tuple[str, ...]] = ()
    """All such sentences, in their order, where the template has prose in several places."""
    traits: ClassVar[Traits]

    @abstractmethod
    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        """The prompt, as the canonical template writes it (tool prose aside).

        Raises OutOfDomain where the format has no way to write this conversation.
        """

    @abstractmethod
    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        """What the model says after the generation prompt for this reply, without its end-of-turn token.

        Raises OutOfDomain where the format has no way to say it. A text that does not parse back to the reply is
        out of the domain too: the round trip decides, not a list of rules.
        """

    @abstractmethod
    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        """The parser (see `tcfuzz.dialects.syntax.reader`)."""

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        """Why the *published template* cannot render this conversation rightly though the format could; else None.

        Such a case is left out where a published template is the target or the reference.
        """
        return None

    def variables(self, tools: Sequence[Tool]) -> Mapping[str, Json]:
        """What the published template takes beside messages, tools and options, in variables of its own."""
        return {}

    def result_bindings(self, prompt: str) -> list[tuple[str, str]] | None:
        """(name or id, text) of each tool result in a prompt, where the format binds results; else None."""
        return None

    # -- the same for all ----------------------------------------------------------------------------------------

    def parse(self, text: str, tools: Sequence[Tool] = ()) -> Message:
        """The message in a native text. Total: every text gives a message."""
        reader, sink = Reader(), _Collector()
        reader.feed(text)
        reader.end()
        for _ in self.machine(reader, sink, ToolIndex(tools)):
            raise AssertionError(f"{self.name}: the parser asks for more text after the end")
        return sink.message()

    def stream(self, tools: Sequence[Tool] = ()) -> Stream:
        """An incremental parser for one text."""
        index = ToolIndex(tools)
        return Stream(lambda read, out: self.machine(read, out, index))

    def normalise(self, message: Message) -> Message:
        """A message as two readings of one text are compared: declared trims applied, None for nothing."""
        content = message.content or ""
        if message.tool_calls and self.traits.content_with_call == "dropped":
            content = ""
        trim = self.traits.content_trim
        if trim == "outer" or (trim == "beside-call" and message.tool_calls):
            content = content.strip()
        reasoning = (message.reasoning_content or "").strip()
        return replace(message, content=content or None, reasoning_content=reasoning or None)

    def opened_by(self, prompt: str) -> str:
        """The beginning of a reply that stands in the prompt already (a thought that it opens); empty for none."""
        return ""

    def said_after(self, prompt: str, text: str) -> str:
        """What the model says after this prompt for a native text: without the beginning that the prompt has."""
        opened = self.opened_by(prompt)
        return text[len(opened) :] if text.startswith(opened) else self.thought_end + text

    def strip_turn_end(self, text: str) -> str:
        """A rendered reply without its end of turn."""
        for end in self.turn_ends:
            if text.endswith(end):
                return text[: -len(end)]
        return text

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The markers that are single tokens, each once, in order of declaration."""
        return tuple(dict.fromkeys(marker.text for marker in self.markers if marker.special))

    @property
    def turn_tokens(self) -> tuple[str, ...]:
        """The special tokens that open and close turns."""
        return tuple(dict.fromkeys(m.text for m in self.markers if m.special and m.role == "turn"))

    def marker(self, role: MarkerRole) -> str | None:
        """The first marker of a role."""
        return next((marker.text for marker in self.markers if marker.role == role), None)


def to_json(value: Json) -> str:
    """J(x): JSON as Hugging Face's `tojson` writes it: `", "`, `": "`, insertion order, nothing escaped needlessly.

    Raises OutOfDomain for what Python cannot write: too deep a nesting, integers of thousands of digits.
    """
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError) as error:
        raise OutOfDomain(f"no JSON text: {error}") from None


def like_thought(messages: Sequence[Message], tags: Sequence[str], *, hidden: bool, spaced: bool = False) -> str | None:
    """Why a last answer would be read as another: its thought is `hidden`, and its text begins as one does.

    spaced: one is read behind white space, too.
    """
    last = messages[-1] if messages else None
    if last is None or last.role != "assistant" or not last.reasoning_content or not hidden:
        return None
    text = (last.content or "").lstrip() if spaced else last.content or ""
    misleads = text.startswith(tuple(tags))
    return "content begins as reasoning does, behind reasoning that is not shown" if misleads else None


def like_header(messages: Sequence[Message], header: str) -> str | None:
    """Why a last answer would be read as another: it follows results without the header that it begins with."""
    if len(messages) < 2 or messages[-1].role != "assistant" or messages[-2].role != "tool":
        return None
    misleads = (messages[-1].content or "").startswith(header)
    return "content begins with the header that history leaves out behind results" if misleads else None


def refuse(reason: str | None) -> None:
    """Raise OutOfDomain if there is a reason to."""
    if reason is not None:
        raise OutOfDomain(reason)


def refuse_turn_end(text: str, ends: Sequence[str]) -> None:
    """Raise OutOfDomain if a reply ends as its turn does, for formats that leave the last turn in history open."""
    if text.endswith(tuple(ends)):
        raise OutOfDomain("ends as a turn does, which the last one in history does not")


def refuse_markers(text: str | None, markers: Iterable[str], where: str) -> None:
    """Raise OutOfDomain if a text holds one of the markers that would end it or begin something else."""
    for marker in markers:
        if text and marker in text:
            raise OutOfDomain(f"{where} holds {marker}")
