"""qwen3.5, GLM, nemotron and laguna dialects against the models' published chat templates, byte for byte.

The conversations are generated from seeds. Vendors' prose around the tools and their default system texts are found by
rendering a plain conversation with both, and ours is put in its place; all the rest must be equal. A case in which a
template has a declared limit, or that the format cannot write, is skipped, and enough must remain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect, to_json
from tcfuzz.dialects.glm import Glm46, Glm47
from tcfuzz.dialects.laguna import Laguna, LagunaS21, PoolsideV1
from tcfuzz.dialects.nemotron import Nemotron3, Nemotron35, tool_tags
from tcfuzz.dialects.qwen35 import Qwen35, Qwen38
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tcfuzz.observation import common_prefix
from tests.integration import test_templates_chatml_qwen_deepseek as first
from tests.proofs import template_file

CASES = 700
SEEDS = range(1500)


# -- the formats -------------------------------------------------------------------------------------------------------


def json_lines(tool: Tool) -> str:
    return to_json(tool.to_openai())


@dataclass(frozen=True)
class Proof:
    """A dialect, its template's file and how one tool is declared."""

    dialect: Dialect
    file: str
    declaration: Callable[[Tool], str] = json_lines

    def __str__(self) -> str:
        return f"{self.dialect.name}-{self.file.partition('.')[0]}"

    def template(self) -> ChatTemplate:
        return ChatTemplate.from_file(template_file(self.file))


PROOFS = (
    Proof(Qwen35(), "Qwen3.5-4B.jinja"),
    Proof(Qwen38(), "qwen38_chat_template.jinja"),
    Proof(Glm46(), "GLM-4.6.jinja"),
    Proof(Glm47(), "GLM-4.7-Flash.jinja"),
    Proof(Nemotron3(), "nemotron3nano_chat_template.jinja", tool_tags),
    Proof(Nemotron3(toggles=False), "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16.jinja", tool_tags),
    Proof(Nemotron35(), "nemotron35_chat_template.jinja", tool_tags),
    Proof(Laguna(), "laguna_v2_chat_template.jinja"),
    Proof(Laguna(default_system=False), "poolside-Laguna-XS-2.1.jinja"),
    Proof(PoolsideV1(), "laguna_v8_chat_template.jinja"),
    Proof(LagunaS21(), "poolside-Laguna-S-2.1.jinja"),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


# -- the conversations -------------------------------------------------------------------------------------------------

TAGS = (
    "</think>", "<think>", "<arg_key>", "</arg_value>", "<|user|>", "<|assistant|>", "<|observation|>", "<user>",
    "</assistant>", "〈|EOS|〉",
)  # fmt: skip
TOGGLES = ("/think", "/no_think", "/nothink")


class Maker(first.Maker):
    """Draws texts with these formats' tags and toggles, too."""

    def text(self) -> str:
        text = super().text()
        if self.maybe(0.04):
            text += self.random.choice(TAGS) + self.random.choice(("", " ", "\n"))
        return text + self.random.choice(TOGGLES) if self.maybe(0.04) else text


@dataclass(frozen=True)
class Drawn:
    history: tuple[Message, ...]
    reply: Message
    tools: tuple[Tool, ...]
    options: dict[str, Json]

    @property
    def messages(self) -> tuple[Message, ...]:
        return (*self.history, self.reply)


def conversations(dialect: Dialect) -> Iterator[Drawn]:
    """The first `CASES` that the format can write and the template has no declared limit with."""
    found = 0
    for seed in SEEDS:
        maker = Maker(seed, 3)
        tools = tuple(maker.tool(name) for name in first.NAMES[: maker.random.randrange(4)])
        options = {
            name: maker.random.choice(values) for name, values in dialect.traits.options.items() if maker.maybe(0.6)
        }
        drawn = Drawn(tuple(maker.history()), maker.assistant(), tools, options)
        if dialect.template_limit(drawn.messages, tools, options) is None and writes(dialect, drawn):
            yield drawn
            found += 1
        if found == CASES:
            return
    raise AssertionError(f"only {found} conversations can be compared")


def writes(dialect: Dialect, drawn: Drawn) -> bool:
    try:
        dialect.render(drawn.messages, drawn.tools, **drawn.options)
        dialect.render(drawn.history, drawn.tools, **drawn.options)
    except OutOfDomain:
        return False
    return True


# -- the vendors' words ------------------------------------------------------------------------------------------------

Render = Callable[[Sequence[Message], bool], str]


def renderers(proof: Proof, template: ChatTemplate, tools: Sequence[Tool], options: dict[str, Json]) -> list[Render]:
    """The template's renderer with our words in the place of the vendor's, and the dialect's."""

    def real(messages: Sequence[Message], generation_prompt: bool) -> str:
        dicts = [message.to_openai() for message in messages]
        shapes = [tool.to_openai() for tool in tools]
        prompt = template.render(dicts, shapes, add_generation_prompt=generation_prompt, **options)
        for theirs, own in words(messages):
            assert theirs in prompt
            prompt = prompt.replace(theirs, own, 1)
        return prompt

    def ours(messages: Sequence[Message], generation_prompt: bool) -> str:
        return proof.dialect.render(messages, tools, add_generation_prompt=generation_prompt, **options)

    def words(messages: Sequence[Message]) -> list[tuple[str, str]]:
        """What stands before and after the first tool, or without one anywhere, and what we say there."""
        system = messages[:1] if messages and messages[0].role == "system" else ()
        text = "" if system and not (system[0].content or "").strip() else "Sys."
        plain = [*(Message("system", text) for _ in system), Message("user", "One.")]
        tool = Tool("f")
        theirs = template.render([m.to_openai() for m in plain], [tool.to_openai()] if tools else None, **options)
        own = proof.dialect.render(plain, [tool] if tools else [], add_generation_prompt=False, **options)
        parts = [prompt.split(proof.declaration(tool)) if tools else [prompt] for prompt in (theirs, own)]
        return [different(*pair) for pair in zip(*parts, strict=True) if pair[0] != pair[1]]

    return [real, ours]


def different(one: str, two: str) -> tuple[str, str]:
    """Two texts without what is alike at their ends."""
    start = common_prefix(one, two)
    one, two = one[start:], two[start:]
    end = common_prefix(one[::-1], two[::-1])
    return one[: len(one) - end], two[: len(two) - end]


# -- the proof ---------------------------------------------------------------------------------------------------------


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    template = proof.template()
    for drawn in conversations(proof.dialect):
        real, ours = renderers(proof, template, drawn.tools, drawn.options)
        asks = drawn.reply.content != ""
        messages = drawn.history if asks else drawn.messages
        assert ours(messages, asks) == real(messages, asks)


@proofs
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    """The model says what history shows of it, less the thought that its prompt opened already."""
    template, dialect = proof.template(), proof.dialect
    checked = 0
    for drawn in conversations(dialect):
        reply = dialect.normalise(drawn.reply)
        reply = replace(reply, content=reply.content or "")
        try:
            text = dialect.emit(reply, drawn.tools)
        except OutOfDomain:
            continue
        # History shows a thought, or none, as it is where the prompt asked for that.
        options = drawn.options | {"enable_thinking": bool(reply.reasoning_content), "preserve_thinking": False}
        for asked in (drawn.options, options):
            real, ours = renderers(proof, template, drawn.tools, asked)
            before = real(drawn.history, True)
            said = dialect.said_after(before, text)
            read = [dialect.parse(native, drawn.tools) for native in (dialect.opened_by(before) + said, text)]
            assert dialect.normalise(read[0]) == dialect.normalise(read[1])
        # Words in the texts may ask for another mode than the option does.
        as_asked = dialect.opened_by(before) == dialect.opened_by(ours((Message("user", "One."),), True))
        if as_asked and drawn.history[-1].role != "assistant":
            after = real((*drawn.history, reply), False)
            assert after.startswith(before)
            assert dialect.strip_turn_end(after[len(before) :]) == said
            checked += 1
    assert checked >= CASES / 2
