"""Features of tool definitions: `schema:*`. Schemas are drawn together with the arguments that satisfy them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tcfuzz.case import Case, Json, Tool, ToolCall
from tcfuzz.dialects.base import Dialect
from tcfuzz.strategies import markers, texts
from tcfuzz.strategies.draft import Draft, Param
from tcfuzz.strategies.feature import Feature, Inject, with_made_tools
from tcfuzz.strategies.tape import Tape

MANY_TOOLS = 4
SUBSCHEMA_MAPS = ("properties", "$defs", "definitions", "patternProperties")
SUBSCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SUBSCHEMAS = ("items", "additionalProperties", "not")
_TYPED = ("type", "enum", "const", "$ref", *SUBSCHEMA_LISTS)
_USUAL = frozenset({"type", "description", "properties", "required", "items", "enum", "const", "$ref", "$defs"}) | {
    "additionalProperties",
    "nullable",
    *SUBSCHEMA_LISTS,
}
DESCRIPTIONS = (
    'has "quotes"',
    "two\nlines",
    "ends with a newline\n",
    "</tools>",
    "a|b, {c}: [d]",
    "it's \\n escaped",
    '*/ """ -->',
    "<b>&amp;</b>",
    "{{ x }}",
    "é漢😀",
    "tab\there",
    "  padded  ",
)


# -- how they are recognised ------------------------------------------------------------------------------------------


def subschemas(schema: Json) -> Iterator[Mapping[str, Json]]:
    """A schema and all that it holds, the outer ones first."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key in SUBSCHEMA_MAPS:
        inner = schema.get(key)
        if isinstance(inner, Mapping):
            for item in inner.values():
                yield from subschemas(item)
    for key in SUBSCHEMA_LISTS:
        for item in schema.get(key) or ():
            yield from subschemas(item)
    for key in SUBSCHEMAS:
        yield from subschemas(schema.get(key))


def _is_nasty(description: Json) -> bool:
    return isinstance(description, str) and description != "" and not texts.is_words(description)


def _own_keywords(schema: Mapping[str, Json], *, root: bool) -> Iterator[str]:
    """The features that one schema shows by its own keywords."""
    kind = schema.get("type")
    if isinstance(kind, list):
        yield "nullable" if len(kind) == 2 and "null" in kind else "type-list"
    tests = {
        "enum": "enum" in schema,
        "const": "const" in schema,
        "nullable": "nullable" in schema or kind == "null",
        "any-of": "anyOf" in schema or "allOf" in schema,
        "one-of": "oneOf" in schema,
        "no-type": not root and not any(key in schema for key in _TYPED),
        "additional-properties": "additionalProperties" in schema,
        "ref": "$ref" in schema,
        "nested": not root and "properties" in schema,
        "description-nasty": _is_nasty(schema.get("description")),
        "extra-keywords": any(key not in _USUAL for key in schema),
    }
    yield from (name for name, holds in tests.items() if holds)


def _optional_before_required(schema: Mapping[str, Json]) -> bool:
    required = schema.get("required") or ()
    flags = [key in required for key in schema.get("properties") or ()]
    return False in flags and True in flags[flags.index(False) :]


def _in_other_order(call: ToolCall, tool: Tool | None) -> bool:
    properties = tool.parameters.get("properties") if tool is not None and tool.parameters else None
    declared = list(properties) if isinstance(properties, Mapping) else []
    given = [key for key in call.arguments if key in declared]
    return given != [key for key in declared if key in call.arguments]


def find_schemas(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """All `schema:*` features of the tools in a case."""
    found: set[str] = set()
    for tool in case.tools:
        root = tool.parameters
        if _is_nasty(tool.description):
            found.add("description-nasty")
        if tool.description is None:
            found.add("no-description")
        if root is None or not root.get("properties"):
            found.add("no-parameters")
        for schema in subschemas(root):
            found.update(_own_keywords(schema, root=schema is root))
            if _optional_before_required(schema):
                found.add("optional-before-required")
    calls = [call for message in case.conversation() for call in message.tool_calls]
    if any(_in_other_order(call, case.tool(call.name)) for call in calls):
        found.add("other-order")
    called = {call.name for call in calls}
    if len(case.tools) >= MANY_TOOLS:
        found.add("many-tools")
    if len(case.tools) > 1 and any(tool.name not in called for tool in case.tools):
        found.add("tool-never-called")
    return frozenset(f"schema:{name}" for name in found)


# -- how they are made ------------------------------------------------------------------------------------------------

Made = tuple[dict[str, Json], Callable[[], Json]]


def _enum(draft: Draft, tape: Tape) -> Made:
    options = [draft.words.next() for _ in range(1 + tape.below(4))]
    chosen = tape.pick(options)
    schema: dict[str, Json] = {"enum": options} if tape.chance(1, 4) else {"type": "string", "enum": options}
    return schema, lambda: chosen


def _const(draft: Draft, tape: Tape) -> Made:
    word = draft.words.next()
    return ({"const": word} if tape.chance(1, 3) else {"type": "string", "const": word}), lambda: word


def _nullable(draft: Draft, tape: Tape) -> Made:
    if tape.chance(1, 3):
        return {"type": "string", "nullable": True}, draft.argument
    return {"type": tape.pick((["string", "null"], ["null", "string"]))}, draft.argument


def _string_or(number: int, use_number: bool, draft: Draft) -> Callable[[], Json]:
    return (lambda: number) if use_number else draft.argument


def _type_list(draft: Draft, tape: Tape) -> Made:
    kinds = tape.pick((["string", "integer"], ["integer", "string"], ["number", "string", "null"], ["array", "string"]))
    return {"type": kinds}, _string_or(7, "array" not in kinds and tape.chance(1, 3), draft)


def _any_of(draft: Draft, tape: Tape) -> Made:
    options = tape.pick(
        (
            [{"type": "string"}, {"type": "integer"}],
            [{"type": "integer"}, {"type": "string"}],
            [{"type": "string"}, {"type": "number"}, {"type": "null"}],
        )
    )
    return {"anyOf": options}, _string_or(7, tape.chance(1, 3), draft)


def _one_of(draft: Draft, tape: Tape) -> Made:
    key = draft.words.next()
    holder = {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]}
    if tape.chance(1, 3):
        return {"oneOf": [{"type": "array"}, holder]}, lambda: {key: draft.argument()}
    return {"oneOf": [{"type": "integer"}, {"type": "string"}]}, _string_or(7, tape.chance(1, 3), draft)


def _no_type(draft: Draft, tape: Tape) -> Made:
    schema: dict[str, Json] = {"description": draft.words.phrase()} if tape.chance(1, 2) else {}
    return schema, _string_or(7, tape.chance(1, 3), draft)


def _nested(draft: Draft, tape: Tape) -> Made:
    first, second, inner = draft.words.next(), draft.words.next(), draft.words.next()
    schema: dict[str, Json] = {"type": "object", "properties": {first: {"type": "string"}}, "required": [first]}
    if not tape.chance(1, 2):
        return schema, lambda: {first: draft.argument()}
    deeper = {"type": "object", "properties": {inner: {"type": "string"}}, "required": [inner]}
    if tape.chance(1, 3):
        schema["properties"][second] = {"type": "array", "items": deeper}
        return schema, lambda: {first: draft.argument(), second: [{inner: draft.argument()}]}
    schema["properties"][second] = deeper
    return schema, lambda: {first: draft.argument(), second: {inner: draft.argument()}}


def _extra_keywords(draft: Draft, tape: Tape) -> Made:
    extras: tuple[dict[str, Json], ...] = (
        {"title": draft.words.next()},
        {"default": draft.words.next()},
        {"title": draft.words.next(), "default": None, "maxLength": 10_000_000},
        {"examples": [draft.words.next()], "minLength": 0, "x-order": 1},
        {"default": "", "deprecated": False},
    )
    return {"type": "string", **tape.pick(extras)}, draft.argument


def _put(made: Callable[[Draft, Tape], Made], draft: Draft, tape: Tape) -> None:
    schema, make = made(draft, tape)
    draft.place(tape, schema, make)


def _ref(draft: Draft, tape: Tape) -> None:
    tool = draft.target_tool(tape)
    name, key = draft.words.next().capitalize(), draft.words.next()
    shared: dict[str, Json] = {"type": "string"}
    make: Callable[[], Json] = draft.argument
    if tape.chance(1, 3):
        shared = {"type": "object", "properties": {key: shared}, "required": [key]}
        make = lambda: {key: draft.argument()}  # noqa: E731
    tool.extra["$defs"] = {**tool.extra.get("$defs", {}), name: shared}
    draft.add(tool, Param(draft.words.next(), {"$ref": f"#/$defs/{name}"}, make))


def _additional(draft: Draft, tape: Tape) -> None:
    tool = draft.target_tool(tape)
    allowed = tape.pick((False, True, {"type": "string"}, {}))
    tool.extra["additionalProperties"] = allowed
    if allowed is not False and tape.chance(2, 3):
        draft.add(tool, Param(draft.words.next(), {}, draft.argument, declared=False))


def _optional_first(draft: Draft, tape: Tape) -> None:
    tool = draft.target_tool(tape)
    while len(tool.params) < 2:
        draft.add_string(tool)
    tool.optional_first = True


def _other_order(draft: Draft, tape: Tape) -> None:
    tool = draft.target_tool(tape)
    while len(tool.params) < 2:
        draft.add_string(tool)
    tool.turned = True


def _no_parameters(draft: Draft, tape: Tape) -> None:
    """A tool without parameters: one more where the arguments of the first are needed."""
    lone = not draft.wants_arguments() and tape.chance(1, 2)
    tool = draft.target_tool(tape) if lone else draft.new_tool()
    tool.params.clear()
    tool.bare = True
    tool.null_parameters = tape.chance(1, 3)
    for call in draft.all_calls():
        call.bare = call.bare or call.tool is tool


def _many_tools(draft: Draft, tape: Tape) -> None:
    count = MANY_TOOLS + tape.below(draft.scale(3, 12, 60))
    while len(draft.tools) < count:
        draft.new_tool()


def _never_called(draft: Draft, tape: Tape) -> None:
    for _ in range(1 + tape.chance(1, 4)):
        draft.new_tool()
    if tape.chance(1, 2):
        draft.tools.reverse()


def _no_description(draft: Draft, tape: Tape) -> None:
    for tool in draft.tools:
        tool.description = None
        for param in tool.params if tape.chance(2, 3) else ():
            param.schema.pop("description", None)


def _nasty_description(draft: Draft, tape: Tape) -> None:
    tool = draft.target_tool(tape)
    own = list(markers.marker_texts(draft.dialect).roles_of)
    sample = tape.pick(own) if own and tape.chance(1, 3) else tape.pick(DESCRIPTIONS)
    text = texts.framed("any", tape.below(4), sample, draft.words)
    described = [param for param in tool.params if param.declared]
    if described and tape.chance(1, 2):
        tape.pick(described).schema["description"] = text
    else:
        tool.description = text


_INT = frozenset({"value:int", "value:large-int"})
_OBJECT = frozenset({"value:object", "value:array", "schema:nested"})
_BARE = frozenset({"calls:no-arguments", "schema:tool-never-called"})


def _feature(name: str, summary: str, inject: Inject, implies: frozenset[str] = frozenset()) -> Feature:
    return Feature(f"schema:{name}", summary, "parameters", inject, find_schemas, with_made_tools, implies)


FEATURES: tuple[Feature, ...] = (
    _feature("enum", "string parameters with an enum, typed or not", partial(_put, _enum)),
    _feature("const", "parameters with one allowed value", partial(_put, _const)),
    _feature("nullable", "a type or null, as a list or as `nullable: true`", partial(_put, _nullable)),
    _feature("type-list", "several types in a list", partial(_put, _type_list), _INT | {"schema:nullable"}),
    _feature("any-of", "anyOf several types", partial(_put, _any_of), _INT | {"schema:nullable"}),
    _feature("one-of", "oneOf several types", partial(_put, _one_of), _INT | _OBJECT),
    _feature("no-type", "parameters without a type", partial(_put, _no_type), _INT),
    _feature(
        "additional-properties",
        "additionalProperties, with and without undeclared arguments",
        _additional,
        frozenset({"schema:no-type"}),
    ),
    _feature("ref", "$ref into $defs", _ref, _OBJECT),
    _feature("optional-before-required", "an optional parameter declared before a required one", _optional_first),
    _feature("other-order", "parameters declared in another order than calls give them in", _other_order),
    _feature("nested", "objects with properties of their own", partial(_put, _nested), _OBJECT),
    _feature("extra-keywords", "title, default, examples and unknown keywords", partial(_put, _extra_keywords)),
    _feature("no-description", "tools and parameters without a description", _no_description),
    _feature("description-nasty", "quotes, newlines, markup and markers in descriptions", _nasty_description),
    Feature(
        "schema:no-parameters",
        "a tool without parameters: no properties, or no schema at all",
        "plan",
        _no_parameters,
        find_schemas,
        with_made_tools,
        _BARE,
    ),
    Feature(
        "schema:many-tools",
        "four tools and more (dozens in large cases)",
        "plan",
        _many_tools,
        find_schemas,
        with_made_tools,
        _BARE,
    ),
    Feature(
        "schema:tool-never-called",
        "tools that no call uses",
        "plan",
        _never_called,
        find_schemas,
        with_made_tools,
    ),
)
