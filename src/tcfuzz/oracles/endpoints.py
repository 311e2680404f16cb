"""`endpoints-agree`: a server says the same through every interface that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from tcfuzz.case import Json, Message
from tcfuzz.diff import Difference, as_json, key_orders, message_difference, same
from tcfuzz.finding import Finding, NotApplicable, Pass, Verdict
from tcfuzz.observation import Answer, Failed, Observation, Outcome, Unasked
from tcfuzz.oracles.base import fail, failure_kind, no_answer, oracle
from tcfuzz.oracles.round_trip import describe
from tcfuzz.oracles.stream import chunkings, units

CHUNKINGS = 3
"""Whole, token by token, in the case's own sizes: more is for `stream-equals-whole`. A quick look takes two."""


@oracle(
    "endpoints-agree",
    rule="MUST report the same content, reasoning and calls, in the same order, or that it failed, through every "
    "interface of the target, streamed or not",
    group="robust",
    needs=(frozenset({"endpoints"}),),
)
def endpoints_agree(observation: Observation) -> Verdict:
    """An agent that talks to the same model through another interface loses what the model said."""
    text = (observation.native or observation.emitted) if observation.case.reply is not None else observation.case.text
    if text is None:
        return NotApplicable("out of the format's domain", limit=True)
    if observation.spares(4):
        return NotApplicable("checked in other cases")
    first: Outcome[Mapping[str, Message]] | None = None
    findings: dict[str, Finding] = {}
    for chunks in _cut(observation, text):
        outcome = observation.answers(chunks)
        first = outcome if first is None else first
        for finding in _compared(observation, text, chunks, outcome):
            findings.setdefault(finding.kind, finding)
    assert first is not None
    return fail(*findings.values()) or (Pass() if isinstance(first, Answer) else no_answer(first))


def _cut(observation: Observation, text: str) -> list[tuple[str, ...]]:
    sizes = observation.case.chunks
    whole, *others = islice(chunkings(text, *units(observation, text), sizes, ()), CHUNKINGS)
    return [whole, *(others if observation.thorough else others[sum(sizes) % 2 :][:1])]


def _compared(
    observation: Observation, text: str, chunks: Sequence[str], outcome: Outcome[Mapping[str, Message]]
) -> Iterator[Finding]:
    if isinstance(outcome, Failed):
        # What fails for one interface alone is this rule's matter, the rest that of accepts, total and the stream.
        if isinstance(observation.parse(text), Answer) and isinstance(observation.stream(tuple(chunks)), Answer):
            loss = "Asked through all of its interfaces, the target gives no answer."
            yield _finding(failure_kind(outcome), loss, text, chunks, "answers", str(outcome))
        return
    if isinstance(outcome, Unasked):
        return
    (name, expected), *others = outcome.value.items()
    for other, actual in others:
        if expected.role == "error" or actual.role == "error":
            yield from _failed(text, chunks, (name, expected), (other, actual))
        elif (found := _difference(expected, actual)) is not None:
            loss = f"{other} tells another answer than {name}. {_REORDERED.get(found.kind) or describe(found)}"
            yield _finding(f"{other}:{found.kind}", loss, text, chunks, found.expected, found.actual, found.path)


def _failed(
    text: str, chunks: Sequence[str], first: tuple[str, Message], second: tuple[str, Message]
) -> Iterator[Finding]:
    """Where one of two gave no message: an error that both tell is none of this rule's."""
    (name, expected), (other, actual) = first, second
    if expected.role != "error":
        kind = (actual.content or "").partition(":")[0]
        loss = f"{other} gives no answer where {name} does."
        yield _finding(f"{other}:{kind}", loss, text, chunks, expected.to_openai(), actual.content)
    elif actual.role != "error":
        loss = f"{other} gives an answer where {name} fails."
        yield _finding(f"{other}:error-hidden", loss, text, chunks, expected.content, actual.to_openai())
    elif not (actual.content or "").startswith("raised"):
        loss = f"{other} does not tell that it failed, as {name} does: a part passes for the whole answer."
        yield _finding(f"{other}:error-hidden", loss, text, chunks, expected.content, actual.content)


def _finding(
    kind: str, loss: str, text: str, chunks: Sequence[str], expected: Json, actual: Json, path: str = ""
) -> Finding:
    return Finding("endpoints-agree", "self", kind, loss, expected, actual, path=path, text=text, chunks=tuple(chunks))


_REORDERED = {
    "key-order": "The keys of an object change their order.",
    "calls-reordered": "The calls come in another order.",
}


def _difference(expected: Message, actual: Message) -> Difference | None:
    left, right = as_json(expected.tool_calls), as_json(actual.tool_calls)
    if not same(left, right) and same(sorted(left, key=repr), sorted(right, key=repr)):
        return Difference("calls-reordered", "tool_calls", left, right)
    return message_difference(expected, actual) or _order(expected, actual)


def _order(expected: Message, actual: Message) -> Difference | None:
    """Where the keys of two equal messages' arguments stand in another order."""
    pairs = zip(key_orders(as_json(expected.tool_calls)), key_orders(as_json(actual.tool_calls)), strict=True)
    # Objects come outermost first: where the first differs, later ones of the other message may stand elsewhere.
    for (path, left), (_, right) in pairs:
        if left != right:
            return Difference("key-order", f"tool_calls{path}", left, right)
    return None
