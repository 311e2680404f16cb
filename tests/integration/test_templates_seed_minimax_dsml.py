"""seed-oss, minimax-m2, deepseek-v3.2 and their kin against the models' published chat templates, byte for byte."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.deepseek_v31 import BOS, EOS
from tcfuzz.dialects.dsml import DeepSeekV4, DeepSeekV32
from tcfuzz.dialects.granite import Granite4, Granite41
from tcfuzz.dialects.minimax import MiniMaxM1, MiniMaxM2
from tcfuzz.dialects.seed_oss import SeedOss
from tcfuzz.hf import ChatTemplate
from tests.conversations import SYSTEM, TEXT, TEXT_SYSTEM, Maker, OrderedMaker
from tests.proofs import TOOL, Proof, Render, between, compare_prompts, compare_replies, rendered

RenderWith = Callable[[list[Message], list[Tool], dict[str, Json]], str]


class OptionProof(Proof, ABC):
    """With sentences that options bring."""

    def rewriter(self, template: ChatTemplate) -> Callable[[str], str]:
        rewrite = super().rewriter(template)
        theirs = self.sentences(lambda messages, tools, options: rendered(template, messages, tools, True, options))
        ours = self.sentences(lambda messages, tools, options: self.dialect.render(messages, tools, **options))
        pairs = list(zip(theirs, ours, strict=True))

        def rewrite_all(prompt: str) -> str:
            for their, our in pairs:
                prompt = prompt.replace(their, our)
            return rewrite(prompt)

        return rewrite_all

    @abstractmethod
    def sentences(self, render: RenderWith) -> list[str]:
        """Those in some renderings."""


class SeedProof(OptionProof):
    """The sentences about the thinking budget and before a JSON list of tools."""

    def sentences(self, render: RenderWith) -> list[str]:
        listed = render([Message("system", "s")], [TOOL], {"use_json_tooldef": True})
        found = [between(listed, "system\ns\n", "\n[")]
        for budget in self.dialect.traits.options["thinking_budget"]:
            prompt = render([Message("user", "Hi.")], [], {"thinking_budget": budget})
            assert budget == 0 or numbers(prompt) == BUDGET_NUMBERS[budget]
            found += budget_prose(prompt)
        return found


class DeepSeekProof(OptionProof):
    """The sentences about the reasoning effort."""

    def sentences(self, render: RenderWith) -> list[str]:
        prompt = render([Message("system", "s")], [], {"thinking": True, "reasoning_effort": "max"})
        return [between(prompt, BOS, "\n\ns<")]

    def limited(self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]) -> bool:
        """Without thinking, the reasoning of a reply is not shown."""
        thinks = options.get("thinking", options.get("enable_thinking"))
        hidden = bool(messages) and bool(messages[-1].reasoning_content) and not thinks
        return hidden or super().limited(messages, tools, options)


HEADER = "<|start_of_role|>system<|end_of_role|>"
BUDGET_NUMBERS = {512: {"512", "128"}, 600: {"600", "256"}}
DSML_TOKENS = {"bos_token": BOS, "eos_token": EOS}


def numbers(prompt: str) -> set[str]:
    """The numbers in a prompt."""
    return set(re.findall(r"\d+", prompt))


def budget_prose(prompt: str) -> list[str]:
    thought = [between(prompt, "cot_budget_reflect>", "</seed:cot")] if "<seed:think>" in prompt else []
    return [between(prompt, "system\n", "\n<seed:eos>"), *thought]


def seed_prose(render: Render) -> list[str]:
    """The default system text, and the sentence behind the tools."""
    tool = replace(TOOL, parameters={"type": "object", "properties": {}})
    text = render([Message("user", "Hi.")], [tool])
    return [between(text, "system\n", "\n\nFunction"), between(text, 'it.\n\n\n\n    """\n', "\n<seed:eos>")]


def minimax_prose(render: Render) -> list[str]:
    """The sentences around the tools."""
    text = render([], [TOOL])
    return [between(text, "assistant.", "<tools>\n<tool>"), between(text, "</tool>\n</tools>", "[e~[")]


def dsml_prose(render: Render) -> list[str]:
    """The sentences before and behind the tools."""
    text = render([], [TOOL])
    return [between(text, BOS, '{"name"'), text.split("}}\n", 1)[1]]


def granite_prose(render: Render) -> list[str]:
    """The default system text, and the sentences around the tools."""
    plain, listed = render([Message("user", "Hi.")], []), render([Message("user", "Hi.")], [TOOL])
    default = [between(plain, HEADER, "<|end_of_text|>")] if plain.startswith(HEADER) else []
    return [*default, between(listed, HEADER, '\n{"type"'), between(listed, "}}}\n", "<|end_of_text|>")]


def minimax_m1_prose(render: Render) -> list[str]:
    """The default system text, and the sentences around the tools."""
    text = render([Message("user", "Hi.")], [TOOL])
    assistant = between(text, "ai_setting=assistant\n", "<end_of_sentence>")
    return [assistant, between(text, "tool_setting=tools\n", "{"), between(text, "</tools>\n\n", "<end_of_sentence>")]


class TextMaker(Maker):
    """Calls come with a text, be it empty."""

    def steps(self) -> Iterator[Message]:
        yield from (replace(message, content=message.content or "") for message in super().steps())


PROOFS = (
    SeedProof(SeedOss(), "ByteDance-Seed-OSS.jinja", {}, shape=TEXT, prose=seed_prose),
    Proof(MiniMaxM2(), "MiniMax-M2.jinja", {}, TextMaker, TEXT_SYSTEM, minimax_prose),
    Proof(MiniMaxM1(), "MiniMax-M1.jinja", {}, shape=TEXT_SYSTEM, prose=minimax_m1_prose),
    Proof(DeepSeekV32(), "deepseek-ai-DeepSeek-V3.2.jinja", DSML_TOKENS, OrderedMaker, SYSTEM, dsml_prose),
    DeepSeekProof(DeepSeekV4(), "deepseek-ai-DeepSeek-V4.jinja", DSML_TOKENS, prose=dsml_prose),
    DeepSeekProof(DeepSeekV4(), "deepseek-ai-DeepSeek-V4-Flash-0731.jinja", DSML_TOKENS, prose=dsml_prose),
    Proof(Granite4(), "ibm-granite-granite-4.0.jinja", {}, shape=SYSTEM, prose=granite_prose),
    Proof(Granite41(), "ibm-granite-granite-4.1.jinja", {}, shape=SYSTEM, prose=granite_prose),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    compare_prompts(proof)


@proofs
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    compare_replies(proof)
