"""`tcfuzz list …` and `tcfuzz doctor`: what there is, one line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tcfuzz import dialects, oracles, strategies, targets


def _print(console: Console, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not console.is_terminal:
        # For a pipe: a line a thing, columns by tabs, whatever the width.
        for row in rows:
            print("\t".join(row))
        return
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def list_targets(console: Console) -> None:
    """Name and what it is."""
    _print(console, ("target", ""), [(name, what) for name, what, _, _ in targets.describe()])


def list_dialects(console: Console) -> None:
    """Name, kind, key order, calls per turn, ids, reasoning, models."""
    rows = []
    for dialect in dialects.registry:
        traits = dialect.traits
        calls = {None: "any", 0: "none"}.get(traits.max_calls, str(traits.max_calls))
        ids = "on the wire" if traits.id_pattern else "none"
        reasoning = "yes" if traits.reasoning else "no"
        rows.append((dialect.name, traits.kind, traits.key_order, calls, ids, reasoning, dialect.summary))
    _print(console, ("dialect", "kind", "key order", "calls", "ids", "reasoning", "models"), rows)


def list_oracles(console: Console) -> None:
    """Id, severity, what a target must be able to, the rule."""
    rows = []
    for oracle in oracles.registry:
        needs = " or ".join("+".join(sorted(need)) for need in oracle.needs)
        rows.append((oracle.id, oracle.severity, needs, oracle.rule))
    _print(console, ("oracle", "severity", "needs", "rule"), rows)


def list_features(console: Console) -> None:
    """Id and what it is."""
    _print(console, ("feature", ""), [(feature.id, feature.summary) for feature in strategies.registry])


LISTS: dict[str, Callable[[Console], None]] = {
    "targets": list_targets,
    "dialects": list_dialects,
    "oracles": list_oracles,
    "features": list_features,
}


def doctor(console: Console) -> int:
    """Which targets can run here; for the others the one command that makes them. 0 where all can run."""
    rows = []
    missing = 0
    for name, what, available, how in targets.describe():
        missing += not available
        rows.append((name, "ready" if available else "missing", what if available else how))
    _print(console, ("target", "", ""), rows)
    return 0
