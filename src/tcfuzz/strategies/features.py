"""All features by id: `registry.get("text:crlf")`."""

from __future__ import annotations

from functools import lru_cache

from tcfuzz.case import Case
from tcfuzz.dialects.base import Dialect
from tcfuzz.registry import Registry
from tcfuzz.strategies import names, native, schemas, shapes, strings, values
from tcfuzz.strategies.feature import Feature, Scope

registry: Registry[Feature] = Registry("feature")
"""In sweep order: the data first, then what carries it, then malformed text."""
for _feature in (
    *strings.FEATURES,
    *values.FEATURES,
    *names.FEATURES,
    *schemas.FEATURES,
    *shapes.FEATURES,
    *native.FEATURES,
):
    registry.add(_feature.id, _feature)

_DETECTORS = tuple(dict.fromkeys(feature.detector for feature in registry))


def features_of(case: Case, dialect: Dialect | None) -> frozenset[str]:
    """The ids of all features that a case carries, found in the case itself however it was made.

    A case made malformed on purpose (text without a reply) is described by its text and its history.
    """
    return frozenset().union(*(detector(case, dialect) for detector in _DETECTORS))


def feature_ids(
    dialect: Dialect | None,
    *,
    utf8: bool = True,
    native: bool = False,
    own_tools: bool = False,
    options: frozenset[str] | None = None,
) -> tuple[str, ...]:
    """The features that make sense for a dialect, in sweep order.

    utf8: leave out lone surrogates. native: only the malformed texts (they need cases of their own), else all but
    those. own_tools: the user's tools are called, so names, keys, values and schemas are not ours. options: template
    options that the renderer takes, None for all.
    """
    scope = Scope(dialect, utf8=utf8, native=native, own_tools=own_tools, options=options)
    chosen = (feature for feature in registry if (feature.stage == "native") == native)
    return tuple(feature.id for feature in chosen if feature.suits(scope))


@lru_cache(maxsize=1024)
def closure(ids: frozenset[str]) -> frozenset[str]:
    """These features and all that they may bring with them."""
    reached = set(ids)
    waiting = list(ids)
    while waiting:
        more = registry.get(waiting.pop()).implies - reached
        reached |= more
        waiting.extend(more)
    return frozenset(reached)
