"""The tiny models in a real llama-server: tokens, a parrot that says any text back for every format, an end at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tcfuzz.targets.llama_cpp.models import BYTES, Vocabulary, user_content, vocabulary, write_eos, write_parrot
from tests.llama_cpp import needs_gguf, needs_server, posted, serving, streamed, template

pytestmark = [needs_server, needs_gguf]

DELAY = 512
MARK = "Words0of0the0user"


def _names(text: str) -> list[str]:
    return text.split()


LLAMA3 = _names("<|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|> <|python_tag|>")
QWEN = _names("<tool_call> </tool_call> <tool_response> </tool_response> <think> </think>")
DEEPSEEK = _names(
    "<｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜>"
    " <｜tool▁sep｜> <｜tool▁outputs▁begin｜> <｜tool▁outputs▁end｜> <｜tool▁output▁begin｜> <｜tool▁output▁end｜>"
)
MISTRAL = _names(
    "[INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [SYSTEM_PROMPT]"
    " [/SYSTEM_PROMPT] [TOOL_CONTENT] [CALL_ID] [ARGS]"
)
COMMAND = _names(
    "<|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> <|SYSTEM_TOKEN|> <|START_THINKING|>"
    " <|END_THINKING|> <|START_ACTION|> <|END_ACTION|> <|START_RESPONSE|> <|END_RESPONSE|> <|START_TOOL_RESULT|>"
    " <|END_TOOL_RESULT|>"
)
KIMI = _names(
    "[EOS] <|im_user|> <|im_assistant|> <|im_system|> <|im_middle|> <|tool_calls_section_begin|> <|tool_call_begin|>"
    " <|tool_calls_section_end|> <|tool_call_argument_begin|> <|tool_call_end|>"
)
GEMMA = _names("<|turn> <turn|> <|tool> <tool|> <|think|>")
GEMMA_SHOWN = _names('<|tool_call> <tool_call|> <|tool_response> <tool_response|> <|"|> <|channel> <channel|>')
GLM = _names("[gMASK] <sop> <|system|> <|user|> <|assistant|> <|observation|>")
GLM_SHOWN = _names("<think> </think> <tool_call> </tool_call> <arg_key> </arg_key> <arg_value> </arg_value>")
HARMONY = _names("<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|return|> <|call|> <|endoftext|>")
SEED = _names("<seed:pad>")
SEED_SHOWN = _names("<seed:think> </seed:think> <seed:tool_call> </seed:tool_call> <seed:cot_budget_reflect>")

llama3 = vocabulary((), LLAMA3, "<|begin_of_text|>", "<|eot_id|>")
FORMATS = {
    "meta-llama-Llama-3.1-8B-Instruct": llama3,
    "meta-llama-Llama-3.2-3B-Instruct": llama3,
    "meta-llama-Llama-3.3-70B-Instruct": llama3,
    "meetkai-functionary-medium-v3.1": llama3,
    "meetkai-functionary-medium-v3.2": llama3,
    "fireworks-ai-llama-3-firefunction-v2": llama3,
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": vocabulary(
        QWEN[:4], ["<|im_start|>", "<|end_of_text|>"], "<|begin_of_text|>", "<|im_end|>"
    ),
    "mistralai-Mistral-Nemo-Instruct-2407": vocabulary((), MISTRAL[:7], "<s>", "</s>"),
    "Mistral-Small-3.2-24B-Instruct-2506": vocabulary((), MISTRAL, "<s>", "</s>"),
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": vocabulary(
        ["<think>", "</think>"], DEEPSEEK, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
    ),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": vocabulary(
        ["<think>", "</think>"], DEEPSEEK, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
    ),
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": vocabulary((), COMMAND, "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
    "Qwen-Qwen3-0.6B": vocabulary(QWEN, ["<|im_start|>"], "<|endoftext|>", "<|im_end|>"),
    "Qwen3-Coder": vocabulary(QWEN, ["<|im_start|>"], "<|endoftext|>", "<|im_end|>"),
    "google-gemma-4-31B-it": vocabulary(GEMMA_SHOWN, GEMMA, "<bos>", "<eos>", "<turn|>"),
    "GLM-4.6": vocabulary(GLM_SHOWN, GLM, "<|endoftext|>", "<|endoftext|>", "<|user|>"),
    "moonshotai-Kimi-K2": vocabulary((), KIMI, "[BOS]", "<|im_end|>"),
    "MiniMax-M2": vocabulary(
        ["<minimax:tool_call>", "</minimax:tool_call>", "<think>", "</think>"], ["]~b]"], "]~!b[", "[e~["
    ),
    "openai-gpt-oss-120b": vocabulary((), HARMONY, "<|startoftext|>", "<|return|>"),
    "LFM2.5-8B-A1B": vocabulary(
        ["<think>", "</think>"],
        ["<|im_start|>", "<|tool_call_start|>", "<|tool_call_end|>"],
        "<|startoftext|>",
        "<|im_end|>",
    ),
    "ByteDance-Seed-OSS": vocabulary(SEED_SHOWN, SEED, "<seed:bos>", "<seed:eos>"),
}
NASTY = (
    "Plain words.",
    " \t leading and trailing \n\n ",
    "line\r\nends\rof\nall\u2028kinds\u2029and\u0085these",
    "😀 👩‍👩‍👧 e\u0301 ñ \u202eright to left\u202c \ufeff \ufffd \U0010ffff",
    "NUL \0, bell \a, escape \x1b, delete \x7f",
    '{"name": "f", "arguments": {"a": "\\"\\u00e9\\\\", "b": [1, -0.0, 1e400, null]}}',
    "<| <|im_ |> </ <tool_ [TOOL_ ｜> ▁ <0x41> Ġ Ċ õ",
    "....  ....",
)


BEFORE = {
    "meetkai-functionary-medium-v3.2": "all\n",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "<|START_RESPONSE|>",
    "openai-gpt-oss-120b": "<|channel|>final<|message|>",
}
"""How an answer begins in formats in which a bare text is none: the server answers 500 to it."""


@dataclass(frozen=True)
class Format:
    """A template served by a parrot that has its special tokens.

    tail: what follows a user's message in a prompt. before: what an answer must begin with.
    """

    client: httpx.Client
    words: Vocabulary
    tail: str
    before: str

    def asked(self, text: str) -> dict[str, Any]:
        """The request that is answered by the text."""
        content = user_content(self.words, text, self.words.eos, self.tail, DELAY)
        assert content is not None
        return {"messages": [{"role": "user", "content": content}], "temperature": 0}

    def chat(self, text: str) -> dict[str, Any]:
        """The request of a chat that is answered by it."""
        return self.asked(self.before + text)

    def prompt(self, text: str) -> dict[str, Any]:
        """The same for the interface that reads nothing into an answer: a request of the rendered prompt."""
        rendered = posted(self.client, "/apply-template", self.asked(text))["prompt"]
        return {"prompt": rendered, "temperature": 0, "n_predict": DELAY, "return_tokens": True}


def with_special_tokens(words: Vocabulary) -> Iterator[str]:
    """Texts with all tokens of a vocabulary that do not end an answer: side by side, and apart."""
    usual = [token for token in words.special if token not in words.ends]
    yield "".join(usual)
    yield " é\n".join(reversed(usual))


def said(messages: Sequence[dict[str, Any]], words: Vocabulary) -> str:
    """All words of an answer, whole or in deltas, without the end token that this server leaves there at times."""
    found = "".join(each.get(key) or "" for key in ("reasoning_content", "content") for each in messages)
    return found.removesuffix(words.eos).strip()


@pytest.fixture(scope="module", params=FORMATS)
def spoken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Format]:
    chat_template, words = template(request.param), FORMATS[request.param]
    model = tmp_path_factory.mktemp("parrot") / "parrot.gguf"
    write_parrot(model, words, DELAY)
    with serving(model, chat_template) as client:
        rendered = posted(client, "/apply-template", {"messages": [{"role": "user", "content": MARK}]})["prompt"]
        yield Format(client, words, rendered.rpartition(MARK)[2], BEFORE.get(request.param, ""))


def test_the_parrot_says_any_text_back_token_by_token(spoken: Format) -> None:
    for text in (*NASTY, *with_special_tokens(spoken.words)):
        whole = posted(spoken.client, "/completion", spoken.prompt(text))
        assert (whole["stop_type"], whole["tokens"]) == ("eos", spoken.words.encode(text + spoken.words.eos))


def test_the_parrot_says_any_text_back_in_a_chat(spoken: Format) -> None:
    for text in NASTY:
        answer = posted(spoken.client, "/v1/chat/completions", {**spoken.chat(text), "verbose": True})
        assert answer["__verbose"]["content"].removesuffix(spoken.words.eos).endswith(text)
        assert said([answer["choices"][0]["message"]], spoken.words) == text.strip()


def test_the_parrot_says_any_text_back_in_a_stream(spoken: Format) -> None:
    for text in NASTY:
        events = streamed(spoken.client, "/v1/chat/completions", spoken.chat(text))
        assert said([event["choices"][0]["delta"] for event in events], spoken.words) == text.strip()


# -- one model, more questions -----------------------------------------------------------------------------------------

QWEN3 = "Qwen-Qwen3-0.6B"
NESTED = vocabulary(
    ["ab", "abc", "bcd", "<a", "<a>", "a>", ".x", "<|x|><|x|>"], ["<|x|>", "<|im_start|>"], "<s>", "<|im_end|>"
)
"""Tokens that begin, end or hold one another."""
OVERLAPPING = (
    "abcd abbcd ababcbcd bcdabc",
    "<<a>a> <a <a>> a>",
    "<|x|><|x|><|x|> <|x|>|x|> <|x<|x|>",
    "a.x.x..x<s><s<s>>",
    "<|im_end|<|im_end|>|im_end|><|im_start|>",
    "",
)


@pytest.mark.parametrize("words", [NESTED, *FORMATS.values()], ids=["nested", *FORMATS])
def test_the_server_tells_the_same_tokens_in_a_text(words: Vocabulary, tmp_path: Path) -> None:
    write_eos(tmp_path / "eos.gguf", words)
    with serving(tmp_path / "eos.gguf") as client:
        for text in (*NASTY, *OVERLAPPING, *with_special_tokens(words), *cut_tokens(words)):
            told = posted(client, "/tokenize", {"content": text, "parse_special": True})
            assert told["tokens"] == words.encode(text)


def cut_tokens(words: Vocabulary) -> Iterator[str]:
    """Texts with parts of special tokens, and with a token inside of another."""
    for one, other in zip(words.special, reversed(words.special), strict=True):
        yield f"{one[:-1]} {one[1:]}{other[: len(other) // 2]}{one}{other[len(other) // 2 :]}"


def test_a_model_keeps_its_own_ends_and_begins_nothing_by_itself(tmp_path: Path) -> None:
    write_eos(tmp_path / "eos.gguf", FORMATS["moonshotai-Kimi-K2"], template="{{ bos_token }}{{ eos_token }}")
    with serving(tmp_path / "eos.gguf") as client:
        rendered = posted(client, "/apply-template", {"messages": [{"role": "user", "content": MARK}]})
        assert rendered["prompt"] == "[BOS]<|im_end|>"
        told = posted(client, "/tokenize", {"content": "x", "parse_special": True, "add_special": True})
        assert told["tokens"] == [ord("x")]


def test_the_eos_model_adds_nothing_to_what_was_prefilled(tmp_path: Path) -> None:
    write_eos(tmp_path / "eos.gguf", FORMATS[QWEN3])
    with serving(tmp_path / "eos.gguf", template(QWEN3)) as client:
        for text in NASTY:
            answer = posted(client, "/v1/chat/completions", continued(text))
            assert answer["choices"][0]["message"]["content"] == text
            assert answer["choices"][0]["finish_reason"] == "stop"


def continued(text: str) -> dict[str, Any]:
    """A request to go on with an answer."""
    return {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}],
        "continue_final_message": True,
        "add_generation_prompt": False,
        "temperature": 0,
        "max_tokens": 8,
    }


@pytest.mark.parametrize("attention", ["on", "off"])
@pytest.mark.parametrize("delay", [512, 2048, 8192])
def test_the_parrot_is_exact_in_contexts_twice_as_long(delay: int, attention: str, tmp_path: Path) -> None:
    words = FORMATS[QWEN3]
    write_parrot(tmp_path / "parrot.gguf", words, delay)
    sample = hashlib.shake_256(b"any tokens").digest(2 * delay)
    letters = [*range(ord("!"), ord("~")), *words.ids.values()]
    prompt = [letters[byte % len(letters)] for byte in sample]
    ends = {words.ids[token] for token in words.ends}
    request = {"temperature": 0, "n_predict": 40, "return_tokens": True}
    with serving(tmp_path / "parrot.gguf", context=2 * delay + 64, fa=attention) as client:
        for length in (delay, delay + 1, 3 * delay // 2, 2 * delay - 40, 2 * delay):
            seen = prompt[:length]
            answer = posted(client, "/completion", {"prompt": seen, **request})
            assert answer["tokens"] == until(ends, seen[-delay:][:40])


ENDS = (
    "<|eot_id|> <|im_end|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <eos>"
    " <end_of_utterance> <turn|> <｜end▁of▁sentence｜> <|fim_pad|> <|repo_name|> <|file_sep|> <|end|>"
)
MORE = {
    "by name": vocabulary(_names("a <b> <|c|>"), _names(f"{ENDS} <|system|>"), "<s>", "<x>"),
    "as plain ones": vocabulary(_names(ENDS), (), "<s>", "<x>", "<y>"),
    "harmony": vocabulary((), _names("<|call|> <|end|>"), "<|start|>", "<|return|>"),
    "solar": vocabulary((), _names("<|calls|> <|flush|> <|end|>"), "<|start|>", "<x>"),
    "gemma": vocabulary((), _names("<|tool_response> </s>"), "<bos>", "<eos>"),
}


@pytest.mark.parametrize("words", [*MORE.values(), *FORMATS.values()], ids=[*MORE, *FORMATS])
def test_an_answer_ends_at_the_tokens_that_are_told_to_end_it(words: Vocabulary, tmp_path: Path) -> None:
    delay = 4
    write_parrot(tmp_path / "parrot.gguf", words, delay)
    with serving(tmp_path / "parrot.gguf") as client:
        for token, number in words.ids.items():
            prompt = [number] + [ord(".")] * (delay - 1)
            answer = posted(client, "/completion", {"prompt": prompt, "temperature": 0, "n_predict": 1})
            assert (answer["stop_type"] == "eos") == (token in words.ends), token


def test_the_parrot_knows_thousands_of_tokens(tmp_path: Path) -> None:
    words = vocabulary([f"<{number}>" for number in range(5000)], (), "<s>", "</s>")
    write_parrot(tmp_path / "parrot.gguf", words, 1000)
    with serving(tmp_path / "parrot.gguf", context=8192) as client:
        for first in range(BYTES, words.size - 1000, 1000):
            prompt = [number for number in range(first, first + 1000) if number not in map(words.ids.get, words.ends)]
            padding = [ord(".")] * (1000 - len(prompt))
            request = {"temperature": 0, "n_predict": len(prompt), "return_tokens": True}
            answer = posted(client, "/completion", {"prompt": prompt + padding, **request})
            assert answer["tokens"] == prompt


def until(ends: set[int], numbers: list[int]) -> list[int]:
    """All of the tokens up to one that ends an answer, and that one."""
    end = next((at for at, number in enumerate(numbers) if number in ends), len(numbers))
    return numbers[: end + 1]
