"""The rules, by id: `oracles.get("round-trip")`."""

from __future__ import annotations

from tcfuzz.oracles import (  # noqa: F401 - they register
    accepts,
    endpoints,
    grammar,
    marker_leak,
    prompt,
    robust,
    round_trip,
    stream,
    tools,
)
from tcfuzz.oracles.base import Oracle, registry

registry.arrange(
    (
        "accepts",
        "round-trip",
        "key-order",
        "marker-leak",
        "content-kept",
        "tools-declared",
        "deterministic",
        "stream-equals-whole",
        "endpoints-agree",
        "arguments-as-string",
        "ids",
        "total",
        "truncation",
        "no-vanishing",
        "grammar-admits",
        "tool-choice",
        "schema-valid",
        "prefix-stable",
        "reference-identical",
        "injection",
    )
)

get = registry.get
names = registry.names

__all__ = ["Oracle", "get", "names", "registry"]
