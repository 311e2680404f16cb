"""phi4-mini, smollm3, llama3.2, xlam, granite-3.3 and llama.cpp's own templates against the real ones, byte for byte.

Templates that leave calls out are compared without calls.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects import granite33, phi4_mini, smollm3
from tcfuzz.dialects.base import to_json
from tcfuzz.dialects.deepseek_r1 import DeepSeekR1LlamaCpp
from tcfuzz.dialects.granite33 import Granite33
from tcfuzz.dialects.llama31 import BUILT_IN, Llama31, Llama32
from tcfuzz.dialects.llama_vllm import Llama31Vllm, Llama32Vllm
from tcfuzz.dialects.phi4_mini import Phi4Mini, Phi4MiniFunctools
from tcfuzz.dialects.rwkv import RwkvWorld
from tcfuzz.dialects.smollm3 import SmolLM3, SmolLM3Plain
from tcfuzz.dialects.xlam import Xlam, XlamQwen, XlamQwenVllm
from tcfuzz.hf import ChatTemplate
from tests.conversations import SYSTEM, TEXT, TEXT_SYSTEM, Maker, Shape, SilentMaker
from tests.proofs import (
    TOOL,
    BareProof,
    Proof,
    Render,
    between,
    compare_prompts,
    compare_replies,
)

CHATML_TOKENS = {"bos_token": "", "eos_token": "<|im_end|>"}
LLAMA_TOKENS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
PHI_TOKENS = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
R1_TOKENS = {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"}
USER = Message("user", "Hi.")

Rewrite = Callable[[str], str]


class ShortProof(BareProof):
    """History shows no thought; some templates trim the text."""

    def reply_options(self, rand: random.Random) -> dict[str, Json]:
        options = super().reply_options(rand)
        options.pop("builtin_tools", None)  # else some of the tools are none
        return options

    def as_shown(self, reply: Message, history: Sequence[Message], options: Mapping[str, Json]) -> Message:
        trimmed = self.dialect.traits.content_trim == "outer"
        content = (reply.content or "").strip() if trimmed else reply.content
        return replace(reply, content=content, reasoning_content=None)


class Adapted(ShortProof):
    """A template that is given what its dialect's tools are to it."""

    def adapt(self, shapes: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]], options: dict[str, Any]) -> None:
        """Change a template's input in place."""

    def template(self) -> ChatTemplate:
        template = super().template()
        theirs = template.render

        def render(messages: Any, tools: Any = None, *, add_generation_prompt: bool = False, **options: Json) -> str:
            shapes = copy.deepcopy(messages)
            self.adapt(shapes, tools or (), options)
            return theirs(shapes, tools, add_generation_prompt=add_generation_prompt, **options)

        setattr(template, "render", render)  # noqa: B010
        return template


# -- phi4-mini ---------------------------------------------------------------------------------------------------------


class PhiProof(Adapted):
    """The system message brings the tools along."""

    def adapt(self, shapes: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]], options: dict[str, Any]) -> None:
        if tools and (not shapes or shapes[0]["role"] != "system"):
            shapes.insert(0, {"role": "system", "content": phi4_mini.DEFAULT_SYSTEM})
        if tools:
            shapes[0]["tools"] = to_json([tool["function"] for tool in tools])

    def limited(self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]) -> bool:
        return super().limited(messages, (), options)


def functools_prose(render: Render) -> list[str]:
    plain, listed = render([USER], []), render([USER], [TOOL])
    default = between(plain, "system|>\n", "<|end|>")
    return [default, between(listed, default, "{\n    ")]


# -- smollm3 -----------------------------------------------------------------------------------------------------------


class SmolMaker(SilentMaker):
    """Switches in the system text, and no system message but the first."""

    def text(self) -> str:
        switches = ("/think", "/no_think", " /think\n", "/system_override")
        return super().text() + (self.random.choice(switches) if self.maybe(0.2) else "")


class SmolProof(Adapted):
    """Tools are a variable of the template's."""

    def adapt(self, shapes: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]], options: dict[str, Any]) -> None:
        options.update(self.dialect.variables([Tool(**tool["function"]) for tool in tools]))


def smollm3_prose(render: Render) -> list[str]:
    """The default text, long and short, and the sentences around both kinds of tools."""
    long, short = (render([Message("system", mode), USER], []) for mode in ("/think", "/no_think"))
    defaults = [between(text, "Custom Instructions\n\n", "\n\n<|im_") for text in (long, short)]
    listed = render([Message("system", "Direct."), USER], [TOOL])
    if "### Tools" not in listed:
        return defaults
    around = [between(listed, "### Tools\n\n", "<tools>\n{"), between(listed, "}\n</tools>\n\n", "\n\n<|im_end|>")]
    return [*defaults, *around]


class CodeProof(SmolProof):
    """With functions for code, whose prose is found in the template's text."""

    def rewriter(self, template: ChatTemplate) -> Rewrite:
        rewrite = super().rewriter(template)
        shown = template.render([USER.to_openai()], python_tools=["def quagga()"])
        before, after = (
            between(shown, "### Tools\n\n", "<tools>\ndef q"),
            between(shown, "gga()\n</tools>", "\n\n<|im_end"),
        )
        ours = (f"{smollm3.CODE_PREAMBLE}\n", f"\n\n{smollm3.CODE_EXPLAINED}")
        return lambda prompt: rewrite(prompt.replace(before, ours[0]).replace(after, ours[1]))


# -- llama3.1 and llama3.2 ---------------------------------------------------------------------------------------------


class LlamaMaker(Maker):
    """One call a turn, some of built-in tools; a user's message comes first."""

    def call(self) -> ToolCall:
        call = super().call()
        if self.maybe(0.6):
            return call
        keys = self.random.sample(("query", "code", "a", "b"), self.random.randrange(4))
        return replace(call, name=self.random.choice(BUILT_IN), arguments={key: self.text() for key in keys})


class LlamaProof(Adapted):
    """All options of the template, in every mixture."""

    def options(self, rand: random.Random) -> dict[str, Json]:
        options = super().options(rand)
        if rand.random() < 0.1:
            options["custom_tools"] = [Tool("custom", "Its own.").to_openai()]
        if self.file.startswith("meta-llama-Llama-3.2"):
            options.pop("builtin_tools", None)
        return options

    def adapt(self, shapes: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]], options: dict[str, Any]) -> None:
        for name, value in self.dialect.variables(()).items():
            options.setdefault(name, value)

    def rewriter(self, template: ChatTemplate) -> Rewrite:
        """The sentences are found in both of their places."""
        rewrite = super().rewriter(template)
        places = ((False, "26 Jul 2024\n\n"), (True, "user<|end_header_id|>\n\n"))
        pairs = []
        for in_user, before in places:
            theirs = template.render([USER.to_openai()], [TOOL.to_openai()], tools_in_user_message=in_user)
            ours = self.dialect.render([USER], [TOOL], tools_in_user_message=in_user)
            pairs.append([between(text, before, "{\n    ") for text in (theirs, ours)])

        def both(prompt: str) -> str:
            for their, our in pairs:
                prompt = prompt.replace(their, our)
            return rewrite(prompt)

        return both


class VllmProof(LlamaProof):
    """With a system text of its own where there are tools."""

    def rewriter(self, template: ChatTemplate) -> Rewrite:
        rewrite = super().rewriter(template)
        shown = template.render([USER.to_openai()], [TOOL.to_openai()], tools_in_user_message=True)
        theirs = between(shown, "26 Jul 2024\n\n", "<|eot_id|>")
        ours = between(self.dialect.render([USER], [TOOL], tools_in_user_message=True), "26 Jul 2024\n\n", "<|eot_id|>")
        return lambda prompt: rewrite(prompt.replace(theirs, ours))


# -- xlam --------------------------------------------------------------------------------------------------------------


def xlam_prose(header: str) -> Callable[[Render], list[str]]:
    """The default text, and what follows it where there are tools."""

    def prose(render: Render) -> list[str]:
        plain, listed = render([USER], []), render([USER], [TOOL])
        default = between(plain, header, "\n<|")
        return [default, between(listed, f"{default}\n", "{\n    ")]

    return prose


XLAM_PROSE, XLAM_QWEN_PROSE = xlam_prose("system<|end_header_id|>\n\n"), xlam_prose("<|im_start|>system\n")


# -- granite-3.3 -------------------------------------------------------------------------------------------------------


class GraniteProof(ShortProof):
    """The vendor's sentence behind the date differs with tools and options: ours is one."""

    def rewriter(self, template: ChatTemplate) -> Rewrite:
        dated = r"end_of_role\|>Knowledge Cutoff Date: \w+ 2024\. Today's Date: July 26, 2024\. "
        default = re.compile(rf"({dated})You are Gr.*?(<\|end_of_t)", re.DOTALL)
        return lambda prompt: default.sub(rf"\1{granite33.DEFAULT_SYSTEM}\2", prompt, count=1)

    def options(self, rand: random.Random) -> dict[str, Json]:
        options = super().options(rand)
        return {**options, "controls": {"citations": True, "hallucinations": True}} if rand.random() < 0.1 else options


# -- deepseek-r1-llama-cpp ---------------------------------------------------------------------------------------------


class R1Proof(ShortProof):
    """With tools: the template passes an iterator on as JSON, which raises, and is given a list here."""

    def template(self) -> ChatTemplate:
        text = super().template().text
        listed = text.replace("map(attribute='function') | tojson", "map(attribute='function') | list | tojson")
        assert listed != text
        return ChatTemplate(listed, special_tokens=self.tokens)

    def limited(self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]) -> bool:
        return super().limited(messages, (), options)


def r1_prose(render: Render) -> list[str]:
    text = render([USER], [TOOL])
    return [between(text, "sentence｜>", "[\n  {"), between(text, "  }\n]\n\n", "\n\n<｜User｜>")]


class TalkMaker(Maker):
    """No calls and no results."""

    def steps(self) -> list[Message]:  # type: ignore[override]
        return [Message("assistant", self.null(), self.reasoning())]


ONE_CALL = Shape(calls=1, null_content=False)
PHI = PhiProof(Phi4Mini(), "microsoft-Phi-4-mini-instruct.jinja", PHI_TOKENS, SilentMaker, TEXT, elsewhere=True)
SMOL_FILE = "HuggingFaceTB-SmolLM3-3B-original.jinja"
LLAMAS = (
    LlamaProof(Llama31(), "meta-llama-Llama-3.1-8B-Instruct.jinja", LLAMA_TOKENS, LlamaMaker, ONE_CALL),
    LlamaProof(Llama31(), "meta-llama-Llama-3.2-3B-Instruct.jinja", LLAMA_TOKENS, LlamaMaker, ONE_CALL),
    LlamaProof(Llama31(), "meta-llama-Llama-3.3-70B-Instruct.jinja", LLAMA_TOKENS, LlamaMaker, ONE_CALL),
)
VLLMS = (
    VllmProof(Llama31Vllm(), "vllm-llama3.1-json.jinja", LLAMA_TOKENS, LlamaMaker, ONE_CALL, elsewhere=True),
    VllmProof(Llama32Vllm(), "vllm-llama3.2-json.jinja", LLAMA_TOKENS, LlamaMaker, ONE_CALL, elsewhere=True),
)
BUILTS = (
    LlamaProof(Llama32(), "meta-llama-Llama-3.1-8B-Instruct.jinja", LLAMA_TOKENS, LlamaMaker, ONE_CALL),
    LlamaProof(Llama32(), "meta-llama-Llama-3.3-70B-Instruct.jinja", LLAMA_TOKENS, LlamaMaker, ONE_CALL),
)
REST = (
    PHI,
    ShortProof(
        Phi4MiniFunctools(), "vllm-phi4-mini.jinja", PHI_TOKENS, SilentMaker, TEXT, functools_prose, elsewhere=True
    ),
    SmolProof(SmolLM3Plain(), "HuggingFaceTB-SmolLM3-3B.jinja", CHATML_TOKENS, SmolMaker, TEXT_SYSTEM, smollm3_prose),
    ShortProof(Xlam(), "vllm-xlam-llama.jinja", LLAMA_TOKENS, Maker, TEXT, XLAM_PROSE, elsewhere=True),
    ShortProof(
        XlamQwen(),
        "Salesforce-xLAM-2-3b-fc-r.jinja",
        CHATML_TOKENS,
        Maker,
        TEXT,
        xlam_prose("<|im_start|>system\n"),
        elsewhere=True,
    ),
    ShortProof(XlamQwenVllm(), "vllm-xlam-qwen.jinja", CHATML_TOKENS, Maker, TEXT, XLAM_QWEN_PROSE, elsewhere=True),
    GraniteProof(Granite33(), "ibm-granite-granite-3.3-2B-Instruct.jinja", {}, SilentMaker, TEXT),
    ShortProof(DeepSeekR1LlamaCpp(), "llama-cpp-deepseek-r1.jinja", R1_TOKENS, Maker, TEXT_SYSTEM),
    R1Proof(DeepSeekR1LlamaCpp(), "llama-cpp-deepseek-r1.jinja", R1_TOKENS, Maker, TEXT_SYSTEM, r1_prose),
    ShortProof(RwkvWorld(), "llama-cpp-rwkv-world.jinja", {"bos_token": "<s>"}, TalkMaker, SYSTEM),
)
CODE = CodeProof(SmolLM3(), SMOL_FILE, CHATML_TOKENS, SmolMaker, TEXT_SYSTEM, smollm3_prose, elsewhere=True)


@pytest.mark.parametrize("proof", [*REST, CODE, *LLAMAS, *VLLMS, *BUILTS], ids=str)
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    compare_prompts(proof)


@pytest.mark.parametrize("proof", [*REST, CODE, *VLLMS, *BUILTS], ids=str)
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    compare_replies(proof)
