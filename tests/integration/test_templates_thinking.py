"""stepfun-3.5, qwq and other formats with a thought in the prompt against the real chat templates, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tcfuzz.case import Json, Message
from tcfuzz.dialects.base import Dialect
from tcfuzz.dialects.gemma4_interleaved import Gemma4Interleaved
from tcfuzz.dialects.gemma4_revisions import Gemma4LargePrevious
from tcfuzz.dialects.hy3 import Hy3
from tcfuzz.dialects.ling import Ling30
from tcfuzz.dialects.nemotron_nano import NemotronNanoV2
from tcfuzz.dialects.qwq import QwQLlamaCpp
from tcfuzz.dialects.spark import Spark25
from tcfuzz.dialects.stepfun import StepFun35
from tests.conversations import SYSTEM, TEXT_SYSTEM, Maker
from tests.proofs import (
    TOOL,
    Proof,
    Render,
    between,
    compare_prompts,
    compare_replies,
    emitted,
    last_reply,
    rendered,
)

CHATML_TOKENS = {"bos_token": "", "eos_token": "<|im_end|>"}


def around_tools(render: Render) -> list[str]:
    text = render([Message("user", "Hi.")], [TOOL])
    return [between(text, "# Tools", "<tools>\n{"), between(text, "}\n</tools>", "<|im_end|>")]


def spark_prose(render: Render) -> list[str]:
    plain, listed = (render([Message("user", "Hi.")], tools) for tools in ([], [TOOL]))
    default = between(plain, "<|System|>\n", "<｜end")
    return [between(listed, default, "<tools>\n{"), default]


def ling_prose(render: Render) -> list[str]:
    text = render([Message("user", "Hi.")], [TOOL])
    return [between(text, "# Tools", "<tools>\n{"), between(text, "}\n</tools>", "detailed")]


def hy3_prose(render: Render) -> list[str]:
    text = render([Message("user", "Hi.")], [TOOL])
    return [between(text, "# Tools", "<tools>\n{"), between(text, "}\n</tools>", "<｜reasoning_mode")]


def nemotron_prose(render: Render) -> list[str]:
    text = render([Message("user", "Hi.")], [TOOL])
    behind = between(text, "</AVAILABLE_TOOLS>", "<SPECIAL_11>").rstrip("\n")
    return [between(text, "System\n", "\n<AVAILABLE_TOOLS>"), behind]


class RareOptions(Proof):
    """With the options that belong to training and to continued answers."""

    def options(self, rand: random.Random) -> dict[str, Json]:
        options = super().options(rand)
        rare = {"raw_last_assistant": True, "fallback_strategy": "reasoning_toolcall_retry"}
        return {**options, **{name: value for name, value in rare.items() if rand.random() < 0.1}}


class ThoughtProof(Proof):
    """A thought of white space alone is the empty one, which a prompt may have said already."""

    def as_shown(self, reply: Message, history: Sequence[Message], options: Mapping[str, Json]) -> Message:
        return reply if (reply.reasoning_content or "").strip() else replace(reply, reasoning_content=None)


class ObservingMaker(Maker):
    """Some system messages have a name, be it one that the template knows."""

    def conversation(self) -> list[Message]:
        return [self.named(m) if m.role == "system" and self.maybe() else m for m in super().conversation()]

    def named(self, message: Message) -> Message:
        return Message("system", message.content, name=self.random.choice(("observation", "other")))


class TextMaker(Maker):
    """No null content, not even beside calls."""

    def conversation(self) -> list[Message]:
        return [Message(m.role, m.content or "", m.reasoning_content, m.tool_calls) for m in super().conversation()]


class TogglingMaker(Maker):
    """Some texts switch thinking on or off."""

    def text(self) -> str:
        text = super().text()
        words = (
            "detailed thinking on",
            "detailed thinking off",
            "detailed thinking",
            "/think",
            "/no_think",
            "</think>",
        )
        return text + self.random.choice(words) + super().text() if self.maybe(0.1) else text


PROOFS = (
    Proof(
        StepFun35(bos="<bos>"),
        "StepFun3.5-Flash.jinja",
        {**CHATML_TOKENS, "bos_token": "<bos>"},
        ObservingMaker,
        SYSTEM,
        around_tools,
    ),
    Proof(QwQLlamaCpp(), "Qwen-QwQ-32B.jinja", CHATML_TOKENS, TextMaker, TEXT_SYSTEM, around_tools),
    Proof(Spark25(), "Spark2.5.jinja", {}, shape=SYSTEM, prose=spark_prose),
    ThoughtProof(Ling30(), "inclusionai-ling-3.0-flash.jinja", {}, TogglingMaker, SYSTEM, ling_prose),
    Proof(NemotronNanoV2(), "NVIDIA-Nemotron-Nano-v2.jinja", {}, TogglingMaker, TEXT_SYSTEM, nemotron_prose),
    Proof(Gemma4LargePrevious(), "google-gemma-4-31B-it.jinja", {"bos_token": "<bos>"}),
    Proof(Gemma4Interleaved(), "google-gemma-4-31B-it-interleaved.jinja", {"bos_token": "<bos>"}),
    Proof(Hy3(), "tencent-Hy3.jinja", {}, shape=SYSTEM, prose=hy3_prose),
)
RARE = RareOptions(Hy3(), "tencent-Hy3.jinja", {}, shape=SYSTEM, prose=hy3_prose)
ANSWERED = tuple(proof for proof in PROOFS if proof.dialect.traits.prompt_kept)


@pytest.mark.parametrize("proof", [*PROOFS, RARE], ids=str)
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    compare_prompts(proof)


@pytest.mark.parametrize("proof", ANSWERED, ids=str)
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    compare_replies(proof)


def test_qwq_says_what_the_template_shows_of_the_last_message() -> None:
    """History shows no thought: no prompt with an open one, nor with an empty one, is the beginning of it."""
    proof = proof_of(QwQLlamaCpp)
    template = proof.template()
    user = "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n"
    for reply, said in replies(proof):
        prompt = rendered(template, [Message("user", "Hi."), reply], [], False, {})
        assert prompt == f"{user}{said}<|im_end|>\n"


def test_nemotron_nano_says_what_the_template_shows_of_the_last_message() -> None:
    """Text alone behind an empty thought, calls alone; what is more than that the template takes apart."""
    proof = proof_of(NemotronNanoV2)
    template = proof.template()
    user = Message("user", "Hi. /no_think")
    before = rendered(template, [user], [], True, {})
    for reply, said in replies(proof):
        if not proof.limited([user, reply], [], {}):
            after = rendered(template, [user, reply], [], False, {})
            bare = before.removesuffix("<think></think>") if reply.tool_calls else before
            assert proof.dialect.strip_turn_end(after) == (bare + said if said else before[: before.rindex("<SP")])


def test_gemma4_interleaved_says_what_the_template_adds() -> None:
    """Where the prompt leaves it to the model to think; text stands behind the calls in history alone."""
    proof, options = proof_of(Gemma4Interleaved), {"enable_thinking": True}
    template = proof.template()
    before = rendered(template, [Message("user", "Hi.")], [], True, options)
    for reply, said in replies(proof):
        if not (reply.content and reply.tool_calls):
            after = rendered(template, [Message("user", "Hi."), reply], [], False, options)
            assert proof.dialect.strip_turn_end(after) == before + said.strip()


def proof_of(kind: type[Dialect]) -> Proof:
    return next(proof for proof in PROOFS if type(proof.dialect) is kind)


def replies(proof: Proof) -> list[tuple[Message, str]]:
    """Replies without thoughts, with their native texts."""
    drawn = [replace(last_reply(proof.maker(seed, proof.shape)), reasoning_content=None) for seed in range(400)]
    found = [(reply, said) for reply in drawn if (said := emitted(proof.dialect, reply)) is not None]
    assert len(found) > 200
    return found
