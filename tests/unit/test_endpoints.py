"""`endpoints-agree` on made-up interfaces, and how clients of each of Ollama's read what comes."""

import itertools
import json
import re
from dataclasses import replace

import pytest

from tcfuzz import dialects, oracles
from tcfuzz.campaign import Campaign
from tcfuzz.case import Case, Message, Tool, ToolCall
from tcfuzz.errors import TargetFailure
from tcfuzz.finding import Fail, NotApplicable, Pass
from tcfuzz.observation import Observation
from tcfuzz.schedule import Budget, Plan
from tcfuzz.targets import interfaces
from tcfuzz.targets.interfaces import Chat
from tcfuzz.targets.local import LocalTarget
from tcfuzz.targets.ollama.interfaces import INTERFACES
from tcfuzz.targets.ollama.runner import REPEATS, speech, without_runs

ORACLE = oracles.get("endpoints-agree")
FIRST, SECOND = "/first", "/second stream"
TOOLS = (Tool("act", None, {"type": "object", "properties": {"b": {}, "a": {}, "n": {"type": "integer"}}}),)
CALL = ToolCall("act", {"b": {"z": 1, "y": 2}, "a": "x", "n": 2**53 + 1})
OTHER = ToolCall("act", {"a": "y"})
REPLY = Message("assistant", "Some words.", "A thought.", (CALL, OTHER))
CASE = Case(TOOLS, (Message("user", "Hi"),), REPLY, chunks=(3,))


class Interfaces(LocalTarget):
    """A server with two interfaces, both right."""

    capabilities = LocalTarget.capabilities | {"endpoints"}

    def answers(self, turn, chunks):
        message = self.dialect.parse("".join(chunks), turn.tools)
        return {FIRST: message, SECOND: self.second(message, chunks)}

    def second(self, message, chunks):
        ids = (replace(call, id=f"other_{index}") for index, call in enumerate(message.tool_calls))
        return replace(message, content=message.content or "", tool_calls=tuple(ids))


class LosesContentBesideCalls(Interfaces):
    def second(self, message, chunks):
        return replace(message, content=None) if message.tool_calls else message


class LosesReasoning(Interfaces):
    def second(self, message, chunks):
        return replace(message, reasoning_content=None)


class TurnsCalls(Interfaces):
    def second(self, message, chunks):
        return replace(message, tool_calls=message.tool_calls[::-1])


class SortsKeys(Interfaces):
    def second(self, message, chunks):
        calls = (replace(c, arguments=json.loads(json.dumps(c.arguments, sort_keys=True))) for c in message.tool_calls)
        return replace(message, tool_calls=tuple(calls))


class RoundsNumbers(Interfaces):
    def second(self, message, chunks):
        calls = (replace(c, arguments=json.loads(json.dumps(c.arguments), parse_int=float)) for c in message.tool_calls)
        return replace(message, tool_calls=tuple(calls))


class GivesText(Interfaces):
    def second(self, message, chunks):
        calls = (replace(c, arguments={k: str(v) for k, v in c.arguments.items()}) for c in message.tool_calls)
        return replace(message, tool_calls=tuple(calls))


class FailsWhenStreamed(Interfaces):
    def second(self, message, chunks):
        return Message("error", "malformed: the stream ends without done") if len(chunks) > 1 else message


class HidesErrors(Interfaces):
    def answers(self, turn, chunks):
        if len(chunks) == 1:
            return super().answers(turn, chunks)
        return {FIRST: Message("error", "raised: error: no luck"), SECOND: Message("error", "malformed: no end")}


class AnswersRegardless(HidesErrors):
    def answers(self, turn, chunks):
        return {**super().answers(turn, chunks), SECOND: self.dialect.parse("".join(chunks), turn.tools)}


class TellsErrors(Interfaces):
    """As it should be."""

    def answers(self, turn, chunks):
        return dict.fromkeys((FIRST, SECOND), Message("error", "raised: HTTP 500: no luck"))


class Refuses(Interfaces):
    def answers(self, turn, chunks):
        raise TargetFailure("raised", "HTTP 400", "no")


class Hangs(Refuses):
    """All of it, which other rules report."""

    def parse(self, text, tools):
        raise TargetFailure("raised", "HTTP 400", "no")


WRONG = {
    LosesContentBesideCalls: f"{SECOND}:content-lost",
    LosesReasoning: f"{SECOND}:reasoning-lost",
    TurnsCalls: f"{SECOND}:calls-reordered",
    SortsKeys: f"{SECOND}:key-order",
    RoundsNumbers: f"{SECOND}:number-rounded",
    GivesText: f"{SECOND}:type:object→string",
    FailsWhenStreamed: f"{SECOND}:malformed",
    HidesErrors: f"{SECOND}:error-hidden",
    AnswersRegardless: f"{SECOND}:error-hidden",
    Refuses: "raised:HTTP 400",
}


def judge(make, case=CASE):
    return ORACLE.judge(Observation(case, make(dialects.get("qwen3"))))


@pytest.mark.parametrize("make", WRONG, ids=lambda make: make.__name__)
def test_one_planted_disagreement_is_found(make):
    verdict = judge(make)
    assert isinstance(verdict, Fail)
    assert [finding.kind for finding in verdict.findings] == [WRONG[make]]
    (finding,) = verdict.findings
    assert (finding.oracle, finding.blame) == ("endpoints-agree", "self")
    assert finding.chunks
    assert (SECOND if make is not Refuses else "interfaces") in finding.loss


def test_agreement_passes_whatever_the_ids_and_the_nothing():
    assert isinstance(judge(Interfaces), Pass)


def test_an_error_that_all_tell_passes():
    assert isinstance(judge(TellsErrors), Pass)


def test_malformed_text_is_compared_too():
    case = Case(TOOLS, (Message("user", "Hi"),), None, text="<tool_call> Some words.")
    assert isinstance(judge(Interfaces, case), Pass)
    kinds = [finding.kind for finding in judge(FailsWhenStreamed, case).findings]
    assert kinds == [f"{SECOND}:malformed"]


def test_what_fails_everywhere_is_left_to_other_rules():
    assert isinstance(judge(Hangs), NotApplicable)


def test_targets_without_interfaces_are_left_out():
    assert ORACLE.left_out(Observation(CASE, LocalTarget(dialects.get("qwen3")))) is not None
    assert ORACLE.left_out(Observation(CASE, Interfaces(dialects.get("qwen3")))) is None


@pytest.mark.parametrize("make", [Interfaces, *WRONG], ids=lambda make: make.__name__)
def test_a_campaign_finds_each_and_nothing_else(make):
    summary = Campaign(make(dialects.get("qwen3")), Plan((ORACLE,), budget=Budget(400)), lambda event: None).run()
    assert not summary.unknowns
    assert {bug.finding.kind for bug in summary.bugs} >= ({WRONG[make]} if make in WRONG else set())
    assert bool(summary.bugs) is (make in WRONG)


# -- what clients read -------------------------------------------------------------------------------------------------


def interface(name):
    return next(one for one in INTERFACES if one.name == name)


def sse(*events):
    return "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events)


def chunk(delta=None, finish=None):
    return {"choices": [{"delta": delta or {}, "finish_reason": finish}]}


def called(index, name="act", arguments="{}", id_="call_1"):
    return {"tool_calls": [{"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}]}


def item(index, **what):
    return {"type": "response.output_item.added", "output_index": index, "item": what}


def grown(kind, index, delta):
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": delta}


COMPLETED = {"type": "response.completed", "response": {"output": []}}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
MORE = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
STOP = {"type": "content_block_stop", "index": 0}
END = {"type": "message_stop"}


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("/api/chat", "nonsense", "no JSON"),
        ("/api/chat", "[1]", "not an object"),
        ("/api/chat", '{"error": "out of luck"}', "out of luck"),
        ("/api/chat stream", '{"message": {"content": "Hi"}}\n', "without done"),
        ("/api/chat stream", '{"message": {"content": "Hi"}}\n{"error": "out of luck"}\n', "out of luck"),
        ("/v1/chat/completions", '{"choices": []}', "0 choices"),
        ("/v1/chat/completions stream", sse(chunk({"content": "Hi"}, "stop")), r"without \[DONE\]"),
        ("/v1/chat/completions stream", sse(chunk({"content": "Hi"}), "[DONE]"), "without a finish_reason"),
        ("/v1/chat/completions stream", sse(chunk(called(0)), chunk(called(0), "stop"), "[DONE]"), "its id 2 times"),
        ("/v1/chat/completions stream", "Hi\n", "no event"),
        ("/v1/responses", '{"output": [{"type": "surprise"}]}', "surprise"),
        ("/v1/responses stream", sse(item(0, type="message")), "without response.completed"),
        ("/v1/responses stream", sse(item(0, type="message"), item(0, type="function_call"), COMPLETED), "two output"),
        ("/v1/responses stream", sse(grown("output_text", 0, "Hi"), COMPLETED), "which is no message"),
        ("/v1/messages", '{"content": null}', "content is null"),
        ("/v1/messages", '{"content": [{"type": "tool_use", "name": "act"}]}', "arguments is missing"),
        ("/v1/messages stream", sse(TEXT, MORE, STOP), "without message_stop"),
        ("/v1/messages stream", sse(TEXT, MORE, END), "never stops"),
        ("/v1/messages stream", sse(TEXT, STOP, MORE, END), "not open"),
        ("/v1/messages stream", sse(TEXT, TEXT, STOP, END), "is next"),
    ],
)
def test_what_breaks_a_protocol_is_said(name, text, complaint):
    try:
        message = interface(name).read(text)[""]
    except TargetFailure as failure:
        message = interfaces.error_message(failure)
    assert message.role == "error"
    assert message.content.split(":")[0] in ("malformed", "raised")
    assert re.search(complaint, message.content)


def test_streams_are_read_as_their_clients_do():
    read = interface("/v1/messages stream").read(sse(TEXT, MORE, STOP, END))
    assert read == {"": Message("assistant", "Hi")}
    events = [
        item(0, type="reasoning"), grown("reasoning_summary_text", 0, "A thought."),
        item(1, type="message"), grown("output_text", 1, "Some "), grown("output_text", 1, "words."),
        item(2, type="function_call", name="act", call_id="call_1"), grown("function_call_arguments", 2, '{"a": "y"}'),
    ]  # fmt: skip
    read = interface("/v1/responses stream").read(sse(*events, COMPLETED))
    assert read[""] == Message("assistant", "Some words.", "A thought.", (replace(OTHER, id="call_1"),))
    assert read[" (items done)"] == read[" (completed)"] == Message("assistant")


def test_every_protocol_is_asked_in_its_own_shape():
    history = (
        Message("system", "Be kind."), Message("user", "Hi"), replace(REPLY, tool_calls=(replace(CALL, id="call_7"),)),
        Message("tool", "Done.", tool_call_id="call_7", name="act"), Message("user", "More"),
    )  # fmt: skip
    bodies = {one.name: one.body(Chat("model", history, TOOLS, False, "reasoning")) for one in INTERFACES}
    assert [body["stream"] for body in bodies.values()] == [False, True] * 4
    assert bodies["/api/chat"]["think"] is False
    assert bodies["/v1/chat/completions"]["reasoning_effort"] == "none"
    assert bodies["/v1/responses"]["reasoning"] == {"effort": "none"}
    assert bodies["/v1/messages"]["thinking"] == {"type": "disabled"}
    assert bodies["/v1/messages"]["system"] == "Be kind."
    assert [block["type"] for block in bodies["/v1/messages"]["messages"][1]["content"]] == [
        "thinking", "text", "tool_use",
    ]  # fmt: skip
    types = [item["type"] for item in bodies["/v1/responses"]["input"]]
    assert types == ["message", "message", "reasoning", "message", "function_call", "function_call_output", "message"]


def test_what_a_protocol_cannot_say_is_not_asked():
    chat = Chat("model", (Message("user", ""),), ())
    assert [one.name for one in INTERFACES if one.ask(chat) is None] == ["/v1/messages", "/v1/messages stream"]


# -- what the runner says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["a", " ", "", "\n", "ab"])
def test_no_run_of_like_chunks_is_long(unit):
    chunks = ["x", *[unit] * 500, "y"]
    said = without_runs(chunks)
    assert "".join(said) == "".join(chunks)
    longest = run = 0
    for left, right in itertools.pairwise(said):
        run = run + 1 if left.strip() == right.strip() else 1
        longest = max(longest, run)
    assert longest <= REPEATS


def test_other_chunks_stay_as_they_are():
    assert without_runs(["a", "b"] * 300) == ["a", "b"] * 300


def test_a_speech_is_one_event_a_chunk_and_plain_ascii():
    chunks = ["a\nb", "data: x\n\n", "\u2028\x00\x7f\ufeff🙂", '"\\']
    lines = speech(chunks).decode("ascii").split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert [event["content"] for event in events[:-1]] == chunks
    assert [event["stop"] for event in events] == [False] * 4 + [True]
