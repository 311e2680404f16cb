"""All that a target did with one case: each call made once and remembered, so that all the oracles share it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from tcfuzz.case import Case, Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.diff import message_difference
from tcfuzz.errors import CannotAsk, OutOfDomain, TargetFailure, TcfuzzError
from tcfuzz.neutral import neutral_twin
from tcfuzz.targets.base import (
    Constrains,
    Converses,
    Delta,
    Endpoints,
    Parses,
    Published,
    Renders,
    Streams,
    Target,
    Turn,
)

T = TypeVar("T")
ReferenceTemplate = Callable[[Sequence[Message], Sequence[Tool], bool, Mapping[str, Json]], str]
"""(messages, tools, add_generation_prompt, options) -> prompt, of a template given with --reference."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a target returned."""

    value: T


@dataclass(frozen=True, slots=True)
class Failed:
    """What it did instead: `kind` raised, hung, died, flooded or malformed; the error's type and text."""

    kind: str
    error: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.error}: {self.message}" if self.message else f"{self.kind}: {self.error}"


@dataclass(frozen=True, slots=True)
class Unasked:
    """It could not be asked; `reason` says why in a few words."""

    reason: str


Outcome = Answer[T] | Failed | Unasked


_OPENS_THOUGHT = re.compile(r"<[^<>/]*think[^<>/]*>\s*\Z|\[THINK\]\s*\Z", re.IGNORECASE)
WAVERINGS = 64
"""Renderings that show a random order of two things with near certainty: some show it once in eight times."""
PROBES = ("One.", "Two.")
"""Two plain replies that differ from their first character on."""


class Observation:
    """A case and what a target makes of it. Calls happen when an oracle asks for them.

    `thorough` asks the oracles for as many repetitions as a certain verdict needs (shrinking, replay) instead of
    the few that a campaign of thousands of cases can afford.
    """

    def __init__(
        self,
        case: Case,
        target: Target,
        *,
        fresh: Callable[[], Target] | None = None,
        reference_template: ReferenceTemplate | None = None,
        thorough: bool = False,
    ) -> None:
        self.case = case
        self.target = target
        self.thorough = thorough
        self.reference_template = reference_template
        self.calls = 0
        self._fresh = fresh
        self._memory: dict[Any, Any] = {}
        self._ahead: dict[Any, Future[Any]] = {}

    @property
    def atoms(self) -> tuple[str, ...]:
        """The tokens that a model's server never splits: the dialect's, and those that the target declares."""
        known = self.dialect.special_tokens if self.dialect else ()
        declared = self.translator.atoms if self.translator is not None else ()
        return tuple(dict.fromkeys((*known, *declared)))

    @property
    def dialect(self) -> Dialect | None:
        """The reference, or None."""
        return self.target.dialect

    # -- the target ------------------------------------------------------------------------------------------------

    @cached_property
    def translator(self) -> Converses | None:
        """The target where it knows what it answers, else None; asked once, for Python looks long at a protocol."""
        return self.target if isinstance(self.target, Converses) else None

    def can(self, *capabilities: str) -> bool:
        """Whether the target has these abilities."""
        return self.target.capabilities.issuperset(capabilities)

    def render(
        self,
        messages: Sequence[Message] | None = None,
        tools: Sequence[Tool] | None = None,
        *,
        generation_prompt: bool = True,
        arguments_as_string: bool = False,
    ) -> Outcome[str]:
        """The target's prompt for `messages` (the case's history if left out)."""
        messages = self.case.messages if messages is None else messages
        tools = self.case.tools if tools is None else tools
        key = ("render", tuple(map(id, messages)), tuple(map(id, tools)), generation_prompt, arguments_as_string)
        return self._once(
            key,
            lambda: self.render_again(
                messages, tools, generation_prompt=generation_prompt, arguments_as_string=arguments_as_string
            ),
            (messages, tools),
        )

    def render_again(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        generation_prompt: bool = True,
        arguments_as_string: bool = False,
        fresh: bool = False,
    ) -> Outcome[str]:
        """The same, really called once more; `fresh` in another instance of the target."""
        target = cast(Renders, self._instance(fresh))
        return self._call(
            lambda: target.render(
                messages,
                tools,
                add_generation_prompt=generation_prompt,
                arguments_as_string=arguments_as_string,
                options=self.case.options,
            )
        )

    def wavers(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        *,
        generation_prompt: bool = True,
    ) -> bool:
        """Whether the target renders the same input differently from time to time, asked before two prompts that
        differ are blamed on what differs in their input. `deterministic` reports it.
        """
        tools = self.case.tools if tools is None else tools
        first = self.render(messages, tools, generation_prompt=generation_prompt)
        again = (self.render_again(messages, tools, generation_prompt=generation_prompt) for _ in range(WAVERINGS))
        return any(
            not isinstance(first, Answer) or not isinstance(other, Answer) or other.value != first.value
            for other in again
        )

    def parse(self, text: str) -> Outcome[Message]:
        """The message that the target reads in a native text."""
        return self._once(("parse", text), lambda: self.parse_again(text))

    def parse_again(self, text: str, *, fresh: bool = False) -> Outcome[Message]:
        """The same, really called once more."""
        target = self._instance(fresh)
        if self.translator is not None:
            return self._call(lambda: cast(Converses, target).parse_in(self.turn, text))
        return self._call(lambda: cast(Parses, target).parse(text, self.case.tools))

    def stream(self, chunks: tuple[str, ...]) -> Outcome[list[list[Delta]]]:
        """The target's deltas for a text cut into these chunks, or as the target cuts it by itself."""
        chunks = self._as_cut(chunks)
        return self._once(self._stream_key(chunks), lambda: self._call(lambda: self._stream(chunks)))

    @staticmethod
    def _stream_key(chunks: tuple[str, ...]) -> Any:
        return ("stream", chunks)

    def _as_cut(self, chunks: tuple[str, ...]) -> tuple[str, ...]:
        return ("".join(chunks),) if self.translator is not None and self.translator.cuts else chunks

    def _stream(self, chunks: tuple[str, ...]) -> list[list[Delta]]:
        if self.translator is not None:
            return self.translator.stream_in(self.turn, chunks)
        return cast(Streams, self.target).stream(chunks, self.case.tools)

    def answers(self, chunks: tuple[str, ...]) -> Outcome[Mapping[str, Message]]:
        """What each interface of the target reports for a text cut into these chunks."""
        target, chunks = cast(Endpoints, self.target), self._as_cut(chunks)
        return self._once(("answers", chunks), lambda: self._call(lambda: target.answers(self.turn, chunks)))

    def admitted(self, text: str) -> Outcome[tuple[str, str]]:
        """What the target's model means to say for a text, and what the target's grammar makes of it."""
        target = cast(Constrains, self.target)
        return self._once(("admitted", text), lambda: self._call(lambda: target.admitted(self.turn, text)))

    def may_come(self, text: str) -> bool:
        """Whether the target's model may begin so, for all that its grammar forbids; False where it cannot be asked."""
        if not self.can("grammar"):
            return True
        outcome = self.admitted(text)
        return isinstance(outcome, Answer) and outcome.value[1].startswith(outcome.value[0])

    def goes_on(self, text: str) -> bool:
        """Whether the target's grammar lets no answer end with this text: it has been cut off."""
        outcome = self.admitted(text) if self.can("grammar") else None
        return isinstance(outcome, Answer) and len(outcome.value[1]) > len(outcome.value[0]) and self.may_come(text)

    @cached_property
    def published(self) -> Observation | None:
        """What the target's template makes of the case by itself; None where the target renders no such template."""
        if not isinstance(self.target, Published):
            return None
        return Observation(self.case, self.target.published(), thorough=self.thorough)

    def prepare(self, workers: Executor) -> None:
        """Begin with the calls that take long and are sure to be asked for; `workers` make them."""
        text = self.case.text if self.case.reply is None else self.emitted
        if text is not None:
            self._begin(workers, self._stream_key((text,)), lambda: self._call(lambda: self._stream((text,))))
            self._begin(workers, ("parse", text), lambda: self.parse_again(text))
        if self.case.reply is not None:
            messages, tools = self.with_reply, self.case.tools
            key = ("render", tuple(map(id, messages)), tuple(map(id, tools)), False, False)
            self._begin(workers, key, lambda: self.render_again(messages, tools, generation_prompt=False))

    def _begin(self, workers: Executor, key: Any, function: Callable[[], Any]) -> None:
        self._ahead[key] = workers.submit(function)

    def spares(self, share: int) -> bool:
        """Whether a check of many calls is left out of this case: of costly targets, one case of `share` has it."""
        costly = self.translator is not None and self.translator.costly
        return costly and not self.thorough and sum(self.case.chunks) % share != 0

    @cached_property
    def turn(self) -> Turn:
        """What the reply answers."""
        prompt = self.render() if self.can("render") and self.case.messages else None
        text = prompt.value if isinstance(prompt, Answer) else None
        return Turn(self.case.messages, self.case.tools, self.case.options, text)

    @cached_property
    def options(self) -> Mapping[str, Json]:
        """The template options as the reference is to take them."""
        options = self.case.options
        return self.translator.effective(options) if self.translator is not None else options

    def _instance(self, fresh: bool) -> Target:
        return self._fresh() if fresh and self._fresh is not None else self.target

    def _call(self, function: Callable[[], T]) -> Outcome[T]:
        self.calls += 1
        try:
            return Answer(function())
        except TargetFailure as failure:
            return Failed(failure.kind, failure.error, failure.message)
        except CannotAsk as reason:
            return Unasked(str(reason))
        except TcfuzzError:
            raise
        except RecursionError:
            return Failed("raised", "RecursionError", "")
        except Exception as error:  # noqa: BLE001 - whatever the translator raises is what it did
            return Failed("raised", type(error).__name__, str(error))

    def _once(self, key: Any, function: Callable[[], T], keep: Any = None) -> T:
        if key not in self._memory:
            # The arguments are kept so that their ids, which are the key, stay theirs.
            begun = self._ahead.pop(key, None)
            self._memory[key] = (function() if begun is None else begun.result(), keep)
        return cast(T, self._memory[key][0])

    # -- the reference -----------------------------------------------------------------------------------------------

    @cached_property
    def emitted(self) -> str | None:
        """The reply's native text by the reference, or as the case pins it; None where there is none."""
        if self.case.reply is None:
            return None
        if self.case.text is not None:
            return self.case.text
        try:
            return self.dialect.emit(self.case.reply, self.case.tools) if self.dialect else None
        except OutOfDomain:
            return None

    @cached_property
    def native(self) -> str | None:
        """The reply's native text: the reference's or, where there is none, as the target itself renders it."""
        if self.dialect is not None or self.case.reply is None or not self.can("render"):
            return self.emitted if self.dialect is None or self.in_domain else None
        outcome = self.rendered_reply
        return outcome.value if isinstance(outcome, Answer) else None

    @cached_property
    def reference(self) -> Message | None:
        """What the reference reads in `emitted`, normalised."""
        if self.dialect is None or self.emitted is None:
            return None
        return self.dialect.normalise(self.dialect.parse(self.emitted, self.case.tools))

    @cached_property
    def reply(self) -> Message | None:
        """The case's reply, normalised by the dialect's declared trims."""
        return None if self.case.reply is None else self.normalised(self.case.reply)

    def normalised(self, message: Message) -> Message:
        """A message up to the dialect's declared trims; where there is none, up to all white space around texts."""
        if self.dialect is not None:
            return self.dialect.normalise(message)
        content, reasoning = ((text and text.strip()) or None for text in (message.content, message.reasoning_content))
        return replace(message, content=content, reasoning_content=reasoning)

    @cached_property
    def in_domain(self) -> bool:
        """Whether the format can carry the reply: the reference reads back what it says."""
        return (
            self.reply is not None
            and self.reference is not None
            and message_difference(self.reply, self.reference) is None
            and self.has_a_way
        )

    @property
    def has_a_way(self) -> bool:
        """Whether the target's interface has a way to carry the case's reply."""
        return not (self.translator is not None and self.translator.cannot(self.case))

    @cached_property
    def may_be_said(self) -> bool:
        """Whether format and target can carry the reply, as far as it is known: without a dialect, the target alone."""
        return self.has_a_way if self.dialect is None else self.in_domain

    @cached_property
    def history_in_domain(self) -> bool:
        """Whether the format can carry every call of the history, and the reference renders all of it."""
        return self.dialect is None or (
            self.reference_prompt() is not None
            and all(self._carries(m) for m in self.case.messages if m.role == "assistant" and m.tool_calls)
        )

    def _carries(self, message: Message) -> bool:
        assert self.dialect is not None
        try:
            text = self.dialect.emit(message, self.case.tools)
        except OutOfDomain:
            return False
        back = self.dialect.normalise(self.dialect.parse(text, self.case.tools))
        return message_difference(self.dialect.normalise(message), back) is None

    @cached_property
    def template_limit(self) -> str | None:
        """Why a published template cannot render this case rightly; asked where one is the target or its model."""
        follows = self.target.is_template or (self.translator is not None and self.translator.follows_template)
        if self.dialect is None or not (follows or self.reference_template):
            return None
        return self.dialect.template_limit(tuple(self.case.conversation()), self.case.tools, self.options)

    def reference_prompt(
        self,
        messages: Sequence[Message] | None = None,
        tools: Sequence[Tool] | None = None,
        *,
        generation_prompt: bool = True,
    ) -> str | None:
        """The reference's prompt; None where the format cannot write the conversation."""
        messages = self.case.messages if messages is None else messages
        tools = self.case.tools if tools is None else tools
        key = ("reference", tuple(map(id, messages)), tuple(map(id, tools)), generation_prompt)
        return self._once(key, lambda: self._reference_prompt(messages, tools, generation_prompt), (messages, tools))

    def _reference_prompt(
        self, messages: Sequence[Message], tools: Sequence[Tool], generation_prompt: bool
    ) -> str | None:
        if self.dialect is None:
            return None
        try:
            return self.dialect.render(messages, tools, add_generation_prompt=generation_prompt, **dict(self.options))
        except OutOfDomain:
            return None

    @cached_property
    def with_reply(self) -> tuple[Message, ...]:
        """The history with the reply appended."""
        return tuple(self.case.conversation())

    @cached_property
    def rendered_reply(self) -> Outcome[str] | None:
        """What the target's prompt gains when the reply is appended, its end of turn stripped.

        None where the reply's place in the prompt cannot be told.
        """
        before = self.render()
        after = self.render(self.with_reply, generation_prompt=False)
        if not isinstance(before, Answer):
            return before
        if not isinstance(after, Answer):
            return after
        opened = "" if self.dialect is None else self.dialect.opened_by(before.value)
        for prompt, beginning in ((before.value, opened), (before.value.removesuffix(opened), "")):
            # A thought that the prompt opens may be shown otherwise, or not at all, once it is history.
            if after.value.startswith(prompt):
                return self._stripped(beginning + after.value[len(prompt) :])
        if self._differs_early(before.value, after.value) and self.wavers(self.case.messages):
            return None  # what stands before the reply comes out differently each time
        if self.dialect is None:
            return None  # what the prompt opens for the model, and history does not show, nobody can tell
        start = self._reply_start(after.value)
        return None if start is None else self._stripped(after.value[start:])

    def _differs_early(self, before: str, after: str) -> bool:
        """Whether two prompts differ before the last text of the history already."""
        last = next((text for m in reversed(self.case.messages) if (text := (m.content or "").strip())), "")
        return common_prefix(before, after) < before.rfind(last)

    def _stripped(self, gained: str) -> Outcome[str] | None:
        """What the prompt gained without its end of turn."""
        if self.dialect is None:
            return self._stripped_unknown(gained)
        return Answer(self.dialect.strip_turn_end(gained))

    def _stripped_unknown(self, gained: str) -> Outcome[str] | None:
        """The same without a reference; None where the gain is no one reply of a model, as far as that can be told."""
        before, end = self.render(), self._turn_end
        if end is None or not isinstance(before, Answer) or _OPENS_THOUGHT.search(before.value):
            return None  # history shows no reply that goes on with a thought
        text = gained.removesuffix(end)
        return None if end.strip() and end.strip() in text else Answer(text)

    def _reply_start(self, after: str) -> int | None:
        """Where the reply begins when the prompt before it changed, too: there two other replies differ first."""
        if self._probes is None:
            return None
        first, second = self._probes
        start = common_prefix(first, second)
        if after[:start] != first[:start]:
            return None
        return start - (len(self.text_opening) if first[:start].endswith(self.text_opening) else 0)

    @cached_property
    def text_opening(self) -> str:
        """What stands before the text in a plain reply's native form: two replies have it in common."""
        if self.dialect is None:
            return ""
        try:
            return self.dialect.emit(Message("assistant", PROBES[0]), self.case.tools).partition(PROBES[0])[0]
        except OutOfDomain:
            return ""

    @cached_property
    def _turn_end(self) -> str | None:
        """What the target writes behind a reply, read off two plain ones."""
        if self._probes is None:
            return None
        ends = {prompt.rpartition(text)[2] for prompt, text in zip(self._probes, PROBES, strict=True)}
        return ends.pop() if len(ends) == 1 else None

    @cached_property
    def _probes(self) -> tuple[str, str] | None:
        """The prompts with two other, plain replies; None where the target does not render them."""
        outcomes = [
            self.render((*self.case.messages, Message("assistant", text)), generation_prompt=False) for text in PROBES
        ]
        prompts = [outcome.value for outcome in outcomes if isinstance(outcome, Answer)]
        return (prompts[0], prompts[1]) if len(prompts) == 2 else None

    @cached_property
    def twin(self) -> Case:
        """The neutral twin: the same conversation with plain words where a string holds a marker."""
        return neutral_twin(self.case, self.dialect.special_tokens if self.dialect else ())


def common_prefix(left: str, right: str) -> int:
    """The length of the longest common prefix."""
    limit = min(len(left), len(right))
    return next((i for i in range(limit) if left[i] != right[i]), limit)
