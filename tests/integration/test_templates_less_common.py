"""Less common formats against the models' published chat templates, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.apriel import THOUGHT as APRIEL_THOUGHT
from tcfuzz.dialects.apriel import Apriel15, Apriel16
from tcfuzz.dialects.bielik import THINKING as BIELIK_THINKING
from tcfuzz.dialects.bielik import Bielik
from tcfuzz.dialects.cohere import GENERATION_PROMPT as COHERE_GENERATION
from tcfuzz.dialects.command_r_plus import CommandRPlus
from tcfuzz.dialects.gigachat import GigaChat3, GigaChat31
from tcfuzz.dialects.llm_jp import LlmJp
from tcfuzz.dialects.reka import RekaEdge
from tcfuzz.dialects.solar import SolarOpen
from tcfuzz.hf import ChatTemplate
from tests.conversations import SYSTEM, TEXT, TEXT_SYSTEM, Maker, Shape
from tests.integration.test_templates_hermes2_functionary import DescribedSchemaMaker
from tests.proofs import (
    COHERE_TOKENS,
    TOOL,
    Proof,
    Render,
    between,
    compare_prompts,
    compare_replies,
    rendered,
)

USER = Message("user", "Hi.")


class DescribedMaker(Maker):
    """Tools and parameters with descriptions and types that are known, as some templates need them."""

    def tools(self) -> list[Tool]:
        drawn = super().tools() or [self.tool("f")]
        return [replace(tool, description=tool.description or "", parameters=tool.parameters or {}) for tool in drawn]

    def schema(self, depth: int) -> Json:
        schema = super().schema(depth)
        if not isinstance(schema, dict):
            return schema if self.maybe(0.1) else {"description": "Odd."}
        if schema.get("type") == ["string", "null"] and self.maybe(0.9):
            schema["type"] = ["string", "integer", "array"]
        if schema.get("type") == "object" and self.maybe(0.9):
            schema["additionalProperties"] = self.random.choice((False, {"type": "integer"}, {}))
        return {"description": self.text(), **schema} if self.maybe(0.98) else schema


class NullMaker(Maker):
    """Null content beside calls as an empty text."""

    def steps(self) -> list[Message]:  # type: ignore[override]
        return [replace(m, content=m.content or "") if m.tool_calls else m for m in super().steps()]


class PlusMaker(DescribedMaker, NullMaker):
    """What Command R+ takes."""


def plus_prose(render: Render) -> list[str]:
    text = render([USER], [TOOL])
    system, tools = "\n\n# User Preamble\n", "## Available Tools\n"
    return [
        between(text, "<|SYSTEM_TOKEN|>", system),
        between(text, system, "\n\n" + tools),
        between(text, tools, "\n\n```python"),
        text.removesuffix("<|END_OF_TURN_TOKEN|>").rpartition("<|SYSTEM_TOKEN|>")[2],
    ]


def before_instruction(prompt: str) -> str:
    """A prompt as a reply follows it: the system turn at its end goes behind that."""
    return prompt[: prompt.rindex("<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>")] + COHERE_GENERATION


APRIEL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def apriel_prose(render: Render) -> list[str]:
    """What stands in every system turn, what stands before the tools there, and what behind them."""
    system = render([Message("system", "Be brief.")], [])
    alone = between(system, "system|>\n", "Be brief.").removesuffix("\n")
    text = render([USER], [TOOL])
    before, rest = text.split(alone, 1)[1].split("<available_tools>\n{", 1)
    behind = rest.split("</available_tools>", 1)[1].split("<|", 1)[0]
    ends = behind.removesuffix("\n<|end|>\n").removesuffix("\n")
    return [alone, before.removesuffix(" " * 8).strip("\n"), ends]


@dataclass(frozen=True)
class TurnProof(Proof):
    """kept: what of a prompt stays where a reply follows. shown: what history shows of a reply."""

    kept: Callable[[str], str] = str
    shown: Callable[[str], str] = str

    def forgets(self, options: Mapping[str, Json]) -> bool:
        """Whether the template shows no reasoning, not even that of the last reply."""
        return not self.dialect.traits.reasoning_in_history and not options.get("enable_thinking")

    def as_shown(self, reply: Message, history: Sequence[Message], options: Mapping[str, Json]) -> Message:
        shown = reply.reasoning_content and not self.forgets(options)
        return reply if shown else replace(reply, reasoning_content=None)

    def begun(self, prompt: str) -> str:
        return self.kept(prompt)

    def said(self, start: str, native: str) -> str:
        return self.shown(super().said(start, native))


SOLAR = "upstage-Solar-Open-100B.jinja"


class FieldProof(TurnProof):
    """The client gives reasoning in a field of another name, too."""

    def __str__(self) -> str:
        return f"{super().__str__()}:field"

    def forgets(self, options: Mapping[str, Json]) -> bool:
        return False

    def template(self) -> ChatTemplate:
        template = super().template()
        theirs = template.render

        def render(messages: Any, tools: Any = None, **options: Any) -> str:
            return theirs([{"reasoning": m.get("reasoning_content"), **m} for m in messages], tools, **options)

        setattr(template, "render", render)  # noqa: B010
        return template


def solar_prose(render: Render) -> list[str]:
    text = render([], [TOOL])
    around = between(text, "## Tools\n\n", "<|tools:begin|><|tool:begin|>{"), text.split("<|tools:end|>")[-1]
    return [between(text, "System Prompt\n\n", "\n\n## Tools"), around[0], around[1].removesuffix("<|end|>")]


GIGACHAT_TOKENS = {"bos_token": "<s>", "eos_token": "<|message_sep|>"}


class FormatMaker(Maker):
    """More keywords of schemas, and descriptions of several lines."""

    def schema(self, depth: int) -> Json:
        schema = super().schema(depth)
        if not isinstance(schema, dict):
            return schema if self.maybe(0.2) else {}
        extras: tuple[dict[str, Json], ...] = (
            {"format": "date"},
            {"pattern": "a.b", "maxItems": 3, "minimum": 1.5},
            {"additionalProperties": True},
            {"type": "integer", "enum": [1, 2]},
            {"description": "One.\n\n \nTwo.\r\n"},
        )
        return {**schema, **self.random.choice(extras)} if self.maybe(0.4) else schema


def gigachat_prose(render: Render) -> list[str]:
    return [between(render([], []), "<|role_sep|>\n", "<|message_sep|>")]


BIELIK_TOKENS = {"bos_token": "<s>", "eos_token": "<|im_end|>"}


def bielik_prose(render: Render) -> list[str]:
    text = render([USER], [TOOL])
    before, behind = between(text, "system\n\n\n", "[{"), between(text, "}]\n<|function_list|>\n\n", "\n<|im_end|>")
    return [before.removesuffix("\n<|function_list|>\n"), behind]


class BielikProof(TurnProof):
    """Where thinking is on, the vendor says more."""

    def rewriter(self, template: ChatTemplate) -> Callable[[str], str]:
        rewrite = super().rewriter(template)
        thinking = rendered(template, [Message("system", "Be brief."), USER], [], False, {"enable_thinking": True})
        prose = between(thinking, "Be brief.\n\n", "<|im_end|>")
        return lambda prompt: rewrite(prompt).replace(prose, BIELIK_THINKING)


def reka_prose(render: Render) -> list[str]:
    text = render([], [TOOL])
    return [between(text, "# Tools\n\n", "\n<tools>\n{"), between(text, "}\n</tools>\n\n", "\n\n<sep>")]


class JpMaker(DescribedSchemaMaker):
    """What LLM-jp takes: descriptions, and no text beside calls."""

    def steps(self) -> list[Message]:  # type: ignore[override]
        return [replace(m, content="") if m.tool_calls else m for m in super().steps()]


def jp_prose(render: Render) -> list[str]:
    text = render([USER], [TOOL])
    channels = between(text, "Reasoning: medium\n\n", "<|end|>").split("\n", 1)
    return [between(text, "<|message|>", "\nKnowledge cutoff"), *channels]


PROOFS = (
    TurnProof(
        CommandRPlus(),
        "CohereForAI-c4ai-command-r-plus-tool_use.jinja",
        COHERE_TOKENS,
        PlusMaker,
        TEXT_SYSTEM,
        plus_prose,
        kept=before_instruction,
    ),
    TurnProof(Apriel15(), "unsloth-Apriel-1.5.jinja", APRIEL_TOKENS, shape=TEXT_SYSTEM, prose=apriel_prose),
    TurnProof(
        Apriel16(),
        "Apriel-1.6-15b-Thinker-fixed.jinja",
        APRIEL_TOKENS,
        shape=SYSTEM,
        prose=apriel_prose,
        kept=lambda prompt: prompt.removesuffix(APRIEL_THOUGHT),
        shown=lambda said: said.removeprefix(APRIEL_THOUGHT),
    ),
    TurnProof(SolarOpen(), SOLAR, {}, shape=SYSTEM, prose=solar_prose),
    FieldProof(SolarOpen(reasoning_field=True), SOLAR, {}, shape=SYSTEM, prose=solar_prose),
    TurnProof(GigaChat3(), "GigaChat3-10B-A1.8B.jinja", GIGACHAT_TOKENS, FormatMaker, Shape(calls=1), gigachat_prose),
    TurnProof(
        GigaChat31(), "GigaChat3.1-10B-A1.8B.jinja", GIGACHAT_TOKENS, FormatMaker, Shape(calls=1), gigachat_prose
    ),
    BielikProof(Bielik(), "Bielik-11B-v3.0-Instruct.jinja", BIELIK_TOKENS, NullMaker, TEXT_SYSTEM, bielik_prose),
    TurnProof(RekaEdge(), "Reka-Edge.jinja", {}, prose=reka_prose),
    TurnProof(LlmJp(), "llm-jp-llm-jp-4.1-8b-thinking.jinja", {}, JpMaker, TEXT, jp_prose),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    compare_prompts(proof)


@proofs
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    compare_replies(proof)
