"""The native formats, by name: `dialects.get("gemma4")`."""

from __future__ import annotations

from tcfuzz.dialects.base import Dialect, Marker, Stream, Traits
from tcfuzz.dialects.hermes import Hermes
from tcfuzz.registry import Registry

registry: Registry[Dialect] = Registry("dialect")
for _dialect in (Hermes(),):
    registry.add(_dialect.name, _dialect)

get = registry.get
names = registry.names

__all__ = ["Dialect", "Marker", "Stream", "Traits", "get", "names", "registry"]
