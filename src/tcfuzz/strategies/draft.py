"""A case in the making: the plain conversation that features change before it is frozen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tcfuzz.case import Case, Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect, Traits
from tcfuzz.strategies.tape import Tape
from tcfuzz.strategies.words import Words

Size = Literal["small", "medium", "large"]
_SIZES: tuple[Size, ...] = ("small", "medium", "large")
_ONLY_ARGUMENTS = ("value:", "key:", "text:looks-like", "text:empty")
_ARGUMENTS = ("value:", "key:", "text:", "marker:", "schema:", "name:")
NO_TRAITS = Traits(kind="json")
"""What is assumed of a target without a reference dialect: the most permissive of formats."""


@dataclass(eq=False, slots=True)
class Text:
    """A string of the case that features may change. `touched`: one has."""

    value: str
    touched: bool = False

    def put(self, value: str, *, alone: bool = False) -> None:
        """Set a nasty text; on one that is there already it is appended, unless it must stand `alone`."""
        self.value = self.value + value if self.touched and not alone else value
        self.touched = True


@dataclass(eq=False, slots=True)
class Param:
    """One argument of a tool: its key, its schema, and how a value that satisfies the schema is made."""

    key: str
    schema: dict[str, Json]
    make: Callable[[], Json]
    plain: bool = False
    declared: bool = True
    required: bool = True


@dataclass(eq=False, slots=True)
class ToolDraft:
    """A tool; `extra` are further keywords of its parameter schema, `imported` the user's own definition."""

    name: str
    description: str | None
    params: list[Param] = field(default_factory=list)
    extra: dict[str, Json] = field(default_factory=dict)
    bare: bool = False
    null_parameters: bool = False
    optional_first: bool = False
    turned: bool = False
    imported: Tool | None = None

    def parameters(self) -> dict[str, Json] | None:
        """The JSON schema of the arguments."""
        if self.null_parameters:
            return None
        declared = [param for param in self.params if param.declared][:: -1 if self.turned else 1]
        schema: dict[str, Json] = {"type": "object", "properties": {p.key: p.schema for p in declared}}
        required = [param.key for param in declared if param.required]
        if required:
            schema["required"] = required
        return schema | self.extra

    def freeze(self) -> Tool:
        """The finished tool."""
        return self.imported or Tool(self.name, self.description, self.parameters())


@dataclass(eq=False, slots=True)
class CallDraft:
    """A call; `values` by parameter for generated tools, `imported` the whole arguments for the user's own."""

    tool: ToolDraft
    bare: bool = False
    values: dict[Param, Json] | None = None
    imported: dict[str, Json] | None = None

    def arguments(self) -> dict[str, Json]:
        """The arguments in the order of the tool's parameters."""
        if self.imported is not None:
            return self.imported
        values = self.values or {}
        return {param.key: values[param] for param in self.tool.params if param in values}


@dataclass(eq=False, slots=True)
class Step:
    """An assistant message with calls, and their results; `order` is the order of the results."""

    calls: list[CallDraft]
    results: list[Text]
    content: Text | None
    reasoning: Text | None = None
    reversed: bool = False


@dataclass(eq=False, slots=True)
class Turn:
    """What users say, the tool steps, and the assistant's answer (None: the reply, or nothing yet)."""

    users: list[Text]
    system: Text | None = None
    steps: list[Step] = field(default_factory=list)
    answer: Text | None = None
    reasoning: Text | None = None


class ArgumentSource(Protocol):
    """Where the arguments of a user's own tool come from."""

    def arguments(self, tool: Tool) -> dict[str, Json]:
        """Arguments that satisfy the tool's schema."""

    def slots(self, tool: Tool, arguments: dict[str, Json]) -> Iterator[tuple[dict[str, Json] | list[Json], str | int]]:
        """Where in the arguments any string would do: (container, key)."""


class Draft:
    """The plain case: one user message, one tool with one or two string parameters, a reply that calls it.

    Features change it in stages: first its plan (tools, calls, turns), then parameters, then, once the calls have got
    their arguments (`seal`), the texts.
    """

    def __init__(
        self,
        tape: Tape,
        dialect: Dialect | None,
        *,
        size: Size,
        active: frozenset[str],
        own: Sequence[Tool] = (),
        source: ArgumentSource | None = None,
    ) -> None:
        self.dialect = dialect
        self.traits = dialect.traits if dialect is not None else NO_TRAITS
        self.size: Size = size
        self.active = active
        self.words = Words(tape.byte())
        self._second_parameter = tape.chance(1, 2)
        self._own = list(own)
        self._source = source
        self._sealed = False
        self._imported: list[tuple[CallDraft, Tool]] = []
        self.arguments: list[Text] = []
        self.has_tools = self.traits.max_calls != 0
        self.tools: list[ToolDraft] = []
        self.turns = [Turn([self.text()])]
        self.calls: list[CallDraft] = []
        self.content: Text | None = None
        self.reasoning: Text | None = None
        self.null_content = False
        self.system: Text | None = None
        self.developer: Text | None = None
        self.options: dict[str, Json] = {}
        self.sort = True
        self.call_id: Callable[[str, int], str] = self._call_id
        if self._own:
            self._pick_own(tape)
        elif self.has_tools:
            self.calls.append(CallDraft(self.new_tool()))
        if not self.has_tools:
            self.content = self.text()

    # -- what features ask for -----------------------------------------------------------------------------------

    def scale(self, small: int, medium: int, large: int) -> int:
        """A number by the size of the profile."""
        return (small, medium, large)[_SIZES.index(self.size)]

    def text(self) -> Text:
        """A new plain text of two words."""
        return Text(self.words.phrase())

    def argument(self) -> Text:
        """A new plain string for an argument, one word; text features may change it."""
        text = Text(self.words.next())
        self.arguments.append(text)
        return text

    def new_tool(self) -> ToolDraft:
        """Another tool, its parameters as in the plain case; with the user's own tools, one of those."""
        if self._own:
            return next((t for t in self.tools if all(c.tool is not t for c in self.all_calls())), self.tools[0])
        tool = ToolDraft(self.words.next(), self.words.phrase())
        self.tools.append(tool)
        for _ in range(2 if self._second_parameter else 1):
            self.add_string(tool)
        return tool

    def add_string(self, tool: ToolDraft) -> Param:
        """A plain string parameter more."""
        schema = {"type": "string", "description": self.words.phrase()}
        return self.add(tool, Param(self.words.next(), schema, self.argument, plain=True))

    def add(self, tool: ToolDraft, param: Param) -> Param:
        """A parameter more; calls that are complete already get a value for it."""
        tool.params.append(param)
        for call in self.all_calls() if self._sealed else ():
            if call.tool is tool and call.values is not None and not call.bare:
                call.values[param] = param.make()
        return param

    def place(self, tape: Tape, schema: dict[str, Json], make: Callable[[], Json]) -> Param:
        """A parameter of this schema in a called tool: in the place of a plain one, or one more."""
        tool = self.target_tool(tape)
        plain = [param for param in tool.params if param.plain]
        if plain and tape.chance(1, 2) is False:
            param = plain[0]
            param.schema, param.make, param.plain = schema, make, False
            return param
        return self.add(tool, Param(self.words.next(), schema, make))

    def target_tool(self, tape: Tape) -> ToolDraft:
        """A tool that is called, mostly the reply's first."""
        called = list(dict.fromkeys(call.tool for call in self.all_calls() if not call.bare and not call.tool.bare))
        if not called:
            return next((tool for tool in self.tools if not tool.bare), None) or self.new_tool()
        return called[0] if not tape.chance(1, 4) else tape.pick(called)

    def other_tool(self) -> ToolDraft:
        """A tool that the reply does not call yet."""
        used = [call.tool for call in self.calls]
        return next((tool for tool in self.tools if tool not in used), None) or self.new_tool()

    def wants_arguments(self, *, only: bool = False) -> bool:
        """Whether other features are switched on that go into arguments (`only`: and nowhere else)."""
        prefixes = _ONLY_ARGUMENTS if only else _ARGUMENTS
        return any(feature.startswith(prefixes) and feature != "schema:no-parameters" for feature in self.active)

    def can_call_more(self) -> bool:
        """Whether the format allows another call in the reply."""
        return self.traits.max_calls is None or len(self.calls) < self.traits.max_calls

    def add_call(self, calls: list[CallDraft], tool: ToolDraft) -> CallDraft:
        """A call more in `calls`."""
        call = CallDraft(tool, bare=tool.bare)
        calls.append(call)
        if self._sealed:
            self._give_arguments(call)
        return call

    def all_calls(self) -> Iterator[CallDraft]:
        """The reply's calls, then those of the history."""
        yield from self.calls
        for turn in self.turns:
            for step in turn.steps:
                yield from step.calls

    def new_turn(self) -> Turn:
        """A turn before the last one, with an answer: user and assistant stay in turns."""
        turn = Turn([self.text()], answer=self.text())
        self.turns.insert(len(self.turns) - 1, turn)
        return turn

    def add_step(self, turn: Turn | None = None) -> Step:
        """A call and its result, in `turn` or in a new one before the last."""
        turn = turn or self.new_turn()
        calls: list[CallDraft] = []
        callable_tools = [tool for tool in self.tools if not tool.bare] or [self.new_tool()]
        self.add_call(calls, callable_tools[0])
        step = Step(calls, [self.text()], Text(""))
        turn.steps.append(step)
        return step

    def steps(self) -> list[Step]:
        """All the tool steps of the history."""
        return [step for turn in self.turns for step in turn.steps]

    def step(self) -> Step:
        """The first tool step, made if there is none."""
        return next(iter(self.steps()), None) or self.add_step()

    def answered(self) -> Turn:
        """The first turn with an answer, made if there is none."""
        return next((turn for turn in self.turns if turn.answer is not None), None) or self.new_turn()

    # -- stages --------------------------------------------------------------------------------------------------

    def seal(self) -> None:
        """The plan is complete: calls get their arguments."""
        self._sealed = True
        for call in self.all_calls():
            self._give_arguments(call)

    def freeze(self, tape: Tape) -> Case:
        """The finished case; `tape` decides the chunks."""
        bare = {call.tool for call in self.all_calls() if call.bare}
        for tool in self.tools:
            self._order(tool, all_optional=tool in bare)
        sizes = tuple(1 + tape.below(9) for _ in range(1 + tape.below(4)))
        ids = _Ids(self.call_id)
        return Case(
            tools=tuple(tool.freeze() for tool in self.tools),
            messages=tuple(self._messages(ids)),
            reply=self._reply(ids),
            chunks=sizes,
            options=dict(self.options),
        )

    def _give_arguments(self, call: CallDraft) -> None:
        tool = call.tool
        if tool.imported is not None and self._source is not None:
            call.imported = self._source.arguments(tool.imported)
            for container, key in self._source.slots(tool.imported, call.imported):
                text = self.argument()
                container[key] = text  # type: ignore[index]
            self._imported.append((call, tool.imported))
        else:
            call.values = {} if call.bare else {param: param.make() for param in tool.params}

    def _pick_own(self, tape: Tape) -> None:
        self.tools = [ToolDraft(tool.name, tool.description, imported=tool) for tool in self._own]
        if self.has_tools:
            self.calls.append(CallDraft(tape.pick(self.tools)))

    def _order(self, tool: ToolDraft, *, all_optional: bool) -> None:
        tool.params.sort(key=lambda param: param.key.lower(), reverse=not self.sort)
        if tool.optional_first and len(tool.params) > 1:
            tool.params[0].required = False
        for param in tool.params if all_optional else ():
            param.required = False

    def _call_id(self, name: str, index: int) -> str:
        pattern = self.traits.id_pattern
        candidates = (f"call_{index}", f"call{index:05d}", f"functions.{name}:{index}")
        return next((c for c in candidates if pattern is None or re.fullmatch(pattern, c)), candidates[0])

    def _messages(self, ids: _Ids) -> Iterator[Message]:
        if self.system is not None:
            yield Message("system", self.system.value)
        if self.developer is not None:
            yield Message("developer", self.developer.value)
        for turn in self.turns:
            if turn.system is not None:
                yield Message("system", turn.system.value)
            yield from (Message("user", text.value) for text in turn.users)
            for step in turn.steps:
                yield from self._step(step, ids)
            if turn.answer is not None:
                yield Message("assistant", turn.answer.value, _value(turn.reasoning))

    def _step(self, step: Step, ids: _Ids) -> Iterator[Message]:
        calls = tuple(self._call(call, ids) for call in step.calls)
        yield Message("assistant", _value(step.content), _value(step.reasoning), calls)
        answers = list(zip(calls, step.results, strict=True))
        for call, result in reversed(answers) if step.reversed else answers:
            yield Message("tool", result.value, tool_call_id=call.id, name=call.name)

    def _reply(self, ids: _Ids) -> Message:
        calls = tuple(self._call(call, ids) for call in self.calls)
        content = _value(self.content) or (None if self.null_content else "")
        return Message("assistant", content, _value(self.reasoning), calls)

    def _call(self, call: CallDraft, ids: _Ids) -> ToolCall:
        arguments = _resolve(call.arguments(), None if call.imported is not None else self.sort)
        return ToolCall(call.tool.name, arguments, ids.next(call.tool.name))


class _Ids:
    """Ids of calls, each once in a case."""

    def __init__(self, make: Callable[[str, int], str]) -> None:
        self._make = make
        self._count = 0

    def next(self, name: str) -> str:
        self._count += 1
        return self._make(name, self._count - 1)


def _value(text: Text | None) -> str | None:
    return None if text is None else text.value


def _resolve(value: Json, sort: bool | None) -> Json:
    """A value with its texts as strings and its keys in order (or in the opposite; None: as they are)."""
    if isinstance(value, Text):
        return value.value
    if isinstance(value, Mapping):
        keys = list(value) if sort is None else sorted(value, key=str.lower, reverse=not sort)
        return {key: _resolve(value[key], sort) for key in keys}
    if isinstance(value, list):
        return [_resolve(item, sort) for item in value]
    return value
