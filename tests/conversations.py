"""Conversations, drawn from seeds, for comparing what two renderers write."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tcfuzz.case import Json, Message, Tool, ToolCall

PIECES = (
    "a", "Zed", "é", "ß", "İ", "日本", "🙂", "e\u0301", "\u202e", "0", "1.0", "true", "null", "None",
    "{", "}", "[", "]", ",", ":", "'", '"', "\\", "\\n", "<", ">", "&", "&amp;", "{{ x }}", "{% x %}", "{#",
    "<|", "|>", '<|"|>', "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>",
    "<|tool_response>", "<eos>", "<|eot_id|>", "<|python_tag|>", "[INST]", "[/INST]", "[TOOL_CALLS]", "</s>",
    "<think>", "\x00", "\x1f", "\x7f", "\ud800", "%s", "$x",
)  # fmt: skip
SPACES = (
    "", "", "", " ", "\n", "\t", "\r\n", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000",
    "\u200b", "\ufeff",
)  # fmt: skip
NAMES = ("f", "get_weather", "get_weather_2", "get-time", "a.b", "Z9")
KEYS = (
    "a",
    "B",
    "b",
    "A",
    "_x",
    "Z",
    "z",
    "10",
    "9",
    "é",
    "items",
    "type",
    "a-b",
    "a.b",
    "class",
    "keys",
    "description",
)
NUMBERS = (0, -1, 7, 2**53 + 1, 10**25, 1.0, -0.0, 0.1, 1e16, 1e-7, 1.5e300)


@dataclass(frozen=True)
class Shape:
    """What a format can hold."""

    calls: int = 3
    alternating: bool = False
    roles: tuple[str, ...] = ("system", "developer")
    null_content: bool = True


TEXT = Shape(null_content=False)
SYSTEM = Shape(roles=("system",))
TEXT_SYSTEM = Shape(roles=("system",), null_content=False)


class Values:
    """Draws texts and JSON values from a seed."""

    pieces: Sequence[str] = PIECES
    spaces: Sequence[str] = SPACES
    keys: Sequence[str] = KEYS
    numbers: Sequence[float] = NUMBERS

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def maybe(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def words(self) -> str:
        count = self.random.choice((0, 1, 1, 2, 3, 6))
        return "".join(self.random.choice(self.pieces) + self.random.choice(self.spaces) for _ in range(count))

    def text(self) -> str:
        words = self.words()
        return self.random.choice(self.spaces) + words

    def value(self, depth: int = 0) -> Json:
        kind = self.random.randrange(9 if depth < 3 else 5)
        if kind < 2:
            return self.text()
        if kind == 2:
            return self.random.choice(self.numbers)
        if kind < 5:
            return self.random.choice((None, True, False))
        if kind < 7:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return self.arguments(depth + 1)

    def arguments(self, depth: int = 0) -> dict[str, Json]:
        return {key: self.value(depth) for key in self.random.sample(self.keys, self.random.randrange(5))}


class Maker(Values):
    """Draws conversations, each from its own seed."""

    def __init__(self, seed: int, shape: Shape) -> None:
        super().__init__(seed)
        self.shape = shape
        self.ids = 0

    def null(self) -> str | None:
        return None if self.shape.null_content and self.maybe(0.1) else self.text()

    def call(self) -> ToolCall:
        self.ids += 1
        return ToolCall(self.random.choice(NAMES), self.arguments(), f"call{self.ids:05}")

    def tool(self, name: str) -> Tool:
        description = self.random.choice((None, "", "Plain words", "plain <b> é 'x'", self.text()))
        return Tool(name, description, self.parameters())

    def parameters(self) -> dict[str, Json] | None:
        schema = self.object_schema(0)
        if self.maybe(0.05):
            schema.pop("type")
        return self.random.choice((None, {}, schema, schema, schema))

    def object_schema(self, depth: int) -> dict[str, Json]:
        properties = {key: self.schema(depth + 1) for key in self.random.sample(KEYS, self.random.randrange(4))}
        schema: dict[str, Json] = {"type": "object", "properties": properties, "required": list(properties)[:2]}
        if self.maybe(0.3):
            schema["additionalProperties"] = self.random.choice((False, {"type": "string"}))
        if self.maybe(0.15):
            schema.pop("properties")
        if self.maybe(0.2):
            schema.pop("required", None)
        return schema

    def schema(self, depth: int) -> Json:
        kind = self.random.choice(("string", "integer", "boolean", "array", "object", "union", "any", "odd"))
        if depth > 3:
            kind = "string"
        schema: dict[str, Json] = {"type": kind}
        if kind == "object":
            schema = self.object_schema(depth)
        elif kind == "array" and self.maybe(0.8):
            schema["items"] = self.schema(depth + 1)
        elif kind == "union":
            schema["type"] = ["string", "null"]
        elif kind == "any":
            schema = {}
        elif kind == "odd":
            return self.random.choice((True, {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"$ref": "#/$defs/x"}))
        if self.maybe():
            schema["description"] = self.text()
        if kind == "string" and self.maybe(0.3):
            schema["enum"] = [self.text(), "b"]
        if self.maybe(0.05):
            schema["enum"] = [1, None]
        if self.maybe(0.1):
            schema["nullable"] = self.maybe()
        if self.maybe(0.2):
            schema["default"] = self.value(2)
        return schema

    def tools(self) -> list[Tool]:
        names = self.random.sample(NAMES, self.random.randrange(1, 4))
        return [self.tool(name) for name in names] if self.maybe(0.6) else []

    def steps(self) -> Iterator[Message]:
        """An assistant's turn: rounds of calls and results, then an answer."""
        for _ in range(self.random.choice((0, 0, 1, 1, 2))):
            calls = tuple(self.call() for _ in range(self.random.randint(1, self.shape.calls)))
            yield Message("assistant", self.random.choice((None, "", self.text())), self.reasoning(), calls)
            results = [
                Message("tool", self.null(), tool_call_id=call.id, name=self.random.choice((call.name, None, "other")))
                for call in calls
            ]
            self.random.shuffle(results)
            yield from results[: len(results) - self.maybe(0.1)]
        if self.shape.alternating or self.maybe(0.8):
            yield Message("assistant", self.null(), self.reasoning())

    def reasoning(self) -> str | None:
        return self.text() if self.maybe(0.3) else None

    def conversation(self) -> list[Message]:
        messages = []
        if self.maybe():
            messages.append(Message(self.random.choice(self.shape.roles), self.null()))
        for _ in range(self.random.choice((1, 1, 2, 3))):
            if not self.shape.alternating and self.maybe(0.1):
                messages.append(Message(self.random.choice(self.shape.roles), self.text()))
            messages.append(Message("user", self.null()))
            messages.extend(self.steps())
        if self.maybe(0.6):
            messages = self.cut(messages)
        return messages

    def cut(self, messages: list[Message]) -> list[Message]:
        """Up to a place where the model speaks next."""
        places = [i for i, m in enumerate(messages) if m.role in ("user", "tool")]
        return messages[: self.random.choice(places) + 1]


class SilentMaker(Maker):
    """No calls in history: the template drops them."""

    def call(self) -> ToolCall:
        raise AssertionError("no calls")

    def steps(self) -> list[Message]:  # type: ignore[override]
        return [Message("assistant", self.text(), self.reasoning()), Message("tool", self.text(), name="f")]


class DescribedMaker(Maker):
    """Every tool has a description and parameters: the template raises without."""

    def tool(self, name: str) -> Tool:
        tool = super().tool(name)
        return replace(tool, description=tool.description or "", parameters=tool.parameters or {})


class OrderedMaker(Maker):
    """Every call has its result, in the order of the calls: the template binds them by nothing else."""

    def steps(self) -> list[Message]:  # type: ignore[override]
        steps = []
        for _ in range(self.random.choice((0, 1, 2))):
            calls = tuple(self.call() for _ in range(self.random.randint(1, 3)))
            steps.append(Message("assistant", self.null(), self.reasoning(), calls))
            names = [self.random.choice((call.name, None, "other")) for call in calls]
            results = zip(calls, names, strict=True)
            steps += [Message("tool", self.null(), tool_call_id=call.id, name=name) for call, name in results]
        return [*steps, *([Message("assistant", self.null(), self.reasoning())] if self.maybe(0.7) else [])]
