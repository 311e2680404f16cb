"""A format's own tokens in and around a reply: it comes back as it is, or the format says that it cannot carry it."""

import pytest

from tcfuzz import dialects, oracles
from tcfuzz.case import Case, Message, Tool, ToolCall
from tcfuzz.errors import OutOfDomain
from tcfuzz.finding import NotApplicable, Pass
from tcfuzz.observation import Observation
from tcfuzz.targets.jinja import JinjaTarget
from tcfuzz.targets.local import LocalTarget

QUESTION = Message("user", "Hi.")


def judged(name, reply, options):
    case = Case((), (QUESTION,), reply, chunks=(1,), options=options)
    return oracles.get("round-trip").judge(Observation(case, LocalTarget(dialects.get(name))))


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        # The template raises at a text without a thought here: there is no prompt to be alike to.
        ("hermes-4", "A", {"thinking": True}),
        ("hermes-4.3", "</tools>", {"thinking": True}),
        # The prompt ends with an empty thought, which history does not show: where a reply begins, two others tell.
        ("cohere2", "x<|START_THINKING|>", {"reasoning": False}),
        ("solar", "x<|think|>", {"reasoning_effort": "low"}),
        # Behind the thought that history shows, a text begins without the blank that begins every answer.
        ("reka-edge", " human:", {"enable_thinking": True}),
    ],
)
def test_a_text_comes_back(name, content, options):
    assert isinstance(judged(name, Message("assistant", content), options), Pass)


def test_a_text_that_begins_with_a_tag_behind_white_space_comes_back_after_thoughts_that_become_hidden():
    call = ToolCall("f", {"a": "s"}, "call00000")
    history = (QUESTION, Message("assistant", "", "b", (call,)), Message("tool", "x", tool_call_id=call.id, name="f"))
    case = Case((Tool("f"),), history, Message("assistant", " <think>"), chunks=(1,))
    observation = Observation(case, LocalTarget(dialects.get("kimi-k2.5")))
    assert isinstance(oracles.get("round-trip").judge(observation), Pass)


@pytest.mark.parametrize("name", ["hy3", "hy3-preview", "apertus", "apriel-1.6"])
@pytest.mark.parametrize("before", ["", "x", "x\n"])
def test_a_text_that_ends_as_a_turn_is_refused_where_the_last_turn_is_left_open(name, before):
    dialect = dialects.get(name)
    reply = Message("assistant", before + dialect.turn_ends[-1])
    with pytest.raises(OutOfDomain, match="ends as a turn does"):
        dialect.emit(reply, ())
    assert isinstance(judged(name, reply, {}), NotApplicable)
    dialect.emit(Message("assistant", f"{reply.content}."), ())


@pytest.mark.parametrize(
    ("name", "content", "hiding", "showing"),
    [
        ("deepseek-v3.2", "<think>", {}, {"thinking": True}),
        ("deepseek-v4", "</think>A", {}, {"thinking": True}),
        ("kimi-k2.5", "<think>", {}, {"preserve_thinking": True}),
        ("kimi-k2.5", "</think>A", {"thinking": False}, {"preserve_thinking": True}),
        ("hy3-preview", "<think>", {}, {"is_training": True}),
    ],
)
def test_a_text_that_begins_as_a_thought_is_refused_where_the_thought_before_it_is_hidden(
    name, content, hiding, showing
):
    dialect, said = dialects.get(name), [QUESTION, Message("assistant", content, "So.")]
    assert "behind reasoning" in dialect.template_limit(said, (), hiding)
    with pytest.raises(OutOfDomain, match="behind reasoning"):
        dialect.render(said, (), **hiding)
    for messages, options in ((said, showing), ([*said, QUESTION], hiding)):
        assert not dialect.template_limit(messages, (), options)
        dialect.render(messages, (), **options)


@pytest.mark.parametrize("content", ["Here are my reasoning steps:", " Here are my reasoning steps:\nA"])
def test_apriel_takes_no_text_that_begins_as_its_prompt_does(content):
    with pytest.raises(OutOfDomain, match="around a thought"):
        dialects.get("apriel-1.6").emit(Message("assistant", content), ())


def test_cogito_takes_no_text_that_ends_a_thought_first():
    with pytest.raises(OutOfDomain, match="begins as reasoning does"):
        dialects.get("cogito").emit(Message("assistant", "</think>A"), ())


@pytest.mark.parametrize(("name", "header"), [("cogito", "<｜Assistant｜>"), ("apertus", "<|assistant_start|>")])
def test_no_text_behind_results_begins_with_the_header_that_is_missing_there(name, header):
    call = ToolCall("f", {}, "call00000")
    history = [QUESTION, Message("assistant", "", None, (call,)), Message("tool", "x", tool_call_id=call.id)]
    dialect, reply = dialects.get(name), Message("assistant", f"{header}A")
    assert "behind results" in dialect.template_limit([*history, reply], (), {})
    with pytest.raises(OutOfDomain, match="behind results"):
        dialect.render([*history, reply], ())
    for messages in ([QUESTION, reply], [*history, reply, QUESTION]):
        assert not dialect.template_limit(messages, (), {})
        dialect.render(messages, ())


@pytest.mark.parametrize("name", ["deepseek-r1", "deepseek-r1-0528", "deepseek-r1-llama-cpp"])
def test_templates_of_deepseek_r1_cut_a_text_that_ends_a_thought(name):
    dialect, reply = dialects.get(name), Message("assistant", "A</think>B")
    assert "thought" in dialect.template_limit([QUESTION, reply], (), {})
    assert dialect.parse(dialect.emit(reply, ())) == reply


OPENS_A_THOUGHT = """\
{%- for m in messages %}
    {{- "<|im_start|>" + m.role + "\\n" }}
    {%- if m.role == "assistant" %}{{ "<think>\\n" + (m.reasoning_content or "") + "\\n</think>\\n\\n" }}{% endif %}
    {{- (m.content or "") + "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "<|im_start|>assistant\\n<think>\\n" }}{% endif %}
"""
"""Qwen3's turns, but the prompt opens a thought, as that of MiniCPM-V 4.5 does where thinking is on."""


@pytest.mark.parametrize("line_break", ["\\n", ""])
@pytest.mark.parametrize("thought", ["So.", None])
def test_a_thought_that_the_prompt_of_a_close_template_opens_is_none_of_the_text(thought, line_break, tmp_path):
    path = tmp_path / "close.jinja"
    path.write_text(OPENS_A_THOUGHT.replace("<think>\\n", f"<think>{line_break}"), "utf-8")
    target = JinjaTarget(path, dialects.get("qwen3"))
    case = Case((), (QUESTION,), Message("assistant", "A", thought), chunks=(1,))
    assert isinstance(oracles.get("round-trip").judge(Observation(case, target)), Pass)
