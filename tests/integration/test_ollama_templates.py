"""The Go templates of nine plain formats, rendered by Ollama's own template package, against Jinja text and dialect.

All three must give one prompt, but for the token that Ollama's tokenizer writes. What a Go template cannot write is
declared; there the test asks that it indeed writes something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tcfuzz import dialects
from tcfuzz.case import Json, Message
from tcfuzz.errors import OutOfDomain, UsageError
from tcfuzz.hf import ChatTemplate
from tcfuzz.targets.ollama import go, templates
from tcfuzz.targets.ollama.bridge import Bridge
from tcfuzz.targets.ollama.shapes import to_ollama
from tests.integration.test_templates_plain import SEEDS, Drawn, conversations
from tests.ollama import require_go

BATCH = 100
THINKING = ("qwen3thinking", "smollm3-plain")
named = pytest.mark.parametrize("name", templates.names())


@pytest.fixture(scope="module")
def program() -> Path:
    require_go()
    return go.bridge(go.pinned())


@pytest.fixture
def bridge(program: Path, name: str) -> Iterator[Bridge]:
    text = templates.path(name).read_text("utf-8")
    with_template = Bridge(program, {"renderer": "", "parser": "", "template": text}, 30.0)
    yield with_template
    with_template.close()


# -- the three texts ---------------------------------------------------------------------------------------------------


def rendered(bridge: Bridge, several: Sequence[Drawn]) -> list[str]:
    """What Ollama makes of conversations, some at a time."""
    prompts = []
    for start in range(0, len(several), BATCH):
        answers = bridge.ask_all([request(drawn) for drawn in several[start : start + BATCH]])
        prompts += [answer["ok"][0] for answer in answers]
    return prompts


def request(drawn: Drawn) -> dict[str, Json]:
    shape: dict[str, Json] = {"op": "render", "messages": [to_ollama(message) for message in drawn.messages]}
    think = drawn.options.get("enable_thinking")
    return shape if think is None else {**shape, "think": think}


def limit(name: str, drawn: Drawn) -> str | None:
    return templates.limit(name, drawn.messages, add_generation_prompt=drawn.prompt)


@named
def test_the_jinja_text_is_the_dialect(name: str) -> None:
    template = ChatTemplate.from_file(templates.jinja_path(name))
    checked = 0
    for drawn, expected in conversations(name):
        shapes = [message.to_openai() for message in drawn.messages]
        assert template.render(shapes, add_generation_prompt=drawn.prompt, **drawn.options) == expected
        checked += 1
    assert checked > len(SEEDS) / 4


@named
def test_the_go_template_is_the_dialect(name: str, bridge: Bridge) -> None:
    pairs = [(drawn, prompt) for drawn, prompt in conversations(name) if limit(name, drawn) is None]
    before = templates.begin_of_text(name)
    for (drawn, expected), actual in zip(pairs, rendered(bridge, [d for d, _ in pairs]), strict=True):
        assert before + actual == expected, drawn
    assert len(pairs) > len(SEEDS) / 8
    assert {drawn.prompt for drawn, _ in pairs} == {True, False}


@named
def test_what_is_left_out_is_written_otherwise(name: str, bridge: Bridge) -> None:
    left_out = [(d, prompt) for d, prompt in conversations(name) if limit(name, d) not in (None, "gets UTF-8 only")]
    before = templates.begin_of_text(name)
    for (drawn, expected), actual in zip(left_out, rendered(bridge, [d for d, _ in left_out]), strict=True):
        assert before + actual != expected, (limit(name, drawn), drawn)
    if name != "mistral":  # its messages alternate, its texts stay as they are, and nothing makes the model speak
        assert left_out


# -- stops -------------------------------------------------------------------------------------------------------------


def plain(message: Message) -> Message:
    """The same message with a text without a marker; without text where it has none."""
    return replace(message, content="x" if message.content else message.content)


@named
def test_a_stop_stands_only_where_a_turn_puts_it_or_a_text_holds_it(name: str, bridge: Bridge) -> None:
    several = [drawn for drawn, _ in conversations(name) if limit(name, drawn) is None]
    neutral = [replace(drawn, messages=tuple(map(plain, drawn.messages))) for drawn in several]
    held = 0
    for drawn, prompt, bare in zip(several, rendered(bridge, several), rendered(bridge, neutral), strict=True):
        for stop in templates.stops(name):
            given = sum((message.content or "").count(stop) for message in drawn.messages)
            assert prompt.count(stop) == bare.count(stop) + given, (stop, drawn)
            held += given
    assert held > 100


@named
def test_a_reply_ends_with_a_stop_and_holds_no_other(name: str, bridge: Bridge) -> None:
    dialect, checked = dialects.get(name), 0
    replied = [
        drawn
        for drawn, _ in conversations(name)
        if limit(name, drawn) is None and drawn.messages and drawn.messages[-1].role == "assistant"
    ]
    asked = [replace(drawn, messages=drawn.messages[:-1], prompt=True) for drawn in replied]
    for drawn, before, after in zip(replied, rendered(bridge, asked), rendered(bridge, replied), strict=True):
        start = before.removesuffix(dialect.opened_by(before))
        assert after.startswith(start)
        reply = replace(drawn.messages[-1], reasoning_content=None)
        try:
            text = dialect.emit(reply, ())
        except OutOfDomain:
            continue
        end = after[len(start) :].removeprefix(text)
        assert end in dialect.turn_ends and end.startswith(templates.stops(name))
        assert not any(stop in text for stop in templates.stops(name) if stop not in (reply.content or ""))
        checked += 1
    assert checked > 50


def test_stops_are_known() -> None:
    assert templates.stops("chatml") == ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    assert templates.stops("gemma2") == ("<start_of_turn>", "<end_of_turn>", "<eos>")
    assert templates.stops("mistral") == ("</s>", "[INST]", "[/INST]")
    assert templates.stops("phi3") == ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>")


def test_each_format_has_its_files() -> None:
    folder = templates.path("chatml").parent
    for paths, ending in ((map(templates.path, templates.names()), "gotmpl"),
                          (map(templates.jinja_path, templates.names()), "jinja")):  # fmt: skip
        assert sorted(paths) == sorted(folder.glob(f"*.{ending}"))
    with pytest.raises(UsageError, match="there are chatml, "):
        templates.path("chat")


# -- thoughts ----------------------------------------------------------------------------------------------------------


@named
def test_ollama_knows_which_models_think(name: str, bridge: Bridge) -> None:
    assert bridge.about()["thinking"] is (name in THINKING)


@pytest.mark.parametrize("name", THINKING)
def test_ollama_reads_a_thought_after_its_prompt(name: str, bridge: Bridge) -> None:
    dialect, history = dialects.get(name), Drawn((Message("user", "Hi."),), True, {"enable_thinking": True})
    (prompt,) = rendered(bridge, [history])
    for reasoning in ("One.\n\nTwo.", None):
        text = dialect.said_after(prompt, dialect.emit(Message("assistant", "Yes.", reasoning), ()))
        said: dict[str, Json] = {"op": "parse", "chunks": [text], "prompt": prompt, "think": True, "messages": []}
        deltas: list[dict[str, Any]] = bridge.ask(said)
        assert "".join(delta.get("thinking", "") for delta in deltas).strip() == (reasoning or "")
        assert "".join(delta.get("content", "") for delta in deltas) == "Yes."
