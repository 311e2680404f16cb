"""How fast cases are made: ours beside hypothesis-jsonschema with `st.text()` for a conversation of the same shape.

Usage: python benchmarks/generation.py [cases]

Both run alternately in one process and are compared by processor time, so that a busy machine slows both alike.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from tcfuzz import dialects
from tcfuzz.strategies import Profile, Size, cases, feature_ids

ROUNDS = 5
ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "exact": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
        "place": {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]},
    },
    "required": ["city", "days", "exact", "tags", "place"],
    "additionalProperties": False,
}
SAME_SHAPE = frozenset(
    {
        "text:quotes", "value:int", "value:bool", "value:array", "schema:nested", "history:tool-results",
        "history:system", "calls:parallel",
    }
)  # fmt: skip


def baseline() -> st.SearchStrategy[Any]:
    """System and user message, a call with its result, an answer, and two calls as the reply."""
    arguments = from_schema(ARGUMENTS)
    call = st.fixed_dictionaries({"name": st.just("weather"), "arguments": arguments})
    return st.fixed_dictionaries(
        {
            "tool": st.fixed_dictionaries({"name": st.just("weather"), "description": st.text()}),
            "texts": st.tuples(*[st.text()] * 5),
            "history": call,
            "reply": st.tuples(call, call),
            "chunks": st.lists(st.integers(1, 9), min_size=1, max_size=4),
        }
    )


def swarm(size: Size, start: int) -> st.SearchStrategy[Any]:
    """A batch of the swarm phase: twelve features at random."""
    dialect = dialects.get("gemma4")
    chosen = random.Random(start).sample(feature_ids(dialect), 12)
    return cases(Profile(dialect, frozenset(chosen), size=size))


def rate(strategy: st.SearchStrategy[Any], count: int, start: int) -> float:
    """Cases a second of processor time, generation alone."""
    made = 0

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case: Any) -> None:
        nonlocal made
        made += 1

    began = time.process_time()
    run()
    return made / (time.process_time() - began)


def main() -> None:
    """Print the medians, and how many times the baseline each is."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    hermes = dialects.get("hermes")
    contestants: dict[str, Callable[[int], st.SearchStrategy[Any]]] = {
        "baseline: hypothesis-jsonschema + st.text()": lambda start: baseline(),
        "tcfuzz, the same shape": lambda start: cases(Profile(hermes, SAME_SHAPE)),
        "tcfuzz, sweep: one feature, small": lambda start: cases(Profile(hermes, frozenset({"text:quotes"}))),
        "tcfuzz, swarm: twelve features, small": lambda start: swarm("small", start),
        "tcfuzz, swarm: twelve features, large": lambda start: swarm("large", start),
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for start in range(ROUNDS):
        for name, make in contestants.items():
            rates[name].append(rate(make(start), count, start))
    medians = {name: sorted(found)[ROUNDS // 2] for name, found in rates.items()}
    reference = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name:45} {median:7.0f} cases/s   {median / reference:5.1f}x")


if __name__ == "__main__":
    main()
