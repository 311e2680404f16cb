"""What a published chat template adds for a reply is what the dialect says the model said, and tells the dialect.

The templates are those of test_published_templates. Left out are templates that show a reply otherwise than the model
said it: with white space gone, or with a thought put in or taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tcfuzz import dialects
from tcfuzz.case import Message
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tcfuzz.recognition import guess_dialect, shapes
from tests.comparison.test_published_templates import CASES, ENOUGH, PAIRS, TEMPLATES, Pair, shape, texts
from tests.conversations import Maker
from tests.proofs import emitted, last_reply

SHOWN_AS_SAID = frozenset(
    {
        "hermes", "qwen3-vl-instruct", "qwen3-coder", "qwen3-coder-next", "qwen3.5-small", "qwen3.6", "exaone-4.0",
        "deepseek-v3.1-terminus", "deepseek-r1-0528", "ministral-3-instruct", "ministral-3-reasoning",
        "mistral-small-4", "mistral-v3", "mistral-v0.2", "mistral-v7-tekken", "mistral-v7", "olmo3",
        "harmony-safeguard", "harmony-unsloth", "hy3-preview", "phi3", "phi3-first", "lfm2", "lfm2.5",
    }
)  # fmt: skip
ALIKE = {"ministral-3-instruct": "devstral", "phi3-first": "phi3"}
"""Dialects that their templates do not tell from a kindred one, which comes first."""
NAMES = [pair for pair in PAIRS if pair.dialect in SHOWN_AS_SAID]
replies = pytest.mark.parametrize("pair", NAMES, ids=lambda pair: f"{pair.dialect}:{pair.template}")


@replies
def test_a_reply_is_what_the_template_adds(pair: Pair) -> None:
    dialect = dialects.get(pair.dialect)
    template = ChatTemplate.from_file(TEMPLATES / pair.template)
    done = 0
    for seed in range(CASES):
        history, reply = drawn(pair, dialect, seed)
        said = emitted(dialect, reply)
        if said is None or not writes(dialect, [*history, reply]):
            continue
        before, after = prompt(template, dialect, history, True), prompt(template, dialect, [*history, reply], False)
        if after.startswith(before):
            gained = dialect.strip_turn_end(after[len(before) :])
            assert gained == dialect.said_after(before, said), f"seed {seed}"
            done += 1
    assert done >= ENOUGH, f"only {done} replies can be compared"


@replies
def test_the_dialect_is_told(pair: Pair) -> None:
    if not pair.tools:
        pytest.skip("the template knows none of the dialect's tools")
    template = ChatTemplate.from_file(TEMPLATES / pair.template)
    assert guess_dialect(template).name == ALIKE.get(pair.dialect, pair.dialect)


def drawn(pair: Pair, dialect: Dialect, seed: int) -> tuple[Sequence[Message], Message]:
    """A conversation and the reply to it, as far as the template shows it."""
    maker = Maker(seed, shape(dialect, seed))
    with_calls = pair.tools and dialect.traits.max_calls != 0
    history, reply = maker.cut(maker.conversation()), last_reply(maker)
    if not dialect.traits.reasoning_in_history:
        reply = replace(reply, reasoning_content=None)
    return (history, reply) if with_calls else (texts(history), replace(reply, tool_calls=()))


def writes(dialect: Dialect, messages: Sequence[Message]) -> bool:
    """Whether the format holds a conversation, and its template shows it rightly."""
    try:
        dialect.render(messages, [])
    except OutOfDomain:
        return False
    return dialect.template_limit(messages, [], {}) is None


def prompt(template: ChatTemplate, dialect: Dialect, messages: Sequence[Message], generation: bool) -> str:
    return template.render(shapes(dialect, messages), [], add_generation_prompt=generation)
