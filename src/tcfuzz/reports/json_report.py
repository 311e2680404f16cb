"""`--json`: the result of a command for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable
from pathlib import Path

import tcfuzz
from tcfuzz.case import Json
from tcfuzz.crashers import replace_file
from tcfuzz.errors import UsageError
from tcfuzz.events import Bug, Summary, Tally

CrasherPath = Callable[[str], Path | None]
"""The file of a failure, by its fingerprint's digest."""


def report(summary: Summary, crasher_path: CrasherPath, known: Container[str] = ()) -> dict[str, Json]:
    """One target: `{"tcfuzz", "target", "version", "dialect", "seed", "cases", "checks", "seconds", "oracles",
    "findings"}`, then what a program may ignore: `model`, `left_out`, `unknowns`, `table`, `infos`, `interrupted`.

    `oracles` maps an id to `{"pass", "fail", "unknown", "not_applicable"}`; the last counts format limits too.
    A finding is `{"id", "fingerprint", "oracle", "blame", "severity", "kind", "features", "count", "crasher",
    "loss", "known", "shrunk"}`; `fingerprint` is its digest, `crasher` a path or null.
    """
    return {
        "tcfuzz": tcfuzz.__version__,
        "target": summary.target,
        "version": summary.version,
        "dialect": summary.dialect,
        "seed": summary.seed,
        "cases": summary.cases,
        "checks": summary.checks,
        "seconds": round(summary.seconds, 3),
        "oracles": {oracle: _tally(tally) for oracle, tally in summary.oracles.items()},
        "findings": [_finding(bug, crasher_path, known) for bug in summary.bugs],
        "model": summary.model,
        "left_out": dict(summary.left_out),
        "unknowns": dict(summary.unknowns),
        "table": {feature: dict(cells) for feature, cells in summary.table.items()},
        "infos": [{"oracle": info.oracle, "kind": info.kind, "loss": info.loss} for info in summary.infos],
        "interrupted": summary.interrupted,
    }


def combine(reports: Iterable[dict[str, Json]]) -> dict[str, Json]:
    """`{"targets": [ … ]}`, where one command covers several dialects, models or templates."""
    return {"targets": list(reports)}


def write(path: Path, content: dict[str, Json]) -> None:
    """Write atomically: ASCII, two-space indent, a final newline. Raises UsageError."""
    write_report(path, (json.dumps(content, indent=2) + "\n").encode("ascii"))


def write_report(path: Path, content: bytes) -> None:
    """Put a whole report in a path's place. Raises UsageError."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise UsageError(f"{path}: cannot write the report: {error.strerror} (choose another file)") from None


def _tally(tally: Tally) -> dict[str, Json]:
    return {
        "pass": tally.passed,
        "fail": tally.failed,
        "unknown": tally.unknown,
        "not_applicable": tally.not_applicable,
    }


def _finding(bug: Bug, crasher_path: CrasherPath, known: Container[str]) -> dict[str, Json]:
    digest = bug.fingerprint.digest()
    path = crasher_path(digest)
    return {
        "id": bug.id,
        "fingerprint": digest,
        "oracle": bug.finding.oracle,
        "blame": bug.finding.blame,
        "severity": bug.finding.severity,
        "kind": bug.finding.kind,
        "features": list(bug.fingerprint.features),
        "count": bug.count,
        "crasher": None if path is None else path.as_posix(),
        "loss": bug.finding.loss,
        "known": digest in known,
        "shrunk": bug.shrunk,
    }
