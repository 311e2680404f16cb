"""gemma4, llama3.1 and mistral-nemo against the models' published chat templates, byte for byte.

The conversations are generated from seeds. Vendors' prose around the tools is left out; a case in which a template has
a declared limit is skipped, and enough must remain.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect
from tcfuzz.dialects.gemma4 import Gemma4
from tcfuzz.dialects.llama31 import Llama31, tool_list
from tcfuzz.dialects.mistral_nemo import MistralNemo
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate

TEMPLATES = Path(__file__).parents[2].parent / "shared" / "templates"
CASES = 2500
ENOUGH = 2000

Render = Callable[..., str]


# -- the templates -----------------------------------------------------------------------------------------------------


def load(file: str) -> Render:
    """Renders as Hugging Face does."""
    path = TEMPLATES / file
    if not path.is_file():
        pytest.skip(f"the real chat template {file} is not here (../shared/templates)")
    template = ChatTemplate.from_file(path)

    def render(messages: list[Message], tools: list[Tool], add_generation_prompt: bool = True, **options: Json) -> str:
        return template.render(
            [message.to_openai() for message in messages],
            [tool.to_openai() for tool in tools],
            add_generation_prompt=add_generation_prompt,
            **options,
        )

    return render


# -- the conversations -------------------------------------------------------------------------------------------------

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


class Maker:
    """Draws conversations, each from its own seed."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.random = random.Random(seed)
        self.shape = shape
        self.ids = 0

    def maybe(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def text(self) -> str:
        count = self.random.choice((0, 1, 1, 2, 3, 6))
        inner = "".join(self.random.choice(PIECES) + self.random.choice(SPACES) for _ in range(count))
        return self.random.choice(SPACES) + inner

    def null(self) -> str | None:
        return None if self.shape.null_content and self.maybe(0.1) else self.text()

    def value(self, depth: int = 0) -> Json:
        kind = self.random.randrange(9 if depth < 3 else 5)
        if kind < 2:
            return self.text()
        if kind == 2:
            return self.random.choice(NUMBERS)
        if kind < 5:
            return self.random.choice((None, True, False))
        if kind < 7:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return self.arguments(depth + 1)

    def arguments(self, depth: int = 0) -> dict[str, Json]:
        keys = self.random.sample(KEYS, self.random.randrange(5))
        return {key: self.value(depth) for key in keys}

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


def compared(
    dialect: Dialect, template: Render, shape: Shape, options: Callable[[random.Random], dict[str, Json]], same: Any
) -> None:
    """Compare CASES conversations, each with and without its generation prompt."""
    done = 0
    for seed in range(CASES + CASES // 2):
        maker = Maker(seed, shape)
        messages, tools = maker.conversation(), maker.tools()
        chosen = options(maker.random)
        if dialect.template_limit(messages, tools, chosen):
            continue
        done += 1
        prompt = maker.maybe()
        ours = dialect.render(messages, tools, add_generation_prompt=prompt, **chosen)
        theirs = template(messages, tools, prompt, **chosen)
        same(ours, theirs, tools, seed)
    assert done >= ENOUGH, f"only {done} cases without a limit of the template"


def whole(ours: str, theirs: str, tools: list[Tool], seed: int) -> None:
    assert ours == theirs, f"seed {seed}"


def thinking(rand: random.Random) -> dict[str, Json]:
    return {name: rand.random() < 0.5 for name in ("enable_thinking", "preserve_thinking") if rand.random() < 0.5}


def no_options(rand: random.Random) -> dict[str, Json]:
    return {}


@pytest.mark.parametrize(
    ("dialect", "file"),
    [
        (Gemma4(), "gemma4_e2b_chat_template.jinja"),
        (Gemma4(empty_thought=True), "gemma4_31b_chat_template.jinja"),
    ],
    ids=["e2b", "31b"],
)
def test_gemma4_is_the_template(dialect: Dialect, file: str) -> None:
    compared(dialect, load(file), Shape(), thinking, whole)


def test_llama31_is_the_template() -> None:
    template = load("meta-llama-Llama-3.1-8B-Instruct.jinja")

    def date(rand: random.Random) -> dict[str, Json]:
        return {"date_string": "1 Jan 2030"} if rand.random() < 0.3 else {}

    compared(Llama31(), template, Shape(calls=1, null_content=False), date, without_prose)


def without_prose(ours: str, theirs: str, tools: list[Tool], seed: int) -> None:
    """The same but for the sentences between the first user turn's header and the first tool."""
    if not tools:
        return whole(ours, theirs, tools, seed)
    declarations = tool_list(tools)
    for one, two in zip(ours.split(declarations, 1), theirs.split(declarations, 1), strict=True):
        header = "<|start_header_id|>user<|end_header_id|>\n\n"
        if one is not None and one.startswith("<|begin_of_text|>"):
            one, two = (text[: text.rindex(header)] for text in (one, two))
        assert one == two, f"seed {seed}"
    return None


def test_mistral_nemo_is_the_template() -> None:
    template = load("mistralai-Mistral-Nemo-Instruct-2407.jinja")
    shape = Shape(alternating=True, roles=("system",), null_content=False)
    compared(MistralNemo(), template, shape, no_options, whole)


@pytest.mark.parametrize(
    ("dialect", "file", "shape"),
    [
        (Gemma4(), "gemma4_e2b_chat_template.jinja", Shape()),
        (Llama31(), "meta-llama-Llama-3.1-8B-Instruct.jinja", Shape(calls=1, null_content=False)),
        (
            MistralNemo(),
            "mistralai-Mistral-Nemo-Instruct-2407.jinja",
            Shape(alternating=True, roles=("system",), null_content=False),
        ),
    ],
    ids=["gemma4", "llama3.1", "mistral-nemo"],
)
def test_the_template_adds_what_the_model_says(dialect: Dialect, file: str, shape: Shape) -> None:
    """A reply appended to the history adds its native text and an end of turn, where earlier prompts are prefixes."""
    template = load(file)
    done = 0
    for seed in range(800):
        maker = Maker(seed, shape)
        # Tools and system text of mistral-nemo would move, text before calls moves in gemma4.
        history = [Message("user", maker.text())]
        reply = last_reply(maker, dialect)
        if dialect.template_limit([*history, reply], [], {}):
            continue
        try:
            said = dialect.emit(reply, [])
        except OutOfDomain:
            continue
        before, after = template(history, []), template([*history, reply], [], False)
        assert after.startswith(before), f"seed {seed}"
        assert dialect.strip_turn_end(after[len(before) :]) == said, f"seed {seed}"
        done += 1
    assert done > 400


def last_reply(maker: Maker, dialect: Dialect) -> Message:
    """Calls without text, or text as the template shows it."""
    if maker.maybe():
        calls = tuple(maker.call() for _ in range(maker.random.randint(1, maker.shape.calls)))
        return Message("assistant", None, maker.reasoning(), calls)
    text = maker.text()
    return Message("assistant", text.strip() if dialect.traits.content_trim == "outer" else text, maker.reasoning())
