"""`marker-leak`: special tokens neither appear nor disappear."""

from __future__ import annotations

from collections.abc import Sequence

from tcfuzz.case import Message, strings_of
from tcfuzz.diff import as_json
from tcfuzz.finding import Finding, NotApplicable, Pass, Verdict
from tcfuzz.neutral import supplied_strings
from tcfuzz.observation import Answer, Observation
from tcfuzz.oracles.base import PARSE, RENDER, fail, oracle


@oracle(
    "marker-leak",
    rule="MUST not let special tokens appear or disappear: in the prompt each occurs as often as in the neutral twin "
    "plus its occurrences in the supplied strings, and turns open and close in the reference's sequence; after "
    "parsing, none is left that was not supplied there",
    group="render",
    needs=(RENDER, PARSE),
    reference=True,
)
def marker_leak(observation: Observation) -> Verdict:
    """A turn marker too many puts words into the user's mouth; one too few glues two turns together."""
    if observation.case.reply is None:
        return NotApplicable("malformed text: see total")
    checked = False
    findings: list[Finding | None] = []
    if observation.can("render") and not observation.template_limit and observation.history_in_domain:
        done, finding = _in_prompt(observation)
        checked, findings = done, [finding]
    if observation.can("parse") and observation.in_domain and observation.emitted is not None:
        outcome = observation.parse(observation.emitted)
        if isinstance(outcome, Answer):
            checked = True
            findings.append(_in_message(observation, outcome.value))
    return fail(*findings) or (Pass() if checked else NotApplicable("nothing to count", limit=True))


def _in_prompt(observation: Observation) -> tuple[bool, Finding | None]:
    assert observation.dialect is not None
    case, twin = observation.case, observation.twin
    prompt, neutral = observation.render(), observation.render(twin.messages, twin.tools)
    reference = observation.reference_prompt()
    reference_neutral = observation.reference_prompt(twin.messages, twin.tools)
    if not isinstance(prompt, Answer) or not isinstance(neutral, Answer):
        return False, None
    if reference is None or reference_neutral is None:
        return False, None
    supplied = list(supplied_strings(case.messages, case.tools))
    for token in counted_tokens(observation):
        own = neutral.value.count(token)
        # The canonical template may itself drop or repeat a supplied text (reasoning, moved tools).
        gain = reference.count(token) - reference_neutral.count(token)
        most = own + max(gain, sum(text.count(token) for text in supplied))
        least = own + min(gain, 0)
        count = prompt.value.count(token)
        if not least <= count <= most:
            kind = "token-appears" if count > most else "token-disappears"
            loss = f"The special token {token} {'appears' if count > most else 'disappears'} in the prompt."
            expected = f"{token} {least} to {most} times"
            return True, Finding(
                "marker-leak", "renderer", kind, loss, expected, f"{count} times", path="prompt", text=prompt.value
            )
    return True, _turns(observation, reference_neutral, neutral.value)


def counted_tokens(observation: Observation) -> Sequence[str]:
    """The special tokens that a renderer is held to; the begin-of-text token may be the tokenizer's to write."""
    assert observation.dialect is not None
    free = {marker.text for marker in observation.dialect.markers if marker.role in ("bos", "media")}
    return [token for token in observation.dialect.special_tokens if token not in free]


def _turns(observation: Observation, reference: str, prompt: str) -> Finding | None:
    assert observation.dialect is not None
    tokens = observation.dialect.turn_tokens
    expected, actual = _sequence(reference, tokens), _sequence(prompt, tokens)
    if expected == actual or _differ_by_implicit_system(observation, expected, actual):
        return None
    kind = (
        "turn-lost" if len(actual) < len(expected) else "turn-added" if len(actual) > len(expected) else "turns-mixed"
    )
    loss = "Turns open and close otherwise than the model knows them."
    return Finding("marker-leak", "renderer", kind, loss, expected, actual, path="prompt", text=prompt)


def _differ_by_implicit_system(observation: Observation, expected: list[str], actual: list[str]) -> bool:
    """A system turn that nobody supplied (default prompt, tool list) may be there or not, or hold the tools; one that
    was supplied may stand in a turn of its own behind that, or in the same one.
    """
    shorter, longer = sorted((expected, actual), key=len)
    extra = len(longer) - len(shorter)
    if not 0 < extra <= 3 or longer[extra:] != shorter:
        return False
    first = observation.case.messages[:1]
    supplied = bool(first) and first[0].role in ("system", "developer")
    return not supplied or longer[:extra] == longer[extra : 2 * extra]


def _sequence(prompt: str, tokens: Sequence[str]) -> list[str]:
    places = [(i, token) for token in tokens for i in _places(prompt, token)]
    return [token for _, token in sorted(places)]


def _places(text: str, token: str) -> list[int]:
    places, at = [], text.find(token)
    while at >= 0:
        places.append(at)
        at = text.find(token, at + len(token))
    return places


def _in_message(observation: Observation, back: Message) -> Finding | None:
    assert observation.reply is not None and observation.dialect is not None
    given = observation.reply
    if len(back.tool_calls) < len(given.tool_calls):
        return None  # a call that is read as text keeps its texts' tokens: see round-trip
    fields = (
        ("content", [given.content or ""], [back.content or ""]),
        ("reasoning_content", [given.reasoning_content or ""], [back.reasoning_content or ""]),
        ("tool_calls", list(strings_of(as_json(given.tool_calls))), list(strings_of(as_json(back.tool_calls)))),
    )
    for path, supplied, returned in fields:
        for token in observation.dialect.special_tokens:
            was, now = (sum(text.count(token) for text in texts) for texts in (supplied, returned))
            if now > was:
                loss = f"The special token {token} is left in {path}."
                expected, actual = f"{token} {was} times", f"{now} times: {returned}"
                kind = f"left-in-{path}"
                return Finding(
                    "marker-leak", "parser", kind, loss, expected, actual, path=path, text=observation.emitted
                )
    return None
