"""`grammar-admits` on made-up servers."""

from dataclasses import replace

import pytest

from tcfuzz import dialects, oracles
from tcfuzz.case import Case, Message, Tool, ToolCall
from tcfuzz.errors import TargetFailure
from tcfuzz.finding import Fail, NotApplicable, Pass
from tcfuzz.observation import Observation
from tcfuzz.targets.local import LocalTarget
from tests.servers import Server

TOOLS = (Tool("act", None, {"type": "object", "properties": {"n": {"type": "number"}}}),)
CASE = Case(TOOLS, (Message("user", "Hi"),), Message("assistant", None, None, (ToolCall("act", {"n": 0.375}),)))


class LetsAllPass(LocalTarget):
    """A server whose grammar forbids nothing."""

    capabilities = LocalTarget.capabilities | {"grammar"}

    def admitted(self, turn, text):
        return text, text


class ForbidsFractions(LetsAllPass):
    def admitted(self, turn, text):
        return text, text.replace(".", "")


class RoundsToo(ForbidsFractions):
    """Its renderer writes other numbers than it was given."""

    def render(self, messages, tools, **more):
        def rounded(message):
            calls = (replace(c, arguments={k: round(v, 1) for k, v in c.arguments.items()}) for c in message.tool_calls)
            return replace(message, tool_calls=tuple(calls))

        return super().render([rounded(message) for message in messages], tools, **more)


@pytest.mark.parametrize("target, verdict", [(LetsAllPass, Pass), (ForbidsFractions, Fail), (RoundsToo, NotApplicable)])
def test_a_grammar_is_asked_for_what_says_the_reply(target, verdict):
    seen = Observation(CASE, target(dialects.get("qwen3-coder")))
    assert isinstance(oracles.get("grammar-admits").judge(seen), verdict)


def test_what_a_renderer_wrote_wrongly_is_the_renderers_fault():
    seen = Observation(CASE, RoundsToo(dialects.get("qwen3-coder")))
    found = oracles.get("round-trip").judge(seen)
    assert isinstance(found, Fail) and [finding.blame for finding in found.findings] == ["renderer"]


class ForbidsTextBehindCalls(LetsAllPass):
    def admitted(self, turn, text):
        return text, text[: text.rfind("<tool_call|>") + len("<tool_call|>")]


def test_text_that_history_alone_shows_behind_its_call_is_asked_for_where_the_model_says_it():
    case = CASE.with_(reply=replace(CASE.reply, content="Words."))
    seen = Observation(case, ForbidsTextBehindCalls(dialects.get("gemma4")))
    rendered = seen.rendered_reply
    assert rendered is not None and rendered.value.endswith("<tool_call|>Words.")
    assert isinstance(oracles.get("grammar-admits").judge(seen), Pass)


def unknown(name):
    """A translator of which no reference is known."""
    target = LocalTarget(dialects.get(name))
    target.dialect = None
    return target


def test_without_a_reference_white_space_around_a_text_is_no_loss():
    seen = Observation(CASE.with_(reply=Message("assistant", " Words.\r\n")), unknown("hermes"))
    assert isinstance(oracles.get("round-trip").judge(seen), Pass)


class Breaks(LetsAllPass):
    """A parser that reads no text, and a grammar that makes whole calls of what begins one."""

    admits = "<tool_call>{}</tool_call>"

    def parse(self, text, tools):
        raise ValueError(text)

    def admitted(self, turn, text):
        return text, self.admits


@pytest.mark.parametrize("text, verdict", [("<tool_call>{", Fail), ("<tool_call>[", NotApplicable)])
def test_a_parser_is_held_to_what_its_servers_model_may_say(text, verdict):
    seen = Observation(Case(TOOLS, (Message("user", "Hi"),), text=text), Breaks(dialects.get("hermes")))
    assert isinstance(oracles.get("total").judge(seen), verdict)


class Recorder(Server):
    """It remembers what it was given to read."""

    def parse_in(self, turn, text):
        self.asked = {*getattr(self, "asked", ()), text}
        return super().parse_in(turn, text)


def test_no_cut_goes_through_a_special_token():
    seen = Observation(CASE, Recorder("gemma4"), thorough=True)
    assert isinstance(oracles.get("truncation").judge(seen), Pass)
    cut = {text for text in seen.target.asked if text != seen.emitted}
    assert "<|tool_call>" in cut and len(cut) > 5
    assert not any(seen.emitted.startswith("<|tool_call>") and len(text) < len("<|tool_call>") for text in cut)
    assert not any("<tool" in text for text in cut)


class CutsArguments(Breaks):
    """It gives the arguments of a call as far as they were said."""

    def parse(self, text, tools):
        raise TargetFailure("malformed", "message", "arguments that are no JSON")


@pytest.mark.parametrize("admits, verdict", [("<tool_call>{", Fail), ("<tool_call>{}</tool_call>", NotApplicable)])
def test_a_call_that_is_cut_off_may_have_arguments_that_are(admits, verdict):
    target = CutsArguments(dialects.get("hermes"))
    target.admits = admits
    seen = Observation(Case(TOOLS, (Message("user", "Hi"),), text="<tool_call>{"), target)
    assert isinstance(oracles.get("total").judge(seen), verdict)
