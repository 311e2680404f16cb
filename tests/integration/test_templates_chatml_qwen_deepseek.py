"""chatml, hermes, qwen3, qwen3-coder and deepseek-v3.1 against the models' published chat templates, byte for byte.

The conversations are generated from seeds. Vendors' prose around the tools and their default system texts are left
out: there the declarations are compared, and the rest of the prompt as a whole. A case in which a template has a
declared limit, or that the format cannot write, is skipped, and enough must remain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.base import Dialect, to_json
from tcfuzz.dialects.chatml import ChatML
from tcfuzz.dialects.deepseek_v31 import DeepSeekV31
from tcfuzz.dialects.hermes import Hermes
from tcfuzz.dialects.qwen3 import Qwen3
from tcfuzz.dialects.qwen3_coder import Qwen3Coder, tool_tags
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tests.conversations import Values
from tests.program import SHARED_TEMPLATES
from tests.proofs import template_file

CASES = 2000
SEEDS = range(5000)

CHATML_TEMPLATE = """
{%- for m in messages -%}
<|im_start|>{{ m.role }}{{ '\\n' + m.content }}<|im_end|>{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif -%}
"""


# -- the formats -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proof:
    """A dialect, its template's file (None: the convention above) and what conversations to draw for it."""

    dialect: Dialect
    file: str | None
    declaration: Callable[[Tool], str] | None = None
    calls: int = 3
    options: tuple[dict[str, Json], ...] = ({},)

    def __str__(self) -> str:
        return self.dialect.name

    def template(self) -> ChatTemplate:
        if self.file is None:
            return ChatTemplate(CHATML_TEMPLATE)
        return ChatTemplate.from_file(template_file(self.file))


def json_line(tool: Tool) -> str:
    return to_json(tool.to_openai())


THINKING: tuple[dict[str, Json], ...] = ({}, {"enable_thinking": False}, {"enable_thinking": True})
PROOFS = (
    Proof(ChatML(), None, calls=0),
    Proof(Hermes(), "Qwen-Qwen2.5-7B-Instruct.jinja", json_line),
    Proof(Qwen3(), "Qwen-Qwen3-0.6B.jinja", json_line, options=THINKING),
    Proof(Qwen3Coder(), "Qwen3-Coder.jinja", tool_tags),
    Proof(DeepSeekV31(), "deepseek-ai-DeepSeek-V3.1.jinja", options=({}, {"thinking": False}, {"thinking": True})),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


# -- the conversations -------------------------------------------------------------------------------------------------

PIECES = (
    "a", "Zed", "é", "İ", "日本", "🙂", "e\u0301", "\u202e", "0", "1.0", "true", "null", "None", "{", "}", "[", "]",
    ",", ":", "'", '"', "\\", "\\n", "<", ">", "&", "&amp;", "{{ x }}", "{% x %}", "<|", "|>", "<|im_start|>",
    "<|im_end|>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "<function=f>",
    "</function>", "<parameter=a>", "</parameter>", "\n</parameter>\n", "<｜User｜>", "<｜Assistant｜>",
    "<｜tool▁calls▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜end▁of▁sentence｜>",
    "\x00", "\x1f", "\x7f", "\ud800", "%s", "$x",
)  # fmt: skip
SPACES = (
    "", "", "", " ", "\n", "\n\n", "\t", "\r\n", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000",
    "\u200b", "\ufeff",
)  # fmt: skip
NAMES = ("f", "get_weather", "get_weather_2", "get-time", "a.b", "Z9")
KEYS = ("a", "B", "b", "_x", "10", "9", "é", "items", "type", "name", "a-b", "a.b", "class", "keys", "description", "")
NUMBERS = (0, -1, 7, 2**53 + 1, 10**25, 1.0, -0.0, 0.1, 1e16, 1e-7, 1.5e300, float("inf"), float("nan"))
TYPES = ("string", "integer", "number", "boolean", "array", "object", "null", ["string", "null"], ["integer", "string"])


class Maker(Values):
    """Draws one conversation from a seed."""

    pieces, spaces, keys, numbers = PIECES, SPACES, KEYS, NUMBERS

    def __init__(self, seed: int, calls: int) -> None:
        super().__init__(seed)
        self.calls = calls
        self.ids = 0

    def text(self) -> str:
        words = self.words()
        if self.maybe(0.02):
            words += self.random.choice(("<think>", "</think>"))
        if self.maybe(0.05):
            return f"<tool_response>{words}</tool_response>"
        return self.random.choice(self.spaces) + words

    def tool(self, name: str) -> Tool:
        description = self.random.choice((None, "", " Plain words\n", self.text()))
        return Tool(name, description, self.random.choice((None, {}, self.schema(0), self.schema(0))))

    def schema(self, depth: int) -> dict[str, Json]:
        schema: dict[str, Json] = {"type": "object"} if self.maybe(0.9) else {}
        schema["properties"] = {key: self.property(depth) for key in self.random.sample(KEYS, self.random.randrange(4))}
        return schema | self.some(
            required=list(schema["properties"])[:2],
            additionalProperties=self.random.choice((False, {"type": "string"})),
            title=self.text(),
        )

    def property(self, depth: int) -> Json:
        if self.maybe(0.05):
            return self.random.choice((True, {}))
        if depth < 2 and self.maybe(0.2):
            return self.schema(depth + 1)
        schema: dict[str, Json] = {"type": self.random.choice(TYPES)} if self.maybe(0.8) else {"$ref": "#/$defs/T"}
        return schema | self.some(
            description=self.text(),
            enum=["a", None, 1.0, self.text()],
            default=self.random.choice((None, True, 1e16, "x")),
            minimum=self.random.choice(NUMBERS),
            anyOf=[{"type": "string"}, {"type": "null"}],
            nullable=True,
        )

    def some(self, **keywords: Json) -> dict[str, Json]:
        return {key: value for key, value in keywords.items() if self.maybe(0.25)}

    def assistant(self) -> Message:
        calls = tuple(
            ToolCall(self.random.choice(NAMES), self.arguments(), self.next_id())
            for _ in range(self.random.choice((0, 0, 1, 1, 2, self.calls)) if self.calls else 0)
        )
        content = self.random.choice((None, "", self.text(), self.text())) if calls else self.text()
        reasoning = self.random.choice((None, None, "", self.text()))
        return Message("assistant", content, reasoning, calls)

    def next_id(self) -> str:
        self.ids += 1
        return f"call{self.ids}"

    def history(self) -> Iterator[Message]:
        if self.maybe(0.4):
            yield Message("system", self.text())
        for _ in range(self.random.choice((1, 1, 2, 3))):
            if self.maybe(0.03):
                yield Message(self.random.choice(("developer", "system")), self.text())
            yield Message("user", None if self.maybe(0.01) else self.text())
            for _ in range(self.random.randrange(3)):
                message = self.assistant()
                yield message
                calls = list(message.tool_calls)
                self.random.shuffle(calls)
                for call in calls[: self.random.randrange(len(calls) + 1)] if self.maybe(0.2) else calls:
                    yield Message("tool", self.text(), tool_call_id=call.id, name=call.name)
        if self.maybe(0.7):
            yield Message("user", self.text())


@dataclass(frozen=True)
class Drawn:
    history: tuple[Message, ...]
    reply: Message
    tools: tuple[Tool, ...]
    options: dict[str, Json]


def conversations(proof: Proof) -> Iterator[Drawn]:
    """The first `CASES` that the format can write and the template has no declared limit with."""
    found = 0
    for seed in SEEDS:
        maker = Maker(seed, proof.calls)
        tools = tuple(maker.tool(name) for name in NAMES[: maker.random.randrange(4)])
        options = maker.random.choice(proof.options)
        drawn = Drawn(tuple(maker.history()), maker.assistant(), tools, options)
        messages = (*drawn.history, drawn.reply)
        if proof.dialect.template_limit(messages, tools, options) is None and writes(proof.dialect, messages, tools):
            yield drawn
            found += 1
        if found == CASES:
            return
    raise AssertionError(f"only {found} conversations can be compared")


def writes(dialect: Dialect, messages: Sequence[Message], tools: Sequence[Tool]) -> bool:
    try:
        dialect.render(messages, tools)
    except OutOfDomain:
        return False
    return True


# -- the proof ---------------------------------------------------------------------------------------------------------

Render = Callable[[Sequence[Message], Sequence[Tool], bool], str]


def renderers(proof: Proof, template: ChatTemplate, options: dict[str, Json]) -> tuple[Render, Render]:
    """The template's and the dialect's renderer, of one signature."""

    def real(messages: Sequence[Message], tools: Sequence[Tool], generation_prompt: bool) -> str:
        shapes = [tool.to_openai() for tool in tools]
        dicts = [message.to_openai() for message in messages]
        return template.render(dicts, shapes, add_generation_prompt=generation_prompt, **options)

    def ours(messages: Sequence[Message], tools: Sequence[Tool], generation_prompt: bool) -> str:
        return proof.dialect.render(messages, tools, add_generation_prompt=generation_prompt, **options)

    return real, ours


def preamble(render: Render, history: Sequence[Message], tools: Sequence[Tool]) -> str:
    """What stands before the first turn that is no system turn."""
    leading = history[:1] if history and history[0].role == "system" else ()
    one, two = (render((*leading, Message("user", text)), tools, False) for text in ("One.", "Two."))
    place = one.rindex("One.")
    assert two == one[:place] + "Two." + one[place + 4 :]
    return one[: one.rindex("<", 0, place)]


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    template = proof.template()
    for drawn in conversations(proof):
        real, ours = renderers(proof, template, drawn.options)
        generation_prompt = drawn.reply.content != ""
        expected = real(drawn.history, drawn.tools, generation_prompt)
        actual = ours(drawn.history, drawn.tools, generation_prompt)
        if not drawn.tools and (drawn.history[0].role == "system" or proof.dialect.name != "hermes"):
            assert actual == expected
        before, own = (preamble(render, drawn.history, drawn.tools) for render in (real, ours))
        assert expected.startswith(before)
        assert actual.startswith(own)
        assert actual[len(own) :] == expected[len(before) :]
        if proof.declaration and drawn.tools:
            block = "".join("\n" + proof.declaration(tool) for tool in drawn.tools)
            assert f"<tools>{block}\n</tools>" in before
            assert f"<tools>{block}\n</tools>" in own


@proofs
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    template = proof.template()
    checked = 0
    for drawn in conversations(proof):
        reply, options = as_said(proof, drawn)
        text = emitted(proof.dialect, reply, drawn.tools)
        if text is None or not is_asked(drawn.history):
            continue
        real, _ = renderers(proof, template, options)
        before, after = real(drawn.history, drawn.tools, True), real((*drawn.history, reply), drawn.tools, False)
        assert after.startswith(before)
        assert proof.dialect.strip_turn_end(after[len(before) :]) == text
        checked += 1
    assert checked >= CASES / 2


def emitted(dialect: Dialect, reply: Message, tools: Sequence[Tool]) -> str | None:
    try:
        return dialect.emit(reply, tools)
    except OutOfDomain:
        return None


def is_asked(history: Sequence[Message]) -> bool:
    """Whether it is the assistant's turn, and there is a question: what looks like tool results is none for Qwen3."""
    questions = (m for m in history if m.role == "user" and not (m.content or "").startswith("<tool_response>"))
    return history[-1].role != "assistant" and any(questions)


def as_said(proof: Proof, drawn: Drawn) -> tuple[Message, dict[str, Json]]:
    """The reply and the options under which the history shows a reply as the model said it."""
    reply = drawn.reply
    if proof.dialect.name == "qwen3":
        if (reply.reasoning_content or "").strip("\n"):
            return reply, {}
        # The empty block stands in the generation prompt; newlines at the beginning of an answer are trimmed after it.
        return replace(reply, reasoning_content=None, content=(reply.content or "").lstrip("\n")), {
            "enable_thinking": False
        }
    return replace(reply, reasoning_content=None), {}


def test_every_template_compiles() -> None:
    files = sorted(SHARED_TEMPLATES.glob("*.jinja"))
    if not files:
        pytest.skip("the real chat templates are not here (../shared/templates)")
    for file in files:
        ChatTemplate.from_file(file)
