"""Dialects against the models' chat templates as TRL ships them: published ones and later revisions of them.

Compared is what stands behind the first text of a conversation, so vendors' prose is left out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tests.comparison.libraries import folder
from tests.conversations import Maker, Shape

TEMPLATES = folder("trl", "trl", "pip install --no-deps trl") / "chat_templates"
CASES = 150
ENOUGH = 30
SIGN = "§"

PUBLISHED: Mapping[str, str] = {
    "gemma": "gemma2",
    "glm4moe": "glm-4.6",
    "gptoss": "harmony",
    "lfm2": "lfm2",
    "lfm2_2_5": "lfm2-thinking",
    "lfm2_2_5_v2": "lfm2-thinking",
    "lfm2_2_5_vl": "lfm2.5-vl",
    "lfm2_v2": "lfm2",
    "llama3": "llama3",
    "llama3_1": "llama3.1",
    "llama3_2": "llama3.1",
    "nemotron_3_5_lightning": "nemotron-3.5",
    "nemotron_3_nano": "nemotron-3-text",
    "nemotron_3_super": "nemotron-3-text",
    "nemotron_3_ultra": "nemotron-3.5",
    "phi3": "phi3-first",
    "phi3_5": "phi3",
    "qwen2_5": "hermes",
    "qwen3": "qwen3",
    "qwen3_5_think": "qwen3.5",
    "qwen3_6": "qwen3.6",
    "qwen3_8": "qwen3.8",
    "qwen3_instruct_2507": "qwen3-vl-instruct",
    "qwen3_vl": "qwen3-vl-instruct",
}


def conversation(maker: Maker, dialect: Dialect) -> tuple[list[Message], list[Tool]]:
    """What the dialect has a place for; the first text that is compared begins with a sign."""
    traits = dialect.traits
    messages = maker.conversation()
    if traits.max_calls == 0:
        messages = [message for message in messages if not message.tool_calls and message.role != "tool"]
    if traits.system != "any":
        messages = [m for index, m in enumerate(messages) if m.role not in ("system", "developer") or index == 0]
    tools = maker.tools() if traits.declares_tools else []
    described = [replace(tool, description=tool.description or "d", parameters=tool.parameters or {}) for tool in tools]
    place = next(index for index, message in enumerate(messages) if not tools or message.role == "user")
    messages[place] = replace(messages[place], content=SIGN + (messages[place].content or ""))
    return messages, described


def options(dialect: Dialect, source: str, rand: random.Random) -> dict[str, Json]:
    """Those that the template knows, too."""
    known = {name: values for name, values in dialect.traits.options.items() if name in source}
    return {name: rand.choice(values) for name, values in known.items() if rand.random() < 0.4}


def behind_sign(text: str) -> str:
    return text[text.index(SIGN) :]


def prompts(
    dialect: Dialect, template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool], **chosen: Json
) -> tuple[str, str] | None:
    """Ours and theirs; None where the dialect has no place for the conversation, or the template a declared limit."""
    if dialect.template_limit(messages, tools, chosen):
        return None
    try:
        ours = dialect.render(messages, tools, **chosen)
    except OutOfDomain:
        return None
    shapes = [message.to_openai() for message in messages]
    theirs = template.render(shapes, [tool.to_openai() for tool in tools], add_generation_prompt=True, **chosen)
    return behind_sign(ours), behind_sign(theirs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_prompts_are_the_templates(name: str) -> None:
    dialect = dialects.get(PUBLISHED[name])
    path = TEMPLATES / f"{name}.jinja"
    template, source, done = ChatTemplate.from_file(path), path.read_text(encoding="utf-8"), 0
    traits = dialect.traits
    shape = Shape(
        calls=1 if traits.max_calls == 1 else 3,
        alternating=traits.alternating,
        roles=("system", "developer") if traits.developer else ("system",),
        null_content=False,
    )
    for seed in range(CASES):
        maker = Maker(seed, shape)
        messages, tools = conversation(maker, dialect)
        pair = prompts(dialect, template, messages, tools, **options(dialect, source, maker.random))
        if pair is not None:
            assert pair[0] == pair[1], f"seed {seed}"
            done += 1
    assert done >= ENOUGH
