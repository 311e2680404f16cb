"""The plain chat formats: what they write, what they refuse, what is read back, whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcfuzz import dialects
from tcfuzz.case import Message, ToolCall
from tcfuzz.deltas import collect
from tcfuzz.dialects.base import Dialect
from tcfuzz.diff import message_difference
from tcfuzz.errors import OutOfDomain
from tcfuzz.hf import ChatTemplate
from tcfuzz.recognition import guess_dialect
from tcfuzz.targets.ollama import templates

NAMES = (
    "qwen3thinking", "smollm3-plain", "gemma2", "llama3", "mistral", "mistral-v0.2", "olmo2", "phi3", "phi3-first",
    "phi4",
)  # fmt: skip
THINKING = ("qwen3thinking", "smollm3-plain")
FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=150)
all_names = pytest.mark.parametrize("name", NAMES)

SYSTEM = Message("system", "Be brief.")
TALK = (Message("user", "Hi."), Message("assistant", "Yes?", "A greeting."), Message("user", "Go."))
REPLY = Message("assistant", "Done.")

PROMPTS = {
    "qwen3thinking": "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nGo."
    "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "smollm3-plain": "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: /think\n\n"
    "## Custom Instructions\n\nYou are a helpful assistant.\n\n<|im_end|>\n"
    "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nGo."
    "<|im_end|>\n<|im_start|>assistant\n",
    "gemma2": "<bos><start_of_turn>user\nHi.<end_of_turn>\n<start_of_turn>model\nYes?<end_of_turn>\n"
    "<start_of_turn>user\nGo.<end_of_turn>\n<start_of_turn>model\n",
    "llama3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi.<|eot_id|><|start_header_id|>assistant"
    "<|end_header_id|>\n\nYes?<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nGo.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s>[INST] Hi. [/INST] Yes?</s>[INST] Go. [/INST]",
    "mistral-v0.2": "<s> [INST] Hi. [/INST] Yes?</s> [INST] Go. [/INST]",
    "olmo2": "<|endoftext|><|user|>\nHi.\n<|assistant|>\nYes?<|endoftext|>\n<|user|>\nGo.\n<|assistant|>\n",
    "phi3": "<|user|>\nHi.<|end|>\n<|assistant|>\nYes?<|end|>\n<|user|>\nGo.<|end|>\n<|assistant|>\n",
    "phi4": "<|im_start|>user<|im_sep|>Hi.<|im_end|><|im_start|>assistant<|im_sep|>Yes?<|im_end|>"
    "<|im_start|>user<|im_sep|>Go.<|im_end|><|im_start|>assistant<|im_sep|>",
}
PROMPTS["phi3-first"] = PROMPTS["phi3"]
SYSTEMS = {
    "qwen3thinking": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "smollm3-plain": "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: /think\n\n"
    "## Custom Instructions\n\nBe brief.\n\n<|im_end|>\n<|im_start|>user\n",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>",
    "mistral": "<s>[INST] Be brief.\n\nHi. [/INST] ",
    "mistral-v0.2": "<s> [INST] Be brief.\n\nHi. [/INST] ",
    "olmo2": "<|endoftext|><|system|>\nBe brief.\n<|user|>\n",
    "phi3": "<|system|>\nBe brief.<|end|>\n<|user|>\n",
    "phi3-first": "<|system|>\nBe brief.<|end|>\n<|user|>\n",
    "phi4": "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>",
}
ENDS = {
    "qwen3thinking": "<|im_start|>assistant\nDone.<|im_end|>\n",
    "smollm3-plain": "<|im_start|>assistant\nDone.<|im_end|>\n",
    "gemma2": "<start_of_turn>model\nDone.<end_of_turn>\n",
    "llama3": "assistant<|end_header_id|>\n\nDone.<|eot_id|>",
    "mistral": "[INST] Go. [/INST] Done.</s>",
    "mistral-v0.2": "</s> [INST] Go. [/INST] Done.</s>",
    "olmo2": "<|assistant|>\nDone.<|endoftext|>",
    "phi3": "<|assistant|>\nDone.<|end|>\n<|endoftext|>",
    "phi3-first": "<|assistant|>\nDone.<|end|>\n<|endoftext|>",
    "phi4": "<|im_start|>assistant<|im_sep|>Done.<|im_end|>",
}


# -- what they write ---------------------------------------------------------------------------------------------------


@all_names
def test_prompts(name: str) -> None:
    assert dialects.get(name).render(TALK, ()) == PROMPTS[name]


@pytest.mark.parametrize("name", SYSTEMS)
def test_system_texts(name: str) -> None:
    assert dialects.get(name).render((SYSTEM, *TALK), ()).startswith(SYSTEMS[name])


@all_names
def test_a_reply_in_history(name: str) -> None:
    dialect = dialects.get(name)
    prompt = dialect.render((*TALK, REPLY), (), add_generation_prompt=False)
    assert prompt.endswith(ENDS[name])
    assert dialect.strip_turn_end(prompt).endswith("Done.")


def test_smollm3_without_a_thought() -> None:
    dialect = dialects.get("smollm3-plain")
    prompt = dialect.render(TALK, (), enable_thinking=False)
    assert prompt.count("<|im_start|>assistant\n<think>\n\n</think>\n") == 2
    assert prompt.endswith("<think>\n\n</think>\n")
    assert dialect.render(TALK, (), enable_thinking=True) == PROMPTS["smollm3-plain"]


def test_mistral_shows_no_empty_system_text() -> None:
    dialect = dialects.get("mistral")
    assert dialect.render((Message("system", ""), *TALK), ()) == PROMPTS["mistral"]


def test_mistral_v0_2_keeps_the_lines_of_an_empty_system_text() -> None:
    shown = dialects.get("mistral-v0.2").render((Message("system", ""), *TALK), ())
    assert shown.startswith("<s> [INST] \n\nHi. [/INST]")


def test_phi3_has_no_turn_for_an_empty_system_text() -> None:
    assert dialects.get("phi3").render((Message("system", None), *TALK), ()) == PROMPTS["phi3"]


def test_phi3_first_has_a_turn_for_an_empty_system_text() -> None:
    shown = dialects.get("phi3-first").render((Message("system", ""), *TALK), ())
    assert shown == "<|system|>\n<|end|>\n" + PROMPTS["phi3"]


def test_trims() -> None:
    padded = (Message("user", "\n Hi.\u3000"),)
    assert "user\nHi.<end_of_turn>" in dialects.get("gemma2").render(padded, ())
    assert "\n\nHi.<|eot_id|>" in dialects.get("llama3").render(padded, ())
    assert "\n\n Hi.\u3000<|end|>" in dialects.get("phi3").render(padded, ())
    answer = dialects.get("smollm3-plain").render((Message("assistant", "\n\n Yes \n"),), ())
    assert "assistant\n Yes \n<|im_end|>" in answer


@all_names
def test_calls_have_no_place(name: str) -> None:
    dialect, called = dialects.get(name), Message("assistant", "", tool_calls=(ToolCall("f", {}),))
    with pytest.raises(OutOfDomain):
        dialect.emit(called, ())
    with pytest.raises(OutOfDomain):
        dialect.render((TALK[0], called), ())
    result = Message("tool", "1", tool_call_id="a")
    if name == "smollm3-plain":
        assert "user\n1<|im_end|>" in dialect.render((TALK[0], result), ())
        return
    with pytest.raises(OutOfDomain):
        dialect.render((TALK[0], result), ())


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("gemma2", (SYSTEM, *TALK)),
        ("gemma2", (TALK[0], TALK[0])),
        ("gemma2", (REPLY,)),
        ("mistral", (SYSTEM,)),
        ("mistral", (*TALK, SYSTEM)),
        ("mistral", (SYSTEM, REPLY)),
        ("smollm3-plain", (*TALK, SYSTEM)),
        ("smollm3-plain", (Message("developer", "Now."), *TALK)),
        ("qwen3thinking", (TALK[0], Message("assistant", "</think>x"))),
        ("qwen3thinking", (Message("developer", "Now."), *TALK)),
        ("olmo2", (Message("developer", "Now."), *TALK)),
        ("phi3", (Message("developer", "Now."), *TALK)),
    ],
)
def test_what_a_format_cannot_write(name: str, messages: tuple[Message, ...]) -> None:
    with pytest.raises(OutOfDomain):
        dialects.get(name).render(messages, ())


# -- what they say and read --------------------------------------------------------------------------------------------


def pieces(dialect: Dialect) -> st.SearchStrategy[str]:
    markers = [marker.text for marker in dialect.markers]
    parts = [text[:cut] for text in markers for cut in (1, len(text) // 2, len(text) - 1)]
    return st.sampled_from([*markers, *parts, "a", " ", "\n", "\n\n", "é", "🙂", "\u2028", "\x00", "</think", "think>"])


def texts(dialect: Dialect) -> st.SearchStrategy[str]:
    return st.lists(pieces(dialect), max_size=8).map("".join)


def streamed(dialect: Dialect, text: str, size: int) -> Message:
    stream = dialect.stream()
    deltas = [delta for at in range(0, len(text), size) for delta in stream.feed(text[at : at + size])]
    message, complaints = collect([*deltas, *stream.finish()])
    assert not complaints
    return message


@all_names
def test_whole_and_streamed_texts_are_read_alike(name: str) -> None:
    dialect = dialects.get(name)

    @FIXED
    @given(texts(dialect), st.integers(1, 7))
    def check(text: str, size: int) -> None:
        assert message_difference(dialect.parse(text), streamed(dialect, text, size)) is None

    check()


@all_names
def test_texts_lose_nothing(name: str) -> None:
    """What is no thought is content, to the last character."""
    dialect = dialects.get(name)

    @FIXED
    @given(texts(dialect))
    def check(text: str) -> None:
        message = dialect.parse(text)
        lost = 1 if name.startswith("mistral") and text.startswith(" ") else 0
        if not (name in THINKING and text.lstrip(" \t\r\n").startswith("<think>")):
            assert (message.content or "") == text[lost:]
            assert message.reasoning_content is None

    check()


@all_names
def test_replies_come_back(name: str) -> None:
    dialect, kept = dialects.get(name), []

    @FIXED
    @given(texts(dialect), texts(dialect) | st.none() if name in THINKING else st.none())
    def check(content: str, reasoning: str | None) -> None:
        reply = Message("assistant", content, reasoning)
        try:
            text = dialect.emit(reply, ())
        except OutOfDomain:
            return
        back = dialect.parse(text)
        assert message_difference(dialect.normalise(reply), dialect.normalise(back)) is None
        kept.append(text)

    check()
    assert len(kept) > 50


def test_what_is_said_after_a_thought_that_the_prompt_opens() -> None:
    dialect = dialects.get("qwen3thinking")
    prompt = dialect.render(TALK, ())
    thought = dialect.emit(Message("assistant", "Done.", "So.\n\nSo."), ())
    assert dialect.said_after(prompt, thought) == "So.\n\nSo.\n</think>\n\nDone."
    assert dialect.said_after(prompt, dialect.emit(REPLY, ())) == "\n</think>\n\nDone."
    assert dialect.parse(dialect.opened_by(prompt) + dialect.said_after(prompt, "Done.")) == REPLY
    assert dialect.opened_by(dialects.get("smollm3-plain").render(TALK, ())) == ""


# -- their templates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", templates.names())
def test_the_dialect_of_our_own_jinja_text_is_told(name: str) -> None:
    assert guess_dialect(ChatTemplate.from_file(templates.jinja_path(name))).name == name


def test_limits_of_go_templates() -> None:
    limit = templates.limit
    assert limit("chatml", TALK) is None
    assert "UTF-8" in (limit("chatml", (Message("user", "\ud800"),)) or "")
    assert "in a row" in (limit("chatml", (*TALK, TALK[0])) or "")
    assert "trim" in (limit("gemma2", (Message("user", " x"),)) or "")
    assert "trim" in (limit("smollm3-plain", (TALK[0], Message("assistant", "\nx"), TALK[2])) or "")
    assert "opens" in (limit("phi3", (*TALK, REPLY)) or "")
    assert limit("phi3", (*TALK, REPLY), add_generation_prompt=False) is None
    assert limit("mistral", (*TALK, REPLY)) is None
    assert templates.begin_of_text("llama3") == "<|begin_of_text|>"
    assert templates.begin_of_text("olmo2") == ""
