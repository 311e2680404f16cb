"""How gemma4 writes values and declares tools: strings quoted by a token, keys sorted, types in capitals.

Source: as `tcfuzz.dialects.gemma4`. Where the canonical template loses a part of a declaration that the format has a
place for (an enum that is not of strings, the brace of parameters without a type), it is written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tcfuzz.case import Json, Tool
from tcfuzz.dialects.base import to_json

TOOL_OPEN, TOOL_CLOSE = "<|tool>", "<tool|>"
QUOTE = '<|"|>'


# -- values ----------------------------------------------------------------------------------------------------------


def sorted_items(mapping: Mapping[str, Json]) -> list[tuple[str, Json]]:
    """The items as Jinja's `dictsort` orders them: by lower-cased key, ties as they stand."""
    return sorted(mapping.items(), key=lambda item: item[0].lower())


def value_text(value: Json, *, quoted_keys: bool = False) -> str:
    """One value. Keys are bare in calls and results, quoted in declarations."""
    if isinstance(value, str):
        return f"{QUOTE}{value}{QUOTE}"
    if isinstance(value, Mapping):
        return "{" + members(value, quoted_keys) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([value_text(item, quoted_keys=quoted_keys) for item in value]) + "]"
    if value is None or isinstance(value, bool):
        return to_json(value)
    return str(value)


def members(mapping: Mapping[str, Json], quoted_keys: bool = False) -> str:
    """The members of an object without its braces, keys sorted."""
    quote = QUOTE if quoted_keys else ""
    texts = []
    for key, value in sorted_items(mapping):
        texts.append(f"{quote}{key}{quote}:{value_text(value, quoted_keys=quoted_keys)}")
    return ",".join(texts)


# -- declarations ----------------------------------------------------------------------------------------------------


def declaration(tool: Tool) -> str:
    """One tool in the system turn."""
    text = f"declaration:{tool.name}{{description:{QUOTE}{tool.description or ''}{QUOTE}"
    if tool.parameters:
        text += f",parameters:{{{_parameters(tool.parameters)}}}"
    return f"{TOOL_OPEN}{text}}}{TOOL_CLOSE}"


def _parameters(schema: Mapping[str, Json]) -> str:
    parts = []
    if schema.get("properties"):
        parts.append(f"properties:{{{_properties(schema['properties'])}}}")
    if schema.get("required"):
        parts.append(f"required:{_names(schema['required'])}")
    if schema.get("type"):
        parts.append(f"type:{_type(schema)}")
    return ",".join(parts)


def _properties(properties: Mapping[str, Json], leave_out: Iterable[str] = ()) -> str:
    return ",".join([f"{k}:{{{_property(v)}}}" for k, v in sorted_items(properties) if k not in leave_out])


def _property(schema: Json) -> str:
    """What the format has a place for: description, enum, items, nullable, properties, required and type.

    A schema that is no object (`true`, or a keyword's value shown as a property) says none of it.
    """
    if not isinstance(schema, Mapping):
        schema = {}
    kind = str(schema.get("type", "")).upper()
    parts = []
    if schema.get("description"):
        parts.append(f"description:{QUOTE}{schema['description']}{QUOTE}")
    if schema.get("enum"):
        parts.append(f"enum:{value_text(schema['enum'], quoted_keys=True)}")
    if kind == "ARRAY" and isinstance(schema.get("items"), Mapping) and schema["items"]:
        parts.append(f"items:{{{_items(schema['items'])}}}")
    if schema.get("nullable"):
        parts.append("nullable:true")
    if kind == "OBJECT":
        parts.extend(_object(schema))
    return ",".join([*parts, f"type:{_type(schema)}"])


def _object(schema: Mapping[str, Json]) -> list[str]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        parts = [f"properties:{{{_properties(properties)}}}"]
    else:
        # Without properties the schema's own keywords are shown as if they were some.
        parts = [f"properties:{{{_properties(schema, _SCHEMA_WORDS)}}}"]
    return [*parts, f"required:{_names(schema['required'])}"] if schema.get("required") else parts


_SCHEMA_WORDS = ("description", "type", "properties", "required", "nullable")


def _items(schema: Mapping[str, Json]) -> str:
    return ",".join([f"{key}:{_item(key, value)}" for key, value in sorted_items(schema) if value is not None])


def _item(key: str, value: Json) -> str:
    if key == "properties":
        return f"{{{_properties(value)}}}" if isinstance(value, Mapping) else "{}"
    if key == "required":
        return _names(value)
    if key == "type":
        return value_text(value.upper() if isinstance(value, str) else [kind.upper() for kind in value])
    return value_text(value, quoted_keys=True)


def _names(names: Iterable[str]) -> str:
    return "[" + ",".join([f"{QUOTE}{name}{QUOTE}" for name in names]) + "]"


def _type(schema: Mapping[str, Json]) -> str:
    return f"{QUOTE}{str(schema.get('type', '')).upper()}{QUOTE}"
