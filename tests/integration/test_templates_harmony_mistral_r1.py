"""harmony, the later Mistral formats and deepseek-r1 against the models' published chat templates, byte for byte.

The conversations are generated from seeds. Vendors' prose and default system texts are left out; a case in which a
template has a declared limit, or that the format cannot write, is skipped, and enough must remain.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.dialects.deepseek_r1 import DeepSeekR1
from tcfuzz.dialects.harmony import IDENTITY, Harmony
from tcfuzz.dialects.ministral_3 import Devstral, Ministral3, MistralSmall32
from tcfuzz.dialects.qwen3_vl import Qwen3VLInstruct, Qwen3VLThinking
from tcfuzz.errors import OutOfDomain
from tests.conversations import Maker, Shape
from tests.proofs import load

CASES = 600
SEEDS = 6000


@dataclass(frozen=True)
class Proof:
    """A dialect, its template's file and what conversations to draw for it.

    beside: the content of a calling message; options: variables of the template; extra: those of the template alone;
    opens: what the dialect's generation prompt has behind that of the template; header: what stands before a reply in
    history, where that is not the generation prompt.
    """

    dialect: Dialect
    file: str
    shape: Shape
    beside: str | None = ""
    calls: bool = True
    options: tuple[dict[str, Json], ...] = ({},)
    extra: tuple[tuple[str, Json], ...] = ()
    opens: str = ""
    header: str = ""
    prose: Callable[[str], str] = str

    def __str__(self) -> str:
        return self.file.removesuffix(".jinja")


@dataclass(frozen=True)
class Drawn:
    seed: int
    messages: list[Message]
    tools: list[Tool]
    options: dict[str, Json]
    prompt: bool


def without_identity(prompt: str) -> str:
    """A harmony prompt without what stands in the system turn after the reasoning effort."""
    system, _, rest = prompt.partition("<|end|>")
    lines = system.split("\n")
    effort = next(i for i, line in enumerate(lines) if line.startswith("Reasoning: "))
    assert any(line.startswith("# ") for line in lines[effort:])
    return "\n".join(lines[: effort + 1]) + rest


def without_preamble(prompt: str) -> str:
    """A Hermes prompt without the sentences before and after the tools."""
    prompt = re.sub(r"# Tools\n\n.*?\n<tools>", "# Tools<tools>", prompt, count=1, flags=re.DOTALL)
    return re.sub(r"\n</tools>.*?<\|im_end\|>", "</tools><|im_end|>", prompt, count=1, flags=re.DOTALL)


ALTERNATING = Shape(alternating=True, roles=("system",), null_content=False)
PROOFS = (
    Proof(
        Harmony(),
        "openai-gpt-oss-120b.jinja",
        Shape(calls=1, null_content=False),
        options=({}, {"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
        extra=(("model_identity", IDENTITY),),
        prose=without_identity,
    ),
    # MiMo-VL has a default system turn of its own; with a system message its template is Qwen3-VL's.
    Proof(Qwen3VLInstruct(), "MiMo-VL.jinja", Shape(roles=("system",), null_content=False), prose=without_preamble),
    # Qwen3's template, and the thought that the prompt of Qwen3-VL opens.
    Proof(
        Qwen3VLThinking(),
        "Qwen-Qwen3-0.6B.jinja",
        Shape(roles=("system",), null_content=False),
        opens="<think>\n",
        prose=without_preamble,
    ),
    Proof(Ministral3(), "mistralai-Ministral-3-14B-Reasoning-2512.jinja", ALTERNATING),
    Proof(Devstral(), "unsloth-mistral-Devstral-Small-2507.jinja", Shape(roles=("system",), null_content=False)),
    Proof(MistralSmall32(), "Mistral-Small-3.2-24B-Instruct-2506.jinja", ALTERNATING, beside=None),
    Proof(
        DeepSeekR1(),
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja",
        Shape(roles=("system",), null_content=False),
        beside=None,
        header="<｜Assistant｜>",
        options=({}, {"enable_thinking": False}, {"enable_thinking": True}),
    ),
    # The other distillate's template writes no calls, and always opens a thought.
    Proof(
        DeepSeekR1(),
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja",
        Shape(roles=("system",), null_content=False),
        header="<｜Assistant｜>",
        calls=False,
        options=({"enable_thinking": True},),
    ),
)
proofs = pytest.mark.parametrize("proof", PROOFS, ids=str)


def conversation(proof: Proof, maker: Maker) -> list[Message]:
    """With mostly that content beside calls which the template can write; without calls where it writes none."""
    made = maker.conversation()
    if not proof.calls:
        return [message for message in made if message.role != "tool" and not message.tool_calls]
    return [replace(m, content=proof.beside) if m.tool_calls and maker.maybe(0.9) else m for m in made]


def with_system(proof: Proof, messages: list[Message]) -> list[Message]:
    """With a system message at the front where the template has a default of its own."""
    if (messages and messages[0].role == "system") or isinstance(proof.dialect, Harmony):
        return messages
    return [Message("system", "s"), *messages]


def drawn(proof: Proof, seeds: Sequence[int] = range(SEEDS)) -> Iterator[Drawn]:
    """The first `CASES` that the format can write and the template has no declared limit with."""
    found = 0
    for seed in seeds:
        maker = Maker(seed, proof.shape)
        messages = with_system(proof, conversation(proof, maker))
        tools = [tool if tool.description else replace(tool, description="d") for tool in maker.tools()]
        options = maker.random.choice(proof.options)
        if proof.dialect.template_limit(messages, tools, options):
            continue
        try:
            proof.dialect.render(messages, tools, **options)
        except OutOfDomain:
            continue
        yield Drawn(seed, messages, tools, options, maker.maybe())
        found += 1
        if found == CASES:
            return
    raise AssertionError(f"only {found} conversations can be compared")


@proofs
def test_prompts_are_the_templates_byte_for_byte(proof: Proof) -> None:
    template = load(proof.file)
    for one in drawn(proof):
        ours = proof.dialect.render(one.messages, one.tools, add_generation_prompt=one.prompt, **one.options)
        theirs = template(one.messages, one.tools, one.prompt, **one.options, **dict(proof.extra))
        assert proof.prose(ours) == proof.prose(theirs) + (proof.opens if one.prompt else ""), f"seed {one.seed}"


@proofs
def test_the_template_adds_what_the_model_says(proof: Proof) -> None:
    """A reply appended to a question adds its native text and an end of turn."""
    template = load(proof.file)
    done = 0
    for seed in range(600):
        maker = Maker(seed, proof.shape)
        history = [Message("system", "s"), Message("user", maker.text())]
        reply = reply_of(proof, maker)
        if proof.dialect.template_limit([*history, reply], [], {}):
            continue
        try:
            said = proof.dialect.emit(reply, [])
        except OutOfDomain:
            continue
        before = template(history, [], not proof.header) + proof.header
        after = template([*history, reply], [], False)
        assert after.startswith(before), f"seed {seed}"
        said = proof.opens + (
            said if proof.header else proof.dialect.said_after(proof.dialect.render(history, []), said)
        )
        assert proof.dialect.strip_turn_end(after[len(before) :]) == said, f"seed {seed}"
        done += 1
    assert done > 300


def reply_of(proof: Proof, maker: Maker) -> Message:
    reasoning = maker.reasoning() or None if proof.dialect.traits.reasoning_in_history else None
    if proof.calls and maker.maybe():
        calls = tuple(maker.call() for _ in range(maker.random.randint(1, proof.shape.calls)))
        return Message("assistant", proof.beside, reasoning, calls)
    text = maker.text()
    return Message("assistant", text.strip() if proof.dialect.traits.content_trim == "outer" else text, reasoning)


# -- harmony's types ---------------------------------------------------------------------------------------------------

WORDS = ("string", "integer", "number", "boolean", "array", "object", "null")


def typed(rand: random.Random, depth: int = 0) -> Json:
    """A schema with the keywords that harmony's types are made of."""
    some: dict[str, Json] = {
        "nullable": rand.random() < 0.5,
        "enum": ["a", 'b"', "c"],
        "description": "de\nscribed",
        "default": rand.choice(("x", "x", None, 1.0, {"a": [True]})),
    }
    often: dict[str, Json] = {
        "type": rand.choice((*WORDS, *WORDS, ["string", "null"], ["object", "object"], ["integer"], [])),
    }
    if depth < 3:
        inner = [typed(rand, depth + 1) for _ in range(rand.randrange(1, 4))]
        properties = dict(zip(("a", "b-c", "d"), inner, strict=False))
        often |= {"items": rand.choice((inner[0], {}, True)), "properties": properties, "required": ["a"]}
        some["oneOf"] = inner
    kept = [item for item in often.items() if rand.random() < 0.8]
    return dict(kept + [item for item in some.items() if rand.random() < 0.25])


def test_harmony_declares_tools_as_the_template() -> None:
    template = load("openai-gpt-oss-120b.jinja")
    done, unions = 0, 0
    for seed in range(3000):
        rand = random.Random(seed)
        properties = {name: typed(rand) for name in ("p", "q")[: rand.randrange(3)]}
        parameters = {"type": "object", "properties": properties, "required": rand.choice((["p"], [], None))}
        tools = [Tool("f", "Does it.", parameters), Tool("g", "")]
        messages = [Message("user", "u")]
        if Harmony().template_limit(messages, tools, {}):
            continue
        ours, theirs = Harmony().render(messages, tools), template(messages, tools, model_identity=IDENTITY)
        assert without_identity(ours) == without_identity(theirs), f"seed {seed}"
        done += 1
        unions += " | \n" in ours
    assert done > 2000
    assert unions > 100
