"""`round-trip`, `key-order`, `schema-valid`, `ids`: what comes back from a reply's native text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import jsonschema

from tcfuzz.case import Case, Json, Message, ToolCall
from tcfuzz.dialects.base import to_json
from tcfuzz.diff import Difference, as_json, key_orders, message_difference, same
from tcfuzz.finding import Blame, Finding, NotApplicable, Pass, Verdict
from tcfuzz.observation import WAVERINGS, Answer, Observation
from tcfuzz.oracles.base import PARSE, RENDER, fail, no_answer, no_calls, oracle, out_of_domain

BOTH = (PARSE, RENDER)


@oracle(
    "round-trip",
    rule="MUST give back the same calls: number, names, arguments equal in value and type; content and reasoning too, "
    "up to the dialect's declared trims",
    group="parse",
    needs=BOTH,
)
def round_trip(observation: Observation) -> Verdict:
    """An argument that changes on its way makes the agent do something else than the model said.

    Four texts find the culprit: the target's parser reads the reference's text, the reference reads the target's
    text, and the target reads its own; a case that the reference itself cannot carry is left out.
    """
    if observation.case.reply is None:
        return NotApplicable("malformed text: see total")
    if not observation.may_be_said:
        return out_of_domain()
    checked = [_parsed(observation), _rendered(observation)]
    findings = [finding for done, finding in checked if done]
    if not any(findings) and (itself := _itself(observation))[0]:
        findings.append(itself[1])
    if not findings:
        return no_answer(None)
    return fail(*findings) or Pass()


_Checked = tuple[bool, Finding | None]
"""Whether a path could be walked, and what it found."""


def _parsed(observation: Observation) -> _Checked:
    if observation.dialect is None or observation.emitted is None or not observation.can("parse"):
        return False, None
    outcome = observation.parse(observation.emitted)
    if not isinstance(outcome, Answer):
        return False, None
    return True, _compare(observation, "parser", outcome.value, observation.emitted)


def _rendered(observation: Observation) -> _Checked:
    outcome = rendered_text(observation)
    if observation.dialect is None or outcome is None:
        return False, None
    back = observation.dialect.parse(outcome, observation.case.tools)
    return True, _compare(observation, "renderer", back, outcome)


def is_misrendered(observation: Observation) -> bool:
    """Whether the reference reads another reply in the target's own text of it."""
    return _rendered(observation)[1] is not None


def _itself(observation: Observation) -> _Checked:
    text = rendered_text(observation) if observation.can("parse", "render") else None
    outcome = None if text is None else observation.parse(as_said(observation, text))
    if text is None or not isinstance(outcome, Answer):
        return False, None
    if observation.dialect is not None:
        return True, _compare(observation, "self", outcome.value, text)
    if not _shows(text, observation.case.reply):
        return False, None
    return True, _compare(observation, "self", _unmarked(outcome.value, observation.case.reply), text)


def _unmarked(back: Message, reply: Message | None) -> Message:
    """A message with the reply's texts where it has them and more: markers that servers may or may not hide."""
    assert reply is not None
    content, reasoning = reply.content or "", reply.reasoning_content or ""
    return replace(
        back,
        content=content if content.strip() in (back.content or "") else back.content,
        reasoning_content=reasoning if reasoning.strip() in (back.reasoning_content or "") else back.reasoning_content,
    )


def _shows(text: str, reply: Message | None) -> bool:
    """Whether all of a reply stands in a text: a template that nobody knows may have no place for some of it."""
    if reply is None:
        return False
    told = (part.strip() for part in (reply.content or "", reply.reasoning_content or ""))
    values = [*told, *(word for call in reply.tool_calls for word in (call.name, *_words(dict(call.arguments))))]
    return all(value in text or to_json(value)[1:-1] in text for value in values)


def _words(value: Json) -> Iterator[str]:
    """Every string in a value, and its numbers and literals as JSON has them."""
    if isinstance(value, (dict, list)):
        for item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from (item[0],) if isinstance(item[0], str) else ()
            yield from _words(item[1])
    else:
        yield value if isinstance(value, str) else to_json(value)


def as_said(observation: Observation, text: str) -> str:
    """A rendered reply as the model says it: history may show an empty thought, or its end alone, where the prompt
    opened one that the model only has to end; or the text behind the calls.
    """
    dialect, prompt = observation.dialect, observation.turn.prompt
    if dialect is not None and dialect.traits.calls_shown_first and _has_both(observation.case.reply):
        return observation.emitted or text
    if dialect is None or prompt is None or not dialect.thought_end.strip() or not dialect.opened_by(prompt):
        return text
    content = "" if observation.case.reply is None else observation.case.reply.content or ""
    if content.strip() and text.startswith(content):
        return text  # whatever tags it begins with are its own
    opened = dialect.opened_by(prompt)
    if text.lstrip().startswith(opened.rstrip()) and not text.startswith(opened):
        # White space is written around the tags in history alone.
        text = opened + text.lstrip().removeprefix(opened.rstrip())
    opening, closing = (re.escape(dialect.marker(role) or "") for role in ("reasoning-open", "reasoning-close"))
    space = dialect.thought_end[len(dialect.thought_end.rstrip()) :]
    if not closing:
        return text
    start = observation.text_opening if text.startswith(observation.text_opening) else ""
    return re.sub(rf"\A\s*(?:{opening})?\s*{closing}(?:{re.escape(space)})?", lambda _: start, text)


def _has_both(reply: Message | None) -> bool:
    return reply is not None and bool(reply.content and reply.tool_calls)


def rendered_text(observation: Observation) -> str | None:
    """The target's own text of the reply, where a renderer can be held to it."""
    if not observation.can("render") or observation.template_limit or not observation.history_in_domain:
        return None
    outcome = observation.rendered_reply
    return outcome.value if isinstance(outcome, Answer) else None


def _compare(observation: Observation, blame: Blame, back: Message, text: str) -> Finding | None:
    assert observation.reply is not None
    expected = observation.reply
    back = observation.normalised(back)
    shown = observation.dialect is None or observation.dialect.traits.reasoning_in_history
    if blame != "parser" and not shown:
        expected = replace(expected, reasoning_content=None)
        back = replace(back, reasoning_content=None)
    found = message_difference(expected, back)
    if found is None:
        return None
    return Finding(
        "round-trip", blame, found.kind, describe(found), found.expected, found.actual, path=found.path, text=text
    )


def describe(found: Difference) -> str:
    """One sentence: what a user loses."""
    where = "the arguments" if found.path.endswith(".arguments") else found.path.rpartition(".arguments.")[2]
    sentences = {
        "call-lost": "A tool call gets lost: the agent never runs it.",
        "call-added": "A tool call appears that the model never made.",
        "name-changed": "The call goes to a tool of another name.",
        "key-lost": f"An argument gets lost in {where}.",
        "key-added": f"An argument appears in {where} that the model never gave.",
        "key-changed": f"An argument changes its name in {where}.",
        "items-lost": f"Items of the list {where} get lost.",
        "items-added": f"Items appear in the list {where}.",
        "number-changed": f"The number {where} becomes another number.",
        "number-rounded": f"The number {where} loses its last digits: it went through a double.",
        "boolean-changed": f"The boolean {where} turns into its opposite.",
    }
    if found.kind in sentences:
        return sentences[found.kind]
    if found.kind.startswith("type:"):
        was, now = found.kind[5:].split("→")
        return f"{where} was of type {was} and comes back as {now}."
    what, _, change = found.kind.partition("-")
    change = {"lost": "gets lost", "cut": "is cut off", "trimmed": "loses white space", "padded": "gains white space",
              "added": "appears from nowhere", "changed": "is altered"}.get(change, change)  # fmt: skip
    return f"The text of {where} {change}." if what == "text" else f"The message's {what} {change}."


@oracle(
    "key-order",
    rule="MUST keep the order of argument keys, nested ones too, as the native text has them",
    group="parse",
    needs=BOTH,
    reference=True,
)
def key_order(observation: Observation) -> Verdict:
    """A cached prompt is invalidated and the model sees its own calls rewritten when keys change places."""
    if (verdict := no_calls(observation)) is not None:
        return verdict
    assert observation.reply is not None and observation.reference is not None and observation.dialect is not None
    findings = []
    checked = False
    if observation.can("parse") and isinstance(outcome := observation.parse(observation.emitted or ""), Answer):
        checked = True
        findings.append(_order(observation.reference, outcome.value, "parser", observation.emitted))
    if observation.dialect.traits.key_order == "kept" and observation.can("render"):
        text = rendered_text(observation)
        back = None if text is None else observation.dialect.parse(text, observation.case.tools)
        order = None if back is None else _order(observation.reply, back, "renderer", text)
        findings.append(_random_order(observation, order))
        checked = checked or text is not None
    return fail(*findings) or (Pass() if checked else no_answer(None))


def _random_order(observation: Observation, found: Finding | None) -> Finding | None:
    """The finding, or that the order differs from one rendering to the next, as that of a hash map does."""
    assert observation.reply is not None
    keys = [key for call in observation.reply.tool_calls for key in call.arguments]
    if len(set(keys)) < 2 or not (found or observation.thorough):
        return found
    outcomes = [
        observation.render_again(observation.with_reply, observation.case.tools, generation_prompt=False)
        for _ in range(WAVERINGS)
    ]
    prompts = [outcome.value for outcome in outcomes if isinstance(outcome, Answer)]
    orders = {tuple(sorted(keys, key=prompt.rfind)) for prompt in prompts}
    if len(orders) < 2:
        return found
    loss = "The keys of the arguments come in another order each time."
    expected, actual = keys, [list(order) for order in sorted(orders)]
    return Finding("key-order", "renderer", "random-order", loss, expected, actual, path="tool_calls", text=prompts[0])


def _order(expected: Message, actual: Message, blame: Blame, text: str | None) -> Finding | None:
    if not same(as_json(expected.tool_calls), as_json(actual.tool_calls)):
        return None  # round-trip reports that
    left, right = key_orders(as_json(expected.tool_calls)), key_orders(as_json(actual.tool_calls))
    by_path = dict(right)
    for path, keys in left:
        if by_path[path] != keys:
            nested = path.count(".") + path.count("[") > 2
            kind = ("nested-" if nested else "") + ("sorted" if by_path[path] == sorted(keys) else "reordered")
            loss = f"The keys of {path.rpartition('arguments')[2].lstrip('.') or 'the arguments'} change their order."
            return Finding("key-order", blame, kind, loss, keys, by_path[path], path=f"tool_calls{path}", text=text)
    return None


@oracle(
    "schema-valid",
    rule="MUST return arguments that satisfy the tool's schema when the emitted ones did",
    group="parse",
    needs=(PARSE,),
    reference=True,
)
def schema_valid(observation: Observation) -> Verdict:
    """An agent that validates arguments rejects a call that the model made rightly."""
    if (verdict := no_calls(observation)) is not None:
        return verdict
    assert observation.reply is not None and observation.emitted is not None
    outcome = observation.parse(observation.emitted)
    if not isinstance(outcome, Answer):
        return no_answer(outcome)
    expected, actual = observation.reply.tool_calls, outcome.value.tool_calls
    if [call.name for call in expected] != [call.name for call in actual]:
        return NotApplicable("other calls come back: see round-trip")
    for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
        finding = _invalid(observation.case, left, right, index, observation.emitted)
        if finding is not None:
            return fail(finding) or Pass()
    return Pass()


def _invalid(case: Case, expected: ToolCall, actual: ToolCall, index: int, text: str) -> Finding | None:
    tool = case.tool(expected.name)
    if same(expected.arguments, actual.arguments) or tool is None or tool.parameters is None:
        return None
    validator = jsonschema.Draft202012Validator(dict(tool.parameters))
    if not validator.is_valid(dict(expected.arguments)):
        return None
    error = next(iter(validator.iter_errors(dict(actual.arguments))), None)
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path)) or "the arguments"
    loss = f"A valid call comes back invalid: {where} breaks the schema's `{error.validator}`."
    return Finding(
        "schema-valid",
        "parser",
        f"breaks:{error.validator}",
        loss,
        dict(expected.arguments),
        dict(actual.arguments),
        path=f"tool_calls[{index}].arguments",
        text=text,
    )


@oracle(
    "ids",
    rule="MUST give calls unique ids and ascending indexes, and bind results to calls by `tool_call_id` in any order",
    group="parse",
    needs=(PARSE, RENDER),
    reference=True,
)
def ids(observation: Observation) -> Verdict:
    """With two calls of one id, or results bound by position, the model reads one tool's answer as another's."""
    findings: list[Finding | None] = []
    checked = False
    called = bool(observation.reply and observation.reply.tool_calls) and observation.in_domain
    if called and observation.can("parse"):
        outcome = observation.parse(observation.emitted or "")
        if isinstance(outcome, Answer):
            checked = True
            findings.append(_id_finding(observation, outcome.value.tool_calls))
    if observation.can("render") and not observation.template_limit and observation.history_in_domain:
        bound = _bindings(observation)
        checked = checked or bound[0]
        findings.append(bound[1])
    return fail(*findings) or (Pass() if checked else NotApplicable("no ids to see"))


def _id_finding(observation: Observation, calls: Sequence[ToolCall]) -> Finding | None:
    assert observation.reply is not None and observation.dialect is not None
    got = [call.id for call in calls]
    text = observation.emitted
    if all(call_id is None for call_id in got):
        return None  # the translator leaves ids to its caller
    given = [call_id for call_id in got if call_id is not None]
    if len(given) < len(got) or not all(given):
        loss = "A call comes back without an id: its result cannot be bound."
        return Finding("ids", "parser", "id-missing", loss, "an id for every call", got, path="tool_calls", text=text)
    if len(set(given)) < len(given):
        loss = "Two calls share one id: their results cannot be told apart."
        return Finding("ids", "parser", "id-twice", loss, "ids of their own", got, path="tool_calls", text=text)
    pattern = observation.dialect.traits.id_pattern
    wanted = [call.id for call in observation.reply.tool_calls]
    on_wire = pattern and all(call_id and re.fullmatch(pattern, call_id) for call_id in wanted)
    if on_wire and len(wanted) == len(got) and wanted != got:
        loss = "The id that the model wrote is replaced: its result will not be recognised."
        return Finding("ids", "parser", "id-changed", loss, wanted, got, path="tool_calls", text=text)
    return None


def _bindings(observation: Observation) -> tuple[bool, Finding | None]:
    """Whether the prompt shows what each result belongs to, and whether it is what the reference shows."""
    assert observation.dialect is not None
    reference, outcome = observation.reference_prompt(), observation.render()
    if reference is None or not isinstance(outcome, Answer) or observation.case.messages == ():
        return False, None
    expected = observation.dialect.result_bindings(reference)
    actual = observation.dialect.result_bindings(outcome.value)
    if not expected or actual is None:
        return False, None
    unaltered = sorted(text for _, text in expected) == sorted(text for _, text in actual)
    if not unaltered or sorted(expected) == sorted(actual):
        return True, None  # lost or altered results are content-kept's; the same pairs may come in any order
    loss = "A tool's result is shown as the answer of another call."
    return True, Finding("ids", "renderer", "result-misbound", loss, expected, actual, text=outcome.value)
