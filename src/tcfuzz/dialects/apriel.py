"""`apriel-1.5` and `apriel-1.6`: a JSON list of calls in a tag, tools as Python writes dictionaries.

Source: the chat templates of Apriel-1.5-15b-Thinker (Unsloth's, sha256 fae87682d355…) and of Apriel-1.6-15b-Thinker
("fixed", 2f5ce4b3c1e0…). No tokenizer is at hand: Apriel 1.5's end of a text is taken to be `</s>`.
Ids stand in history alone: no model says them, and the last message of a conversation is shown as one that the model
has just said. Apriel 1.5 has no place for reasoning but the text; Apriel 1.6 ends its thought with a word in brackets,
the prompt begins it, and history shows that of the last message only, without its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect, Marker, ToolIndex, Traits, refuse_markers, refuse_turn_end, to_json
from tcfuzz.dialects.syntax.calls import Call, calls_or_text, list_of_calls
from tcfuzz.dialects.syntax.json_call import as_call
from tcfuzz.dialects.syntax.reader import Machine, Markers, Reader, Sink, Step
from tcfuzz.errors import OutOfDomain

BOS, EOS = "<s>", "</s>"
CALLS_OPEN, CALLS_CLOSE = "<tool_calls>", "</tool_calls>"
TOOLS_OPEN, TOOLS_CLOSE = "<available_tools>", "</available_tools>"
PREAMBLE = "You are an assistant."
TOOL_PREAMBLE = "Tools, one dictionary each. Answer with a list of calls to call some."
OUTPUT_FORMAT = "Write calls as JSON."
THOUGHT = "Here are my reasoning steps:\n"
FINAL = "[BEGIN FINAL RESPONSE]"

_CALL_STARTS = Markers([CALLS_OPEN, "\n" + CALLS_OPEN])
_FINALS = (f"\n{FINAL}\n", f"\n{FINAL}", f"{FINAL}\n", FINAL)
_THOUGHT_ENDS = Markers([*_FINALS, *_CALL_STARTS.texts])


def python_text(tool: Tool) -> str:
    """A declaration as Python writes it."""
    try:
        return str(tool.to_openai())
    except (RecursionError, ValueError) as error:
        raise OutOfDomain(f"no Python text: {error}") from None


def call_list(calls: Sequence[ToolCall], *, ids: bool) -> str:
    """The calls of a turn; empty for none. Names and ids are not escaped: the templates write them raw."""
    items = ", ".join(
        f'{{"name": "{call.name}", "arguments": {to_json(dict(call.arguments))}'
        + (f', "id": "{call.id}"' if ids and call.id is not None else "")
        + "}"
        for call in calls
    )
    return f"\n{CALLS_OPEN}[{items}]{CALLS_CLOSE}" if calls else ""


def _shown(messages: Sequence[Message], index: int) -> str:
    """Text and calls of a message in history."""
    message = messages[index]
    return (message.content or "") + call_list(message.tool_calls, ids=index < len(messages) - 1)


def _opens(messages: Sequence[Message], wanted: bool) -> bool:
    """Whether a generation prompt follows: not behind an assistant's message, and not where there is none."""
    return wanted and bool(messages) and messages[-1].role != "assistant"


class Apriel15(Dialect):
    """Apriel 1.5."""

    name = "apriel-1.5"
    summary = "Apriel 1.5 Thinker: a JSON list of calls in a tag"
    markers = (
        Marker(BOS, "bos"),
        Marker(EOS, "stop"),
        *(Marker(f"<|{role}|>", "turn", special=False) for role in ("system", "user", "assistant", "end")),
        Marker("<|tool_result|>", "result-open", special=False),
        Marker(CALLS_OPEN, "call-open", special=False),
        Marker(CALLS_CLOSE, "call-close", special=False),
        Marker(TOOLS_OPEN, "tools-open", special=False),
        Marker(TOOLS_CLOSE, "tools-close", special=False),
    )
    turn_ends: ClassVar[tuple[str, ...]] = (f"\n<|end|>\n{EOS}", "\n<|end|>\n", "\n<|end|>")
    prose = PREAMBLE
    traits = Traits(kind="json", string_arguments="encoded-twice", developer=False, prefix_stable=False)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        directed = any(message.role == "system" for message in messages)
        listed = f"{TOOL_PREAMBLE}\n{TOOLS_OPEN}\n{''.join(python_text(t) + chr(10) for t in tools)}{TOOLS_CLOSE}"
        parts = [BOS]
        if tools and not (messages and messages[0].role == "system"):
            parts.append(_turn("system", f"{PREAMBLE}{listed}\n{OUTPUT_FORMAT}"))
        if not directed:
            parts.append(_turn("system", PREAMBLE))
        for index, message in enumerate(messages):
            if message.role == "system":
                parts.append(_turn("system", PREAMBLE + (message.content or "") + (f"\n{listed}" if tools else "")))
            elif message.role == "assistant":
                parts.append(_turn("assistant", _shown(messages, index)) + EOS)
            elif message.role in ("user", "tool"):
                parts.append(_turn("user" if message.role == "user" else "tool_result", message.content or ""))
        return "".join(parts) + ("<|assistant|>\n" if _opens(messages, add_generation_prompt) else "")

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        return (reply.content or "") + call_list(reply.tool_calls, ids=False)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        while (start := (yield from read.text_until(_CALL_STARTS, out.content))) is not None:
            read.anchor(start)
            yield from calls_or_text(read, out, list_of_calls(read, CALLS_CLOSE, as_call))

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if not messages:
            return "no message raises"
        if any(call.id is None for message in messages[:-1] for call in message.tool_calls):
            return "raises at a call without an id"
        if any(message.content is None and message.role == "tool" for message in messages):
            return "a result of null raises"
        return _shared_limit(messages)


def _turn(role: str, text: str) -> str:
    return f"<|{role}|>\n{text}\n<|end|>\n"


def _shared_limit(messages: Sequence[Message]) -> str | None:
    if any(message.role == "developer" for message in messages):
        return "drops the developer message"
    if any(message.content is None and message.role == "user" for message in messages):
        return "a user's null content raises"
    return None


class Apriel16(Apriel15):
    """Apriel 1.6."""

    name = "apriel-1.6"
    summary = "Apriel 1.6 Thinker: as Apriel 1.5, a thought that the prompt begins"
    markers = (
        Marker(BOS, "bos"),
        *(Marker(f"<|begin_{role}|>", "turn", special=False) for role in ("system", "user", "assistant")),
        Marker("<|end|>", "turn"),
        Marker("<|begin_tool_result|>", "result-open", special=False),
        Marker(CALLS_OPEN, "call-open"),
        Marker(CALLS_CLOSE, "call-close"),
        Marker(TOOLS_OPEN, "tools-open", special=False),
        Marker(TOOLS_CLOSE, "tools-close", special=False),
        Marker(THOUGHT, "reasoning-open", special=False),
        Marker(FINAL, "reasoning-close"),
    )
    turn_ends = ("\n<|end|>\n", "\n<|end|>")
    thought_end = f"\n{FINAL}\n"
    traits = Traits(
        kind="json",
        reasoning=True,
        string_arguments="encoded-twice",
        developer=False,
        prefix_stable=False,
        prompt_kept=False,  # history shows a thought without the words that the prompt begins it with
        options={"training_prompt": (False, True)},
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        parts = [_system(None, tools)] if messages and messages[0].role != "system" else []
        for index, message in enumerate(messages):
            if message.role == "system":
                parts.append(_system(message.content or "", tools))
            elif message.role == "assistant":
                last = index == len(messages) - 1
                thought = _thought(message) if last else ""
                end = "" if last and not options.get("training_prompt") else "\n<|end|>\n"
                parts.append(f"\n<|begin_assistant|>\n{thought}{_shown(messages, index)}{end}")
            elif message.role == "user":
                parts.append(f"<|begin_user|>\n{message.content or ''}")
            elif message.role == "tool":
                parts.append(f"<|begin_tool_result|>\n{message.content or ''}\n\n\n")
        return "".join(parts) + (f"\n<|begin_assistant|>\n{THOUGHT}" if _opens(messages, add_generation_prompt) else "")

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        refuse_markers(reply.reasoning_content, [FINAL, THOUGHT.rstrip()], "reasoning")
        if _like_thought(reply):
            raise OutOfDomain("content has the words around a thought")
        thought = _thought(reply)
        text = (THOUGHT + thought if thought else "") + super().emit(reply, tools)
        refuse_turn_end(text, self.turn_ends)
        return text

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        """A thought, then the rest. One that does not begin as thoughts do is known by its end only."""
        held: list[str] = []
        opened = yield from read.literal(THOUGHT)
        ended, calls = yield from _read_thought(read, out.reasoning if opened else held.append)
        (out.reasoning if ended else out.content)("".join(held))
        for call in calls:
            out.call(*call)
        yield from super().machine(read, out, tools)

    def normalise(self, message: Message) -> Message:
        """Without the words that the prompt begins a thought with: no source says whether they are a part of it."""
        plain = super().normalise(message)
        thought = (plain.reasoning_content or "").removeprefix(THOUGHT.rstrip()).strip()
        return replace(plain, reasoning_content=thought or None)

    def opened_by(self, prompt: str) -> str:
        return THOUGHT if prompt.endswith(f"\n<|begin_assistant|>\n{THOUGHT}") else ""

    def said_after(self, prompt: str, text: str) -> str:
        # History shows a thought without the words that the prompt begins it with: those of the prompt will do.
        if not text.startswith(THOUGHT) and self.parse(text).reasoning_content:
            return text
        return super().said_after(prompt, text)

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if any(m.role == "assistant" and FINAL in (m.content or "") for m in messages[:-1]):
            return "cuts an earlier text before the words that end a thought"
        return _shared_limit(messages)


def _thought(message: Message) -> str:
    """The reasoning up to its end."""
    return f"{message.reasoning_content}\n{FINAL}\n" if message.reasoning_content else ""


def _like_thought(message: Message) -> bool:
    """Whether a text is taken for a thought where none comes before it."""
    text = message.content or ""
    return not (message.reasoning_content or "").strip() and (
        FINAL in text or text.lstrip().startswith(THOUGHT.rstrip())
    )


def _system(text: str | None, tools: Sequence[Tool]) -> str:
    """A system turn; `text` None for the one that a conversation without a system message begins with."""
    blocks = [PREAMBLE, *([] if text is None else [text])]
    if tools:
        listed = "".join(map(python_text, tools))
        indent = " " * 8
        blocks.append(f"{TOOL_PREAMBLE}\n{indent}{TOOLS_OPEN}\n{listed}{indent}\n{indent}{TOOLS_CLOSE}.")
    return f"{BOS}<|begin_system|>\n" + "".join(f"{block}\n" for block in blocks)


def _read_thought(read: Reader, say: Callable[[str], None]) -> Step[tuple[bool, list[Call]]]:
    """Whether a thought comes to its proper end, and the calls that end it otherwise."""
    while (marker := (yield from read.text_until(_THOUGHT_ENDS, say))) is not None:
        if marker in _FINALS:
            return True, []
        read.anchor(marker)
        calls = yield from list_of_calls(read, CALLS_CLOSE, as_call)
        text = read.raw()
        if calls is not None:
            return False, calls
        say(text)
    return False, []
