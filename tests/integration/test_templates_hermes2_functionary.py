"""hermes-2-pro and its kin against the models' published chat templates, byte for byte."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from jinja2 import UndefinedError

from tcfuzz.case import Json, Message, Tool, ToolCall
from tcfuzz.dialects.apertus import Apertus
from tcfuzz.dialects.base import to_json
from tcfuzz.dialects.firefunction import Firefunction2
from tcfuzz.dialects.functionary import Functionary31, Functionary32
from tcfuzz.dialects.hermes_2_pro import BOS, Hermes2Pro
from tcfuzz.dialects.llama31 import DATE
from tcfuzz.hf import ChatTemplate
from tests.conversations import TEXT, TEXT_SYSTEM, Maker
from tests.proofs import TOOL, Proof, Render, between, compare_prompts, compare_replies, rendered

LLAMA_TOKENS = {"bos_token": BOS, "eos_token": "<|eot_id|>"}
HERMES_TOKENS = {"bos_token": BOS, "eos_token": "<|im_end|>"}


def hermes_prose(render: Render) -> list[str]:
    text = render([], [TOOL])
    return [between(text, "system\n", " <tools> {"), between(text, "{}} </tools>", "<|im_end|>")]


def functionary_prose(render: Render) -> list[str]:
    text = render([], [TOOL])
    return [between(text, "December 2023\n\n\n", "\n\nUse the"), between(text, "#34;}}\n\n\n", "\n\n<|eot_id|>")]


def firefunction_prose(render: Render) -> list[str]:
    user = render([Message("user", "Hi.")], [])
    system = between(user, "system<|end_header_id|>\n\n", "\n")
    return [system, between(user, system + "\n", "\n[]\nToday")]


class HermesMaker(Maker):
    """Tools as the template can declare them: with description, parameters and types that it knows."""

    def tools(self) -> list[Tool]:
        drawn = super().tools() or [self.tool("f")]
        return [replace(tool, description=tool.description or "", parameters=tool.parameters or {}) for tool in drawn]

    def schema(self, depth: int) -> Json:
        schema = super().schema(depth)
        if isinstance(schema, dict) and schema.get("type") in (["string", "null"], "odd") and self.maybe(0.9):
            schema["type"] = ["string", "integer", "array"]
        return schema


class PythonMaker(Maker):
    """Some calls are of the built-in tool."""

    def call(self) -> ToolCall:
        call = super().call()
        return replace(call, name="python") if self.maybe(0.2) else call

    def tool(self, name: str) -> Tool:
        tool = super().tool(name)
        return replace(tool, description=tool.description or "")


class VariableProof(Proof):
    """The template takes tools and date as variables of its own."""

    def template(self) -> ChatTemplate:
        template = super().template()
        theirs = template.render

        def render(messages: Any, tools: Any = None, *, add_generation_prompt: bool = False, **options: Json) -> str:
            functions = [tool["function"] for tool in tools or ()]
            variables: dict[str, Json] = {
                "functions": json.dumps(functions, ensure_ascii=False, indent=4),
                "datetime": DATE,
            }
            return theirs(messages, None, add_generation_prompt=add_generation_prompt, **variables | options)

        setattr(template, "render", render)  # noqa: B010
        return template


class TextProof(Proof):
    """The template takes arguments as JSON text."""

    def template(self) -> ChatTemplate:
        template = super().template()
        theirs = template.render

        def render(messages: Any, tools: Any = None, **options: Any) -> str:
            shapes = copy.deepcopy(messages)
            for call in [call for shape in shapes for call in shape.get("tool_calls", ())]:
                call["function"]["arguments"] = to_json(call["function"]["arguments"])
            return theirs(shapes, tools, **options)

        setattr(template, "render", render)  # noqa: B010
        return template


def recipient_prose(render: Render) -> list[str]:
    return [between(render([], []), "system<|end_header_id|>\n\n", "\nnamespace functions {")]


class SchemaMaker(Maker):
    """More kinds of schemas."""

    def schema(self, depth: int) -> Json:
        schema = super().schema(depth)
        if not isinstance(schema, dict):
            return {"type": "array", "items": self.schema(depth + 1)} if depth < 3 else {}
        extras: tuple[dict[str, Json], ...] = (
            {"examples": ["it's", 1, None]},
            {"maximum": 7, "minimum": 0},
            {"minLength": 0},
            {"format": "date"},
            {"default": "x.", "description": "Ends."},
        )
        return {**schema, **self.random.choice(extras)} if self.maybe(0.3) else schema

    def object_schema(self, depth: int) -> dict[str, Json]:
        schema = super().object_schema(depth)
        if "properties" in schema and self.maybe(0.4):
            one = [{"type": "integer"}, {"type": "string", "format": "date"}, {"format": "time"}, {"type": "string"}]
            schema["properties"]["x"] = {"oneOf": one[: self.random.randrange(1, 5)]}
            schema["properties"]["y"] = {"type": "array", "items": {"type": "string", "enum": ["a", 1, "a", None]}}
            schema["properties"]["w"] = {"type": "array", "items": self.object_schema(3) if depth < 3 else {}}
        return schema


class DescribedSchemaMaker(SchemaMaker):
    """Every tool has a description; a system message comes first or not at all, a result after an assistant."""

    def tool(self, name: str) -> Tool:
        tool = super().tool(name)
        return replace(tool, description=tool.description or "")

    def object_schema(self, depth: int) -> dict[str, Json]:
        schema = super().object_schema(depth)
        if "properties" in schema and self.maybe(0.4):
            one: list[Json] = [{"type": "string", "default": "é"}, {"type": "object", "description": "Odd."}, {}]
            schema["properties"]["v"] = {"type": "array", "items": {"oneOf": one}}
            schema["properties"]["o"] = {"oneOf": one, "default": "a"}
        return schema


def apertus_prose(render: Render) -> list[str]:
    return [between(render([], []), "<|system_start|>", "<|system_end|>")]


PROOFS = (
    Proof(
        Hermes2Pro(),
        "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja",
        HERMES_TOKENS,
        HermesMaker,
        TEXT_SYSTEM,
        hermes_prose,
    ),
    Proof(
        Hermes2Pro(),
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja",
        HERMES_TOKENS,
        HermesMaker,
        TEXT_SYSTEM,
        hermes_prose,
    ),
    Proof(
        Functionary31(),
        "meetkai-functionary-medium-v3.1.jinja",
        LLAMA_TOKENS,
        PythonMaker,
        TEXT,
        functionary_prose,
    ),
    VariableProof(
        Firefunction2(),
        "fireworks-ai-llama-3-firefunction-v2.jinja",
        LLAMA_TOKENS,
        shape=TEXT_SYSTEM,
        prose=firefunction_prose,
    ),
    TextProof(
        Functionary32(),
        "meetkai-functionary-medium-v3.2.jinja",
        LLAMA_TOKENS,
        SchemaMaker,
        TEXT,
        recipient_prose,
    ),
    Proof(
        Apertus(),
        "Apertus-8B-Instruct.jinja",
        {"bos_token": "<s>", "eos_token": "<|assistant_end|>"},
        DescribedSchemaMaker,
        TEXT_SYSTEM,
        apertus_prose,
    ),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    compare_prompts(proof)


@proofs
def test_a_reply_is_what_the_template_adds(proof: Proof) -> None:
    compare_replies(proof)


def test_hermes_raises_at_types_that_it_does_not_know() -> None:
    template = PROOFS[0].template()
    tool = Tool("f", "", {"type": "object", "properties": {"a": {"type": "null"}}})
    assert PROOFS[0].limited([Message("user", "Hi.")], [tool], {})
    with pytest.raises(RecursionError):
        rendered(template, [Message("user", "Hi.")], [tool], True, {})


@pytest.mark.parametrize(
    "schema",
    [{"description": None}, {"examples": "a"}, {"type": "array", "items": True}, {"oneOf": [True]}, {"properties": []}],
)
def test_functionary_raises_at_odd_schemas(schema: dict[str, Json]) -> None:
    proof = next(proof for proof in PROOFS if isinstance(proof, TextProof))
    tool = Tool("f", "", {"type": "object", "properties": {"a": {"type": "object", **schema}}})
    assert proof.limited([Message("user", "Hi.")], [tool], {})
    with pytest.raises((TypeError, UndefinedError, AttributeError)):
        rendered(proof.template(), [Message("user", "Hi.")], [tool], True, {})
    proof.dialect.render([Message("user", "Hi.")], [tool])
