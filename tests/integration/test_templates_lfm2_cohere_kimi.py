"""lfm2, glimmer, command-r7b, kimi-k2 and their kin against the models' published chat templates, byte for byte.

For pythonic formats, the calls have names that Python can write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tcfuzz.case import Json, Message, ToolCall
from tcfuzz.dialects.cohere import Cohere2, CommandR7B
from tcfuzz.dialects.glimmer import Glimmer
from tcfuzz.dialects.kimi_k2 import KimiK2, KimiK2First, KimiK2Thinking
from tcfuzz.dialects.lfm2 import BOS, Lfm2, Lfm2Thinking, Lfm25
from tests.conversations import SYSTEM, TEXT, TEXT_SYSTEM, DescribedMaker, Maker, OrderedMaker, SilentMaker
from tests.proofs import (
    COHERE_TOKENS,
    TOOL,
    BareProof,
    Proof,
    Render,
    between,
    compare_prompts,
    compare_replies,
    kimi_prose,
)


def glimmer_prose(render: Render) -> list[str]:
    text = render([], [TOOL])
    return [
        between(text, "<|message|>", "\nKnowledge cutoff"),
        between(text, "high.\n\n", "// Tool metadata"),
        between(text, '"parameters": {"type": "object"}}', "\n\n# Valid recipients"),
    ]


def command_prose(render: Render) -> list[str]:
    """The sentences without tools, those around the tools, and those before a system text."""
    user = Message("user", "Hi.")
    plain, listed = render([user], []), render([user], [TOOL])
    system = render([Message("system", "Direct."), user], [])
    before, end = "<|SYSTEM_TOKEN|>", "<|END_OF_TURN_TOKEN|>"
    alone = between(plain, before, end)
    around = [between(listed, before, "```json\n"), between(listed, "\n]\n```", end)]
    return [alone, *around, between(system, alone, "Direct." + end)]


def cohere_prose(render: Render) -> list[str]:
    return [between(render([], []), "<|START_TEXT|>", "\n\n# Available Tools\n")]


class PlanProof(Proof):
    """A thought is shown with the calls that it plans, and with them alone."""

    def as_shown(self, reply: Message, history: Sequence[Message], options: Mapping[str, Json]) -> Message:
        return reply if reply.tool_calls else super().as_shown(reply, history, options)


class PythonMaker(Maker):
    """Calls with names that Python can write."""

    def call(self) -> ToolCall:
        call = super().call()
        arguments = {key: value for key, value in call.arguments.items() if key.isidentifier() and key != "class"}
        return ToolCall(self.random.choice(("f", "get_weather", "a.b")), arguments, call.id)


LFM2_TOKENS = {"bos_token": BOS, "eos_token": "<|im_end|>"}
GLIMMER_TOKENS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot|>"}
COMMAND_R7B = "CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja"
PROOFS = (
    Proof(Lfm2(), "LFM2-8B-A1B.jinja", LFM2_TOKENS, SilentMaker, TEXT),
    Proof(Lfm25(), "LFM2.5-Instruct.jinja", LFM2_TOKENS, SilentMaker, TEXT),
    Proof(Lfm2Thinking(), "LFM2.5-8B-A1B.jinja", LFM2_TOKENS, PythonMaker),
    Proof(Glimmer(), "glimmer_chat_template.jinja", GLIMMER_TOKENS, DescribedMaker, SYSTEM, glimmer_prose),
    Proof(Glimmer(), "muse-glimmer.jinja", GLIMMER_TOKENS, DescribedMaker, SYSTEM, glimmer_prose),
    PlanProof(CommandR7B(), COMMAND_R7B, COHERE_TOKENS, DescribedMaker, TEXT_SYSTEM, command_prose),
    BareProof(Cohere2(), "Cohere2MoE.jinja", COHERE_TOKENS, DescribedMaker, TEXT_SYSTEM, cohere_prose),
    Proof(KimiK2(), "Kimi-K2-Instruct.jinja", {}, OrderedMaker, prose=kimi_prose, mutable=True),
    Proof(KimiK2First(), "moonshotai-Kimi-K2.jinja", {}, OrderedMaker, prose=kimi_prose),
    Proof(KimiK2Thinking(), "Kimi-K2-Thinking.jinja", {}, OrderedMaker, prose=kimi_prose, mutable=True),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    compare_prompts(proof)


@proofs
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    compare_replies(proof)
