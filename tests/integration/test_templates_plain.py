"""gemma2, phi3, qwen3thinking and llama3 against published chat templates, byte for byte.

Llama 3.1's template writes a header into the system turn; what follows it is compared. There are no published files
here for olmo2 and mistral: their prompts stand in the unit tests, written out. phi4-mini and smollm3 have proofs of
their own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tcfuzz import dialects
from tcfuzz.case import Json, Message
from tcfuzz.dialects.base import Dialect
from tcfuzz.dialects.plain import Plain
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tcfuzz.recognition import guess_dialect
from tests.proofs import template_file

SEEDS = range(1500)


# -- the conversations -------------------------------------------------------------------------------------------------

PIECES = (
    "a", "Zed", "é", "日本", "🙂", "e\u0301", "\u202e", "{{ .Content }}", "{{", "}}", "{% x %}", "{{ x }}", "<", ">",
    "&", "&amp;", "'", '"', "\\", "\\n", "%s", "%!s", "[img]", "[img-0]", "/think", "/no_think", "<think>", "</think>",
    "\x00", "\x1f", "\x7f", "\ud800", "\ufffd", "\u2028", "\ufeff", "nil", "<nil>", "None", "user", "assistant",
)  # fmt: skip
SPACES = ("", "", "", "", " ", "\n", "\n\n", "\t", "\r\n", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u3000", "\u200b")


@dataclass(frozen=True)
class Drawn:
    messages: tuple[Message, ...]
    prompt: bool
    options: dict[str, Json]


class Maker:
    """Draws one conversation from a seed: mostly one that all formats can write."""

    def __init__(self, seed: int, name: str) -> None:
        self.random = random.Random(seed)
        markers = [marker.text for marker in dialects.get(name).markers]
        parts = [text[:cut] for text in markers for cut in (1, len(text) // 2, len(text) - 1)]
        self.pieces = (*PIECES, *markers * 2, *parts)

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def text(self) -> str | None:
        if self.maybe(0.02):
            return None
        inner = [self.random.choice(self.pieces) for _ in range(self.random.choice((0, 1, 1, 2, 3, 6)))]
        if self.maybe(0.8):
            return " ".join(inner)
        return "".join(self.random.choice(SPACES) + piece for piece in inner) + self.random.choice(SPACES)

    def history(self) -> Iterator[Message]:
        if self.maybe(0.5):
            yield Message("system", self.text())
        for turn in range(self.random.choice((0, 1, 1, 2, 3))):
            if turn and self.maybe(0.05):
                yield Message(self.random.choice(("system", "developer")), self.text())
            yield from (Message("user", self.text()) for _ in range(2 if self.maybe(0.05) else 1))
            reasoning = self.text() if self.maybe(0.3) else None
            yield Message("assistant", self.text(), reasoning)
        if self.maybe(0.7):
            yield Message("user", self.text())

    def drawn(self, name: str) -> Drawn:
        messages = tuple(self.history())
        asked = not messages or messages[-1].role != "assistant"
        choices: tuple[dict[str, Json], ...] = ({}, {"enable_thinking": False}, {"enable_thinking": True})
        return Drawn(
            messages, asked is self.maybe(0.95), self.random.choice(choices) if name == "smollm3-plain" else {}
        )


def conversations(name: str) -> Iterator[tuple[Drawn, str]]:
    """Conversations that the format can write, and the dialect's prompts."""
    for seed in SEEDS:
        drawn = Maker(seed, name).drawn(name)
        prompt = written(name, drawn)
        if prompt is not None:
            yield drawn, prompt


def written(name: str, drawn: Drawn) -> str | None:
    try:
        return dialects.get(name).render(drawn.messages, (), add_generation_prompt=drawn.prompt, **drawn.options)
    except OutOfDomain:
        return None


# -- the templates -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proof:
    """A dialect's name, its template's file, and what the template needs to be that dialect."""

    name: str
    file: str
    tokens: dict[str, str] | None = None
    options: dict[str, Json] = field(default_factory=dict)
    header: bool = False

    def __str__(self) -> str:
        return self.name

    def template(self) -> ChatTemplate:
        return ChatTemplate.from_file(template_file(self.file), special_tokens=self.tokens)


PROOFS = (
    Proof("gemma2", "google-gemma-2-2b-it.jinja"),
    Proof("phi3", "microsoft-Phi-3.5-mini-instruct.jinja", {"eos_token": "<|endoftext|>"}),
    Proof("qwen3thinking", "Qwen-QwQ-32B.jinja", options={"enable_thinking": True}),
    Proof("llama3", "meta-llama-Llama-3.1-8B-Instruct.jinja", header=True),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


class Real:
    """A template, with the header that it writes."""

    def __init__(self, proof: Proof) -> None:
        self.dialect: Dialect = dialects.get(proof.name)
        self._template = proof.template()
        self._proof = proof

    def render(self, drawn: Drawn, *, generation_prompt: bool) -> str:
        options = self._proof.options | drawn.options
        shapes = [message.to_openai() for message in drawn.messages]
        return self._template.render(shapes, add_generation_prompt=generation_prompt, **options)

    def header(self, drawn: Drawn) -> str:
        """What stands before the turns that both write."""
        if not self._proof.header:
            return ""
        if drawn.messages[0].role == "system":
            return self.render(Drawn(drawn.messages[:1], False, drawn.options), generation_prompt=False)
        nothing = Message("user", "")
        header = self.render(Drawn((nothing,), False, drawn.options), generation_prompt=False)
        return header.removesuffix(turn(self.dialect, nothing))

    def own_header(self, drawn: Drawn) -> str:
        """The dialect's for it."""
        assert isinstance(self.dialect, Plain)
        if not self._proof.header:
            return ""
        system = drawn.messages[:1] if drawn.messages[0].role == "system" else ()
        return self.dialect.bos + "".join(turn(self.dialect, message) for message in system)


def turn(dialect: Dialect, message: Message) -> str:
    assert isinstance(dialect, Plain)
    return dialect.turn(message, before="")


def compared(proof: Proof) -> Iterator[tuple[Drawn, str]]:
    dialect = dialects.get(proof.name)
    for drawn, prompt in conversations(proof.name):
        if drawn.messages and dialect.template_limit(drawn.messages, (), drawn.options) is None:
            yield drawn, prompt


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    real, checked = Real(proof), 0
    for drawn, prompt in compared(proof):
        expected = real.render(drawn, generation_prompt=drawn.prompt)
        before, own = real.header(drawn), real.own_header(drawn)
        assert expected.startswith(before)
        assert prompt.startswith(own)
        assert prompt[len(own) :] == expected[len(before) :]
        checked += 1
    assert checked > len(SEEDS) / 5


@proofs
def test_headers_show_the_system_text(proof: Proof) -> None:
    real = Real(proof)
    if not proof.header:
        return
    for drawn, _ in compared(proof):
        first = drawn.messages[0]
        if first.role == "system":
            assert (first.content or "").strip() in real.header(drawn)
            assert (first.content or "").strip() in real.own_header(drawn)


@proofs
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    real, checked = Real(proof), 0
    for drawn, _ in compared(proof):
        *history, reply = drawn.messages
        if reply.role != "assistant" or not history:
            continue
        before = real.render(Drawn(tuple(history), True, drawn.options), generation_prompt=True)
        after = real.render(drawn, generation_prompt=False)
        start = before.removesuffix(real.dialect.opened_by(before))
        assert after.startswith(start)
        text = real.dialect.emit(Message("assistant", reply.content), ())
        added = real.dialect.strip_turn_end(after[len(start) :])
        assert real.dialect.normalise(real.dialect.parse(added)) == real.dialect.normalise(Message("assistant", text))
        assert after[len(start) + len(added) :] in real.dialect.turn_ends
        checked += 1
    assert checked > 50


def test_newlines_before_an_earlier_answer_are_cut_by_the_template() -> None:
    real = Real(next(proof for proof in PROOFS if proof.name == "qwen3thinking"))
    checked = 0
    for drawn, prompt in conversations("qwen3thinking"):
        limit = real.dialect.template_limit(drawn.messages, (), {})
        if limit == "cuts off newlines before an earlier answer" and all(m.content is not None for m in drawn.messages):
            assert real.render(drawn, generation_prompt=drawn.prompt) != prompt
            checked += 1
    assert checked


@pytest.mark.parametrize(
    "file, name",
    [
        ("google-gemma-2-2b-it", "gemma2"),
        ("openai-gpt-oss-120b", "harmony"),  # its markers come together when it renders; its prose has a date
        ("moonshotai-Kimi-K2", "kimi-k2-first"),
    ],
)
def test_the_dialect_of_a_published_template_is_told(file: str, name: str) -> None:
    assert guess_dialect(ChatTemplate.from_file(template_file(f"{file}.jinja"))).name == name
