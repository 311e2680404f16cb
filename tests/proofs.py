"""The proof of a dialect against a model's real chat template: prompts and replies, byte for byte.

Vendors' prose is replaced by ours. A case in which a template has a declared limit, or that the format cannot write, is
skipped, and enough must remain.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from jinja2.sandbox import SandboxedEnvironment

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tests.conversations import Maker, Shape
from tests.program import SHARED_TEMPLATES as TEMPLATES

SEEDS = 1000
ENOUGH = 200

Render = Callable[[Sequence[Message], Sequence[Tool]], str]
TOOL = Tool("f", "Does it.", {"type": "object"})
COHERE_TOKENS = {"bos_token": "<BOS_TOKEN>", "eos_token": "<|END_OF_TURN_TOKEN|>"}


def template_file(name: str) -> Path:
    """A real chat template; skips the test where it is not."""
    path = TEMPLATES / name
    if not path.is_file():
        pytest.skip(f"the real chat template {name} is not here (../shared/templates)")
    return path


def load(file: str) -> Callable[..., str]:
    """A real chat template's renderer, which takes options by name."""
    template = ChatTemplate.from_file(template_file(file))

    def render(messages: list[Message], tools: list[Tool], add_generation_prompt: bool = True, **options: Json) -> str:
        return template.render(
            [message.to_openai() for message in messages],
            [tool.to_openai() for tool in tools],
            add_generation_prompt=add_generation_prompt,
            **options,
        )

    return render


def rendered(
    template: ChatTemplate,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    prompt: bool,
    options: Mapping[str, Json],
) -> str:
    shapes = [message.to_openai() for message in messages]
    return template.render(shapes, [tool.to_openai() for tool in tools], add_generation_prompt=prompt, **options)


def no_prose(render: Render) -> list[str]:
    """The template says nothing of its own."""
    return []


def between(text: str, start: str, end: str) -> str:
    """What stands between two literals."""
    return text.split(start, 1)[1].split(end, 1)[0]


def kimi_prose(render: Render) -> list[str]:
    """Kimi's default system text."""
    return [between(render([Message("user", "Hi.")], []), "system<|im_middle|>", "<|im_end|>")]


@dataclass(frozen=True)
class Proof:
    """A dialect, its template's file, and what to draw and to compare.

    prose: finds the vendor's sentences in a rendering; ours stand in their places. tokens: the tokenizer's special
    tokens, by name. mutable: the template changes lists, which needs another sandbox than Hugging Face's. elsewhere: it
    is in no collection that tests can count on; the proof is for those who have the file.
    """

    dialect: Dialect
    file: str
    tokens: Mapping[str, str]
    maker: type[Maker] = Maker
    shape: Shape = field(default_factory=Shape)
    prose: Callable[[Render], list[str]] = no_prose
    mutable: bool = False
    elsewhere: bool = False

    def __str__(self) -> str:
        return f"{self.dialect.name}:{self.file.removesuffix('.jinja')}"

    def template(self) -> ChatTemplate:
        if self.elsewhere and not (TEMPLATES / self.file).is_file():
            pytest.skip(f"the published template {self.file} is in no collection: put it beside the other ones")
        template = ChatTemplate.from_file(template_file(self.file), special_tokens=self.tokens)
        if self.mutable:
            template._template.environment.__class__ = SandboxedEnvironment
        return template

    def limited(self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]) -> bool:
        return not self.mutable and self.dialect.template_limit(messages, tools, options) is not None

    def rewriter(self, template: ChatTemplate) -> Callable[[str], str]:
        """Puts our sentences into the places of the vendor's."""
        theirs = self.prose(lambda messages, tools: rendered(template, messages, tools, False, {}))
        ours = self.prose(lambda messages, tools: self.dialect.render(messages, tools, add_generation_prompt=False))
        pairs = list(zip(theirs, ours, strict=True))

        def rewrite(prompt: str) -> str:
            for their, our in pairs:
                prompt = prompt.replace(their, our)
            return prompt

        return rewrite

    def options(self, rand: random.Random) -> dict[str, Json]:
        choices = self.dialect.traits.options.items()
        return {name: rand.choice(values) for name, values in choices if rand.random() < 0.4}

    def reply_options(self, rand: random.Random) -> dict[str, Json]:
        """The options under which history is compared with what a model said."""
        return self.options(rand)

    def as_shown(self, reply: Message, history: Sequence[Message], options: Mapping[str, Json]) -> Message:
        """A reply as far as history shows it."""
        return reply if self.dialect.traits.reasoning_in_history else replace(reply, reasoning_content=None)

    def begun(self, prompt: str) -> str:
        """What of a prompt stays where a reply follows."""
        return prompt

    def said(self, start: str, native: str) -> str:
        """What history shows behind `start` of a reply's native text."""
        return self.dialect.said_after(start, native)


class BareProof(Proof):
    """History does not show that a prompt opened a thought, unless it shows the thought."""

    def begun(self, prompt: str) -> str:
        return prompt.removesuffix(self.dialect.opened_by(prompt))


def compare_prompts(proof: Proof) -> None:
    """Each prompt is the template's."""
    template = proof.template()
    rewrite = proof.rewriter(template)
    done = 0
    for seed in range(SEEDS):
        maker = proof.maker(seed, proof.shape)
        messages, tools, prompt = maker.conversation(), maker.tools(), maker.maybe()
        options = proof.options(maker.random)
        if proof.limited(messages, tools, options):
            continue
        try:
            ours = proof.dialect.render(messages, tools, add_generation_prompt=prompt, **options)
        except OutOfDomain:
            continue
        assert ours == rewrite(rendered(template, messages, tools, prompt, options)), f"seed {seed}"
        done += 1
    assert done >= ENOUGH, f"only {done} conversations can be compared"


def compare_replies(proof: Proof) -> None:
    """A reply in history adds what the model said behind the prompt; with what the prompt opened, it is read back."""
    template, dialect = proof.template(), proof.dialect
    done = 0
    for seed in range(SEEDS):
        maker = proof.maker(seed, proof.shape)
        history, tools = maker.cut(maker.conversation()), maker.tools()[:1]
        options = proof.reply_options(maker.random)
        reply = proof.as_shown(last_reply(maker), history, options)
        native = emitted(dialect, reply)
        if native is None or not writes(dialect, history) or proof.limited([*history, reply], tools, options):
            continue
        prompt = rendered(template, history, tools, True, options)
        after = rendered(template, [*history, reply], tools, False, options)
        start = proof.begun(prompt)
        if not after.startswith(start):
            continue
        added = dialect.strip_turn_end(after[len(start) :])
        assert unnumbered(added) == unnumbered(proof.said(start, native)), f"seed {seed}"
        back = dialect.parse(dialect.opened_by(prompt) + dialect.said_after(prompt, native))
        assert dialect.normalise(back) == dialect.normalise(dialect.parse(native)), f"seed {seed}"
        done += 1
    assert done >= ENOUGH, f"only {done} replies can be compared"


def unnumbered(text: str) -> str:
    """A reply without the numbers of its calls, which go on from the calls before."""
    return re.sub(r'("tool_call_id": "|begin\|>functions\.[^:]*:)\d+', r"\1#", text)


def last_reply(maker: Maker) -> Message:
    """The last thing that an assistant says in a conversation of its own."""
    said = [message for message in maker.conversation() if message.role == "assistant"]
    return said[-1] if said else Message("assistant", maker.text(), maker.reasoning())


def emitted(dialect: Dialect, reply: Message) -> str | None:
    """A reply's native text; None where the format cannot write it."""
    try:
        return dialect.emit(reply, [])
    except OutOfDomain:
        return None


def writes(dialect: Dialect, history: Sequence[Message]) -> bool:
    """Whether the format can write a conversation."""
    try:
        dialect.render(history, [])
    except OutOfDomain:
        return False
    return True
