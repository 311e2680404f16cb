"""`accepts`: a valid conversation renders and in-domain text parses."""

from __future__ import annotations

from tcfuzz.case import Json
from tcfuzz.finding import Blame, Finding, NotApplicable, Pass, Verdict
from tcfuzz.observation import Failed, Observation
from tcfuzz.oracles.base import PARSE, RENDER, STREAM, fail, failure_kind, oracle, out_of_domain, unasked
from tcfuzz.targets.base import Converses


@oracle(
    "accepts",
    rule="MUST render a valid conversation and parse in-domain text without error, crash or hang",
    group="robust",
    needs=(RENDER, PARSE, STREAM),
)
def accepts(observation: Observation) -> Verdict:
    """A conversation that cannot be rendered ends an agent's run; a reply that cannot be parsed is lost."""
    if observation.case.reply is None:
        return NotApplicable("malformed text: see total")
    outcomes: list[object] = []
    findings: list[Finding | None] = []
    if observation.can("render") and not observation.template_limit and observation.history_in_domain:
        outcomes.append(observation.render())
        findings.append(_finding("renderer", outcomes[-1], "the conversation"))
        if observation.dialect is None or observation.reference_prompt(observation.with_reply) is not None:
            outcome = observation.render(observation.with_reply, generation_prompt=False)
            outcomes.append(outcome)
            findings.append(_finding("renderer", outcome, "the conversation with the reply"))
    unread: Finding | None = None
    if observation.in_domain and observation.emitted is not None:
        if observation.can("parse"):
            read = observation.parse(observation.emitted)
            outcomes.append(read)
            unread = _finding("parser", read, "the reply", observation.emitted)
            findings.append(None if _unrendered(observation, read) else unread)
        if observation.can("stream") and unread is None:  # what fails whole fails no less in a stream
            streamed = observation.stream((observation.emitted,))
            outcomes.append(streamed)
            findings.append(_finding("stream", streamed, "the reply's stream", observation.emitted))
    if not outcomes:
        return out_of_domain()
    return fail(*findings) or unasked(outcomes) or Pass()


def _unrendered(observation: Observation, outcome: object) -> bool:
    """Whether a server came to no parsing, since it cannot render the request: it says the same of the conversation."""
    if not isinstance(observation.target, Converses) or not isinstance(outcome, Failed):
        return False
    rendered = observation.render() if observation.can("render") else None
    return isinstance(rendered, Failed) and _told(rendered) == _told(outcome)


def _told(failed: Failed) -> tuple[str, str, str]:
    return failed.kind, failed.error, failed.message.partition("\n")[0]


def _finding(blame: Blame, outcome: object, what: str, text: str | None = None) -> Finding | None:
    if not isinstance(outcome, Failed):
        return None
    verb = {"renderer": "rendered", "parser": "parsed", "stream": "streamed"}[blame]
    expected: Json = f"{what} is {verb}"
    loss = f"{what[0].upper()}{what[1:]} cannot be {verb}: the target {_did(outcome)}."
    return Finding("accepts", blame, failure_kind(outcome), loss, expected, str(outcome), text=text)


def _did(failed: Failed) -> str:
    return {
        "raised": f"raised {failed.error}",
        "hung": "did not return",
        "died": "died",
        "flooded": "returned without end",
        "malformed": "returned something that is no message",
    }.get(failed.kind, failed.kind)
