"""gemma4, llama3.1 and mistral-nemo against the models' published chat templates, byte for byte.

The conversations are generated from seeds. Vendors' prose around the tools is left out; a case in which a template has
a declared limit is skipped, and enough must remain.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.dialects.gemma4 import Gemma4
from tcfuzz.dialects.llama31 import Llama31, tool_list
from tcfuzz.dialects.mistral_nemo import MistralNemo
from tcfuzz.errors import OutOfDomain
from tests.conversations import Maker, Shape
from tests.proofs import load

CASES = 2500
ENOUGH = 2000


# -- the comparison ----------------------------------------------------------------------------------------------------


def compared(
    dialect: Dialect,
    template: Callable[..., str],
    shape: Shape,
    options: Callable[[random.Random], dict[str, Json]],
    same: Any,
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
