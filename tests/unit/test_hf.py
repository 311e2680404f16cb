"""Chat templates: how they are rendered, and the special tokens that a file comes without, told by its markers."""

from pathlib import Path

import jinja2
import pytest

from tcfuzz import dialects
from tcfuzz.case import Message, Tool, ToolCall
from tcfuzz.errors import UsageError
from tcfuzz.hf import ChatTemplate, guess_special_tokens
from tcfuzz.targets.ollama import templates

TOLD = {
    "<|start_header_id|>": ("<|begin_of_text|>", "<|eot_id|>"),
    "<|header_start|>": ("<|begin_of_text|>", "<|eot|>"),
    "[INST]": ("<s>", "</s>"),
    "<|turn>": ("<bos>", "<turn|>"),
    "<start_of_turn>": ("<bos>", "<end_of_turn>"),
    "<|im_start|>": ("", "<|im_end|>"),
    # LFM2 writes ChatML turns behind a token that begins the text; its versions have different markers.
    "<|im_start|> <|tool_list_start|>": ("<|startoftext|>", "<|im_end|>"),
    "<|im_start|> <|tool_call_start|>": ("<|startoftext|>", "<|im_end|>"),
    "<|im_start|> List of tools: [": ("<|startoftext|>", "<|im_end|>"),
    "<|start|> <atem:invoke": ("<|begin_of_text|>", "<|eot|>"),
    # Both write <|end|>; only one of them has channels.
    "<|user|> <|end|>": ("<s>", "<|endoftext|>"),
    "<|start|> <|channel|> <|end|>": ("<|startoftext|>", "<|return|>"),
    "### User:": ("<s>", "</s>"),
}


@pytest.mark.parametrize("text", TOLD)
def test_special_tokens_are_told_by_markers(text):
    tokens = guess_special_tokens(f"{{{{ bos_token }}}}{text}{{{{ eos_token }}}}")
    assert (tokens["bos_token"], tokens["eos_token"]) == TOLD[text]


def test_what_is_told_is_nobody_elses_to_change():
    guess_special_tokens("<|end|>")["eos_token"] = "x"
    assert guess_special_tokens("<|end|>")["eos_token"] == "<|endoftext|>"


TOOL = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
RESULT = Message("tool", "2", tool_call_id="call00001", name="add")
CALLED = (
    Message("user", "Hi."), Message("assistant", "", tool_calls=(ToolCall("add", {"a": 1}, "call00001"),)), RESULT
)  # fmt: skip
# The templates of these spell it out, so that nothing has to be told.
SPELT = tuple(name for name in dialects.names() if name.startswith(("glm-", "hy3", "laguna", "poolside-v1")))
# ChatML turns behind the begin-of-text token of whatever model it was trained on; or one that a part of the template
# tells which shows in no prompt.
ANY = ("hermes-2-pro", "minicpm5", "minicpm5-2b")
BEGINNING = [name for name in dialects.names() if dialects.get(name).marker("bos") and name not in SPELT + ANY]


@pytest.mark.parametrize("name", BEGINNING)
def test_what_a_dialect_writes_tells_its_begin_of_text(name):
    dialect = dialects.get(name)
    calls = dialect.traits.max_calls != 0
    prompt = dialect.render(CALLED if calls else CALLED[:1], [TOOL] if calls else [])
    assert guess_special_tokens(prompt)["bos_token"] == dialect.marker("bos")


@pytest.mark.parametrize("name", ["phi3", "phi4-mini"])
def test_a_template_without_tokens_of_its_own_ends_as_the_format_does(name):
    text = templates.jinja_path(name).read_text("utf-8").replace("'<|endoftext|>'", "eos_token")
    assert "eos_token" in text
    messages = (Message("user", "Hi."), Message("assistant", "Yes."))
    prompt = ChatTemplate(text).render([message.to_openai() for message in messages])
    assert prompt == dialects.get(name).render(messages, (), add_generation_prompt=False)
    assert prompt.endswith("<|endoftext|>")


def test_a_template_renders_as_hugging_face_does() -> None:
    text = (
        "{{ bos_token }}{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}\n"
        "  {% generation %}{{ m | tojson }}{{ '\\n' }}{% endgeneration %}\n{% endfor %}\n"
        "{{ tools is none }} {{ strftime_now('%d %b %Y') }} {{ nothing }}{{ x }}\n"
    )
    template = ChatTemplate(text, special_tokens={"bos_token": "<s>"})
    messages = [{"role": "user", "content": "<é'&>"}, {"role": "assistant", "thinking": "R"}, {"role": "user"}]
    assert template.render(messages, [], x=1) == (
        '<s>{"role": "user", "content": "<é\'&>"}\n'
        '{"role": "assistant", "thinking": "R", "reasoning_content": "R"}\nTrue 26 Jul 2024 1'
    )
    assert "reasoning_content" not in messages[1]


def test_what_a_template_raises_comes_through() -> None:
    with pytest.raises(jinja2.TemplateError, match="no tools here"):
        ChatTemplate("{{ raise_exception('no tools here') }}").render([])
    with pytest.raises(jinja2.exceptions.SecurityError):
        ChatTemplate("{% set _ = messages.append(1) %}").render([])


def test_a_broken_template_is_one_line_that_says_where(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jinja"
    broken.write_text("a\n{% if %}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"broken\.jinja:2: not a chat template: [^\n]+$"):
        ChatTemplate.from_file(broken)
    with pytest.raises(UsageError, match=r"cannot read the chat template .*missing\.jinja: [^\n]+$"):
        ChatTemplate.from_file(tmp_path / "missing.jinja")
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        ChatTemplate.from_file(broken)
