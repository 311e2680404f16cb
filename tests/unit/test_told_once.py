"""One fault is told by one rule, once: tools that no prompt shows, a call that is read as text."""

from tcfuzz import dialects, oracles
from tcfuzz.case import Case, Message, Tool, ToolCall
from tcfuzz.finding import Fail, Pass
from tcfuzz.observation import Observation
from tcfuzz.targets.local import LocalTarget

TOOLS = (Tool("act", "Acts.", {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),)
CASE = Case(TOOLS, (Message("user", "Hi"),), Message("assistant", "", None, (ToolCall("act", {"a": "<|im_end|>"}),)))


class ShowsNoTools(LocalTarget):
    def render(self, messages, tools, **more):
        return super().render(messages, (), **more)


class ReadsCallsAsText(LocalTarget):
    def parse(self, text, tools):
        return Message("assistant", text)


class LeavesATokenBehind(LocalTarget):
    def parse(self, text, tools):
        message = super().parse(text, tools)
        return Message("assistant", "<|im_end|>", None, message.tool_calls)


def judged(rule, target):
    return oracles.get(rule).judge(Observation(CASE, target(dialects.get("hermes")), thorough=True))


def test_of_tools_that_are_not_shown_the_name_is_said_to_be_missing_and_nothing_else():
    verdict = judged("tools-declared", ShowsNoTools)
    assert isinstance(verdict, Fail) and [finding.kind for finding in verdict.findings] == ["name-undeclared"]


def test_a_call_that_is_read_as_text_leaks_no_token():
    assert isinstance(judged("round-trip", ReadsCallsAsText), Fail)
    assert isinstance(judged("marker-leak", ReadsCallsAsText), Pass)


def test_a_token_beside_a_call_that_was_read_leaks():
    verdict = judged("marker-leak", LeavesATokenBehind)
    assert isinstance(verdict, Fail) and [finding.kind for finding in verdict.findings] == ["left-in-content"]
