"""`tools-declared`: every tool reaches the prompt, and none depends on its neighbours."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import to_json
from tcfuzz.finding import Finding, NotApplicable, Pass, Verdict
from tcfuzz.observation import Answer, Observation, common_prefix
from tcfuzz.oracles.base import RENDER, fail, oracle
from tcfuzz.oracles.prompt import go_json, renderable

CONVERSATION = (Message("user", "Go."),)
MOST_CHANGES = 3
"""Changes tried per tool of a case: each is a rendering; a campaign sees thousands of cases."""


@oracle(
    "tools-declared",
    rule="MUST declare every tool with name, description, parameters, types, enums and required; reordering or adding "
    "tools MUST not change another's declaration",
    group="render",
    needs=(RENDER,),
    reference=True,
)
def tools_declared(observation: Observation) -> Verdict:
    """What is not declared cannot be called rightly: the model guesses names, types and allowed values.

    Each stated thing is changed in turn: where the canonical declaration changes with it, the target's must, too.
    """
    if (verdict := renderable(observation)) is not None:
        return verdict
    assert observation.dialect is not None
    if not observation.case.tools or not observation.dialect.traits.declares_tools:
        return NotApplicable("no tools to declare")
    if observation.spares(3):
        return NotApplicable("checked in other cases")
    checked = [_stated(observation, tool) for tool in observation.case.tools[:2]]
    checked.append(_independent(observation))
    if not any(done for done, _ in checked):
        return NotApplicable("the canonical declaration says nothing of these tools", limit=True)
    return fail(*(finding for _, findings in checked for finding in findings)) or Pass()


_Checked = tuple[bool, list[Finding]]
"""Whether there was something to see, and what is wrong, each kind of thing once."""


def _prompts(observation: Observation, *tools: Tool) -> tuple[str, str] | None:
    """(the target's prompt, the reference's) of a short conversation with these tools."""
    outcome = observation.render(CONVERSATION, tools)
    reference = observation.reference_prompt(CONVERSATION, tools)
    return (outcome.value, reference) if isinstance(outcome, Answer) and reference is not None else None


def _stated(observation: Observation, tool: Tool) -> _Checked:
    base = _prompts(observation, tool)
    if base is None:
        return False, []
    seen: set[str] = set()
    undeclared: dict[str, Finding] = {}
    for what, changed in _some(observation, list(_changes(tool))):
        other = _prompts(observation, changed) if what not in undeclared else None
        if other is None or other[1] == base[1]:
            continue  # the canonical declaration does not show it
        seen.add(what)
        if other[0] == base[0]:
            loss = f"The prompt is the same whatever a tool's {what} is: the model never learns it."
            undeclared[what] = Finding(
                "tools-declared", "renderer", f"{what}-undeclared", loss, changed.to_openai(), tool.to_openai(),
                path=f"tools.{tool.name}", text=base[0],
            )  # fmt: skip
        if "name" in undeclared:
            break  # then nothing of it is shown
    altered = _description(tool, base) if seen and "name" not in undeclared else None
    return bool(seen), [*undeclared.values(), *([altered] if altered else [])]


def _description(tool: Tool, prompts: tuple[str, str]) -> Finding | None:
    text = (tool.description or "").strip()
    if not text or not any(form in prompts[1] for form in (text, to_json(text)[1:-1])):
        return None
    ascii_json = "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in to_json(text)[1:-1])
    forms = [text, to_json(text)[1:-1], ascii_json, repr(text)[1:-1], go_json(text)]
    if not text.isascii() or any(form in prompts[0] for form in forms):
        return None
    if "".join(text.split()) in "".join(prompts[0].replace("//", "").split()):
        return None  # broken into comment lines
    return Finding(
        "tools-declared", "renderer", "description-altered", "A tool's description is not shown as it was given.",
        text, prompts[0], path=f"tools.{tool.name}.description", text=prompts[0],
    )  # fmt: skip


def _some(observation: Observation, changes: list[tuple[str, Tool]]) -> list[tuple[str, Tool]]:
    """The name and a few of the changes, others from case to case; all of them in a thorough look."""
    if observation.thorough or len(changes) <= MOST_CHANGES:
        return changes
    named, *others = changes
    start = sum(observation.case.chunks) % len(others)
    return [named, *(others + others)[start : start + MOST_CHANGES - 1]]


def _changes(tool: Tool) -> Iterator[tuple[str, Tool]]:
    """(what changed, the tool with it changed) for everything that a declaration must show."""
    yield "name", replace(tool, name=tool.name + "_q")
    if tool.description:
        yield "description", replace(tool, description=tool.description + " qqq")
    if tool.parameters:
        for what, path, value in _schema_changes(tool.parameters, ()):
            changed = copy.deepcopy(dict(tool.parameters))
            _put(changed, path, value)
            yield what, replace(tool, parameters=changed)


_Path = tuple[str, ...]


def _schema_changes(schema: Mapping[str, Json], path: _Path) -> Iterator[tuple[str, _Path, Json]]:
    """(what, path, new value) of each declared thing in an object schema, outermost first."""
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    if properties:
        first, *others = properties
        renamed = {f"{first}q": properties[first], **{key: properties[key] for key in others}}
        yield "parameter", (*path, "properties"), renamed
        if isinstance(required, list) and required:
            yield "required", (*path, "required"), required[:-1]
    for key, sub in properties.items():
        if isinstance(sub, Mapping):
            yield from _property_changes(sub, (*path, "properties", key))


def _property_changes(schema: Mapping[str, Json], path: _Path) -> Iterator[tuple[str, _Path, Json]]:
    if isinstance(kind := schema.get("type"), str):
        yield "type", (*path, "type"), "integer" if kind != "integer" else "string"
    if isinstance(text := schema.get("description"), str) and text:
        yield "parameter-description", (*path, "description"), text + " qqq"
    if isinstance(values := schema.get("enum"), list) and values and isinstance(values[0], str):
        yield "enum", (*path, "enum"), [*values, "qqq"]
    yield from _schema_changes(schema, path)
    if isinstance(items := schema.get("items"), Mapping):
        yield from _property_changes(items, (*path, "items"))


def _put(value: Json, path: _Path, new: Json) -> None:
    for key in path[:-1]:
        value[key] = dict(value[key])
        value = value[key]
    value[path[-1]] = new


def _independent(observation: Observation) -> _Checked:
    """Whether two tools are declared side by side as each is alone, in either order."""
    tools = observation.case.tools[:2]
    if len(tools) < 2 or tools[0].name == tools[1].name:
        return False, []
    first, second = tools
    sets = [_prompts(observation, *group) for group in ((first,), (second,), (first, second), (second, first))]
    prompts = [prompt for prompt in sets if prompt is not None]
    if len(prompts) < 4 or _joint([reference for _, reference in prompts]) is not None:
        return False, []
    broken = _joint([prompt for prompt, _ in prompts])
    if broken is None:
        return True, []
    if observation.wavers(CONVERSATION, (first, second)):
        return False, []
    loss = "A tool is declared otherwise when another one stands beside it."
    kind = "depends-on-others"
    return True, [Finding("tools-declared", "renderer", kind, loss, broken[0], broken[1], path="tools", text=broken[1])]


def _joint(prompts: list[str]) -> tuple[str, str] | None:
    """(what was expected, what came) where the prompts of a, b, ab, ba are not made of the same two declarations.

    With P and S what a and b have in common before and after, a is P+x+S and b is P+y+S; then ab must be P+x+J+y+S
    and ba P+y+J+x+S with one and the same J between them.
    """
    a, b, ab, ba = prompts
    head = common_prefix(a, b)
    tail = min(common_prefix(a[::-1], b[::-1]), min(len(a), len(b)) - head)
    prefix, suffix = a[:head], a[len(a) - tail :]
    x, y = a[head : len(a) - tail], b[head : len(b) - tail]
    joint = len(ab) - len(prefix) - len(x) - len(y) - len(suffix)
    if joint < 0:
        return f"{prefix}{x}…{y}{suffix}", ab
    between = ab[head + len(x) : head + len(x) + joint]
    if ab != prefix + x + between + y + suffix:
        return f"{prefix}{x}{between}{y}{suffix}", ab
    expected = prefix + y + between + x + suffix
    return None if ba == expected else (expected, ba)
