"""The user's own tools (`--tools FILE`): read, checked, and called with arguments that their schemas allow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample, Unsatisfiable
from hypothesis.strategies import DrawFn, SearchStrategy
from hypothesis_jsonschema import from_schema
from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from tcfuzz.case import Json, Tool
from tcfuzz.errors import UsageError

_HELP = 'expected a list of {"type": "function", "function": {"name", "parameters"}} or MCP\'s {"tools": [...]}'


# -- reading ----------------------------------------------------------------------------------------------------------


def tools_from_file(path: Path) -> tuple[Tool, ...]:
    """The tools in a JSON file: OpenAI's list, `{"tools": [...]}`, a list of bare functions, or MCP's `tools/list`.

    Raises UsageError in one line: the file, what is wrong, what to do.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot read the tools: {error}; give --tools a readable JSON file") from None
    except ValueError as error:
        raise UsageError(f"{path}: is no JSON: {error}; check it with: python -m json.tool {path}") from None
    entries = _entries(data)
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path}: holds no tools: {_HELP}")
    try:
        tools = tuple(_tool(entry, place) for place, entry in enumerate(entries))
        check_tools(tools)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return tools


def _entries(data: Json) -> Json:
    """The list of tools in any of the shapes, a JSON-RPC answer's `result` unwrapped."""
    if isinstance(data, Mapping) and isinstance(data.get("result"), Mapping):
        data = data["result"]
    if isinstance(data, Mapping):
        return data.get("tools", [data] if "name" in data or "function" in data else None)
    return data


def _tool(entry: Json, place: int) -> Tool:
    function = entry.get("function", entry) if isinstance(entry, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise UsageError(f"tool {place}: has no name: {_HELP}")
    schema = next((function[key] for key in ("parameters", "inputSchema", "input_schema") if key in function), None)
    if schema is not None and not isinstance(schema, Mapping):
        raise UsageError(
            f"tool {function['name']!r}: its parameters are no JSON schema object: write them as an object"
        )
    description = function.get("description")
    return Tool(function["name"], description if isinstance(description, str) else None, schema)


# -- checking ---------------------------------------------------------------------------------------------------------

# hypothesis-jsonschema 0.23 ignores these or resolves them wrongly: arguments would break the schema.
UNSUPPORTED = frozenset(
    {
        "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$anchor", "dependentSchemas",
        "dependentRequired", "unevaluatedProperties", "unevaluatedItems", "minContains", "maxContains", "prefixItems",
    }
)  # fmt: skip
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "additionalItems")


def check_tools(tools: tuple[Tool, ...]) -> None:
    """Raise UsageError for a tool that no arguments can be made for; it names the tool and the keyword."""
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise UsageError(f"tool {tool.name!r} is declared twice: rename or remove one")
        seen.add(tool.name)
        _check_schema(tool)


def _check_schema(tool: Tool) -> None:
    schema = dict(tool.parameters or {})
    for keyword in _keywords(schema):
        if keyword in UNSUPPORTED:
            raise UsageError(f"tool {tool.name!r}: the schema keyword {keyword!r} is not supported: rewrite it without")
    for reference in _references(schema):
        _check_reference(tool, schema, reference)
    if schema.get("type", "object") != "object":
        raise UsageError(f"tool {tool.name!r}: its parameters have the type {schema['type']!r}: tools take an object")
    try:
        validator_for(schema, default=Draft7Validator).check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "parameters"
        raise UsageError(
            f"tool {tool.name!r}: {place} is no JSON schema: {_first_line(error.message)}: correct it"
        ) from None
    try:
        possible = _admits_something(json.dumps(_closed(schema)))
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, all mean a schema that it cannot use
        raise UsageError(
            f"tool {tool.name!r}: its schema is not usable: {_first_line(str(error))}: rewrite it"
        ) from None
    if not possible:
        raise UsageError(f"tool {tool.name!r}: no arguments satisfy its schema{_unsatisfiable_part(schema)}: loosen it")


def _check_reference(tool: Tool, schema: Mapping[str, Json], reference: str) -> None:
    if not reference.startswith("#"):
        raise UsageError(
            f"tool {tool.name!r}: the schema keyword '$ref' points outside of the schema ({reference!r}): "
            "copy the definition to $defs"
        )
    if _target(schema, reference) is None:
        raise UsageError(f"tool {tool.name!r}: the schema keyword '$ref' points to nothing ({reference!r}): define it")
    if _is_recursive(schema, reference):
        raise UsageError(
            f"tool {tool.name!r}: the schema keyword '$ref' refers to itself ({reference!r}), which is not supported: "
            "write the levels out"
        )


def _is_recursive(root: Mapping[str, Json], reference: str, path: tuple[str, ...] = ()) -> bool:
    if reference in path:
        return True
    inner = set(_references(_target(root, reference)))
    return any(_is_recursive(root, other, (*path, reference)) for other in inner)


@lru_cache(maxsize=256)
def _admits_something(schema: str) -> bool:
    """Whether a value can be found: some contradictions show only when one is looked for."""
    try:
        strategy = _strategy(schema)
        if strategy.is_empty:
            return False
        find(strategy, lambda value: True, settings=_LOOK)
    except (NoSuchExample, Unsatisfiable):
        return False
    return True


_LOOK = settings(
    max_examples=100,
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _unsatisfiable_part(schema: dict[str, Json]) -> str:
    """Which property admits nothing, in words; empty when none does alone."""
    properties = schema.get("properties")
    for key, part in properties.items() if isinstance(properties, Mapping) else ():
        whole = {"$defs": schema.get("$defs", {}), "definitions": schema.get("definitions", {})}
        alone = {**whole, **part} if isinstance(part, Mapping) else part
        if not _admits_something(json.dumps(alone)):
            keywords = ", ".join(part) if isinstance(part, Mapping) else str(part)
            return f": the property {key!r} ({keywords}) admits nothing"
    return ""


def _first_line(message: str) -> str:
    return message.splitlines()[0][:200] if message else "invalid"


def _parts(schema: Json) -> Iterator[Mapping[str, Json]]:
    """A schema and all its subschemas."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key in _MAPS:
        for part in schema[key].values() if isinstance(schema.get(key), Mapping) else ():
            yield from _parts(part)
    for key in (*_LISTS, *_SINGLE):
        value = schema.get(key)
        for part in value if isinstance(value, list) else [value]:
            yield from _parts(part)


def _keywords(schema: Json) -> Iterator[str]:
    for part in _parts(schema):
        yield from part


def _references(schema: Json) -> Iterator[str]:
    for part in _parts(schema):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]


# -- arguments --------------------------------------------------------------------------------------------------------


def arguments_for(tool: Tool) -> SearchStrategy[dict[str, Json]]:
    """Arguments that satisfy the tool's schema."""
    return _strategy(json.dumps(_closed(dict(tool.parameters or {}))))


def _closed(schema: Mapping[str, Json]) -> dict[str, Json]:
    """The schema without undeclared arguments: they are allowed by omission only, and models do not invent them."""
    closed: dict[str, Json] = {"type": "object", **schema}
    if "additionalProperties" not in schema and not _composed(schema):
        closed["additionalProperties"] = False
    return closed


def _composed(schema: Mapping[str, Json]) -> bool:
    return any(key in schema for key in ("$ref", "anyOf", "oneOf", "allOf", "patternProperties", "if"))


@lru_cache(maxsize=256)
def _strategy(schema: str) -> SearchStrategy[Any]:
    return from_schema(json.loads(schema))


class DrawnArguments:
    """Arguments drawn from schemas, and the strings in them that may be replaced by any other."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def arguments(self, tool: Tool) -> dict[str, Json]:
        """Arguments that satisfy the tool's schema, with their keys in the order of the schema."""
        drawn = self._draw(arguments_for(tool))
        properties = list((tool.parameters or {}).get("properties") or ())
        known = {key: drawn[key] for key in properties if key in drawn}
        return {**known, **drawn}

    def slots(self, tool: Tool, arguments: dict[str, Json]) -> Iterator[tuple[dict[str, Json] | list[Json], str | int]]:
        """Where any string would do: (container, key)."""
        return _slots(dict(tool.parameters or {}), arguments, dict(tool.parameters or {}), frozenset())


_ANNOTATIONS = frozenset({"type", "description", "title", "default", "examples", "$comment", "deprecated", "nullable"})
_OPEN = _ANNOTATIONS | {
    "properties", "required", "items", "additionalProperties", "$defs", "definitions", "$schema", "$id", "minItems",
    "maxItems", "minProperties", "maxProperties",
}  # fmt: skip


def _slots(
    schema: Json, value: Json, root: Mapping[str, Json], followed: frozenset[str]
) -> Iterator[tuple[dict[str, Json] | list[Json], str | int]]:
    """Containers are entered only where their schema looks at types, not at values."""
    schema, followed = _resolve(schema, root, followed)
    if not isinstance(schema, Mapping) or not set(schema) <= _OPEN:
        return
    places: list[tuple[dict[str, Json] | list[Json], str | int, Json]] = []
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        places = [(value, key, properties.get(key)) for key in value if key in properties]
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        places = [(value, index, schema["items"]) for index in range(len(value))]
    for container, key, part in places:
        item = container[key]  # type: ignore[index]
        if isinstance(item, str):
            if _is_free(part, root):
                yield container, key
        else:
            yield from _slots(part, item, root, followed)


def _resolve(schema: Json, root: Mapping[str, Json], followed: frozenset[str]) -> tuple[Json, frozenset[str]]:
    """The schema that a local `$ref` stands for."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if not isinstance(reference, str) or reference in followed or set(schema) - _ANNOTATIONS != {"$ref"}:
        return schema, followed
    return _target(root, reference), followed | {reference}


def _target(root: Json, reference: str) -> Json:
    """What a local reference (`#/$defs/X`) points to, None for nothing."""
    target = root
    for part in reference.removeprefix("#").split("/")[1:]:
        target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target


def _is_free(schema: Json, root: Mapping[str, Json]) -> bool:
    """Whether any string satisfies a schema."""
    schema, _ = _resolve(schema, root, frozenset())
    if not isinstance(schema, Mapping) or not set(schema) <= _ANNOTATIONS:
        return False
    kind = schema.get("type")
    return kind == "string" or (isinstance(kind, list) and "string" in kind)
