"""Crashers: one failure in one file, which replay needs nothing else than.

`crashers/<target>/<dialect or model>/<oracle>-<kind>-<fingerprint>.json`, in the form of `schemas/crasher-v1.json`.
Files are written atomically and never deleted, but for the unshrunk form of a failure that its own run made small.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import hypothesis
import jsonschema

import tcfuzz
from tcfuzz.case import Case, Json
from tcfuzz.codec import Pairs, case_from_json, case_to_json, decode, deeply, dumps, loads_tagged
from tcfuzz.errors import CrasherError
from tcfuzz.escape import slug, visible
from tcfuzz.events import Bug, label
from tcfuzz.finding import Finding, Fingerprint, Severity

FORMAT, VERSION = "tcfuzz-crasher", 1
UNSHRUNK = "unshrunk-"
"""Begins the name of a file that stands only until its failure has been made small."""
MAX_TITLE = 160
"""Characters of a title."""

Status = Literal["open", "fixed", "wontfix"]


@dataclass(frozen=True, slots=True)
class OracleInfo:
    """The broken rule as it stood when the failure was found."""

    id: str
    revision: int
    severity: Severity
    rule: str


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """The target as it was. `template` is a digest; `arguments` what makes it again beside its name (template, …)."""

    name: str
    model: str = ""
    dialect: str | None = None
    version: str = ""
    template: str | None = None
    arguments: Mapping[str, Json] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The folder of its crashers: the model where users name one, as several may speak one dialect."""
        named = self.arguments.keys() & {"model", "renderer", "parser"}
        served = self.template is not None and ":" not in self.name  # a server's template, which its model is named for
        return self.model if named or served or not self.dialect else self.dialect

    def to_json(self) -> dict[str, Json]:
        """`{"name", "model", "dialect", "version", "template", "arguments"}`."""
        return {
            "name": self.name,
            "model": self.model,
            "dialect": self.dialect,
            "version": self.version,
            "template": self.template,
            "arguments": dict(self.arguments),
        }


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a crasher comes from: versions, the batch's seed, the UTC date, whether it is small or was redacted."""

    tcfuzz: str
    hypothesis: str
    seed: int
    date: str
    shrunk: bool
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Crasher:
    """One failure, with its input, what was expected and what came instead (both in `finding`)."""

    id: str
    title: str
    oracle: OracleInfo
    finding: Finding
    target: TargetInfo
    features: tuple[str, ...]
    case: Case
    status: Status
    issue: str | None
    notes: str
    provenance: Provenance

    @property
    def fingerprint(self) -> Fingerprint:
        """What makes two crashers one bug."""
        found, target = self.finding, self.target
        return Fingerprint(
            target.name, target.dialect or target.model, self.oracle.id, found.blame, found.kind, self.features
        )

    def to_json(self) -> dict[str, Json]:
        """The file's content, without the codec's tags."""
        found = self.finding
        return {
            "format": FORMAT,
            "version": VERSION,
            "id": self.id,
            "title": self.title,
            "oracle": {
                "id": self.oracle.id,
                "revision": self.oracle.revision,
                "severity": self.oracle.severity,
                "rule": self.oracle.rule,
            },
            "finding": {
                "blame": found.blame,
                "kind": found.kind,
                "loss": found.loss,
                "path": found.path,
                "text": found.text,
                "chunks": list(found.chunks),
            },
            "target": self.target.to_json(),
            "features": list(self.features),
            "input": case_to_json(self.case),
            "expected": found.expected,
            "actual": found.actual,
            "status": self.status,
            "issue": self.issue,
            "notes": self.notes,
            "provenance": {
                "tcfuzz": self.provenance.tcfuzz,
                "hypothesis": self.provenance.hypothesis,
                "seed": self.provenance.seed,
                "date": self.provenance.date,
                "shrunk": self.provenance.shrunk,
                "redacted": self.provenance.redacted,
            },
        }

    def text(self) -> str:
        """The file's text."""
        return dumps(self.to_json())


def from_bug(bug: Bug, *, target: TargetInfo, now: datetime, rule: str = "", revision: int = 1) -> Crasher:
    """The crasher of a failure. `now` becomes the UTC date; `rule` and `revision` are the oracle's."""
    found = bug.finding
    return Crasher(
        id=bug.id,
        title=_title(label(target.name, target.model, ""), found),
        oracle=OracleInfo(found.oracle, revision, found.severity, rule),
        finding=replace(found, expected=as_json(found.expected), actual=as_json(found.actual)),
        target=target,
        features=tuple(sorted(bug.fingerprint.features)),
        case=bug.case,
        status="open",
        issue=None,
        notes="",
        provenance=Provenance(
            tcfuzz=tcfuzz.__version__,
            hypothesis=hypothesis.__version__,
            seed=bug.seed,
            date=now.astimezone(UTC).date().isoformat(),
            shrunk=bug.shrunk,
        ),
    )


def _title(target: str, finding: Finding) -> str:
    whose = "with itself" if finding.blame == "self" else finding.blame
    title = visible(f"{target}, {whose}: {finding.loss}")
    return title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1] + "…"


def as_json(value: Any) -> Json:
    """What a target returned, as JSON: anything else than a JSON value becomes its `repr`."""
    return deeply(lambda: _as_json(value))


def _as_json(value: Any) -> Json:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else repr(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, Pairs):
        return Pairs(tuple((key, _as_json(item)) for key, item in value.items))
    return repr(value)


# -- files -------------------------------------------------------------------------------------------------------------


def path_for(root: Path, bug: Bug, folder: str = "") -> Path:
    """Where a failure's crasher belongs; `folder` where that is not its dialect's."""
    print_ = bug.fingerprint
    name = f"{slug(print_.oracle)}-{slug(print_.kind)}-{print_.digest()}.json"
    return root / slug(print_.target) / slug(folder or print_.dialect) / name


def write(path: Path, crasher: Crasher) -> None:
    """Write atomically: a reader, and a run that is killed, see the old file or the new one. Raises CrasherError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, crasher.text().encode("ascii"))
    except OSError as error:
        raise CrasherError(
            f"{path}: cannot write the crasher: {error.strerror} (set `crashers` in tcfuzz.toml)"
        ) from None


def replace_file(path: Path, content: bytes) -> None:
    """Put a whole new file in a path's place: on disk before it gets the name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: Path) -> Crasher:
    """The crasher in a file. Raises CrasherError, with the file and what to do, for anything else."""
    try:
        tagged = loads_tagged(path.read_text("utf-8"))
        _refuse_others(path, tagged)
        problem = jsonschema.exceptions.best_match(_validator().iter_errors(tagged))
        if problem is not None:
            raise ValueError(f"{problem.json_path.removeprefix('$.')}: {problem.message}")
        return _from_json(decode(tagged))
    except FileNotFoundError:
        raise CrasherError(f"{path}: no such crasher (look for it: tcfuzz replay {path.parent})") from None
    except OSError as error:
        raise CrasherError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        said = visible(" ".join(str(error).split()))
        raise CrasherError(f"{path}: broken crasher: {said[:200]} (restore it: git checkout -- {path})") from None


def _refuse_others(path: Path, tagged: Json) -> None:
    if not isinstance(tagged, Mapping) or tagged.get("format") != FORMAT:
        raise CrasherError(f'{path}: no crasher: it has no "format": "{FORMAT}" (move it out of the crashers folder)')
    if tagged.get("version") != VERSION:
        version = visible(json.dumps(tagged.get("version")))[:40]
        raise CrasherError(
            f"{path}: crasher version {version} is unknown, this tcfuzz reads {VERSION} (pip install --upgrade tcfuzz)"
        )


@cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(files("tcfuzz").joinpath("schemas", "crasher-v1.json").read_text("utf-8"))
    return jsonschema.Draft202012Validator(schema)


def _from_json(value: Json) -> Crasher:
    oracle, found = OracleInfo(**value["oracle"]), value["finding"]
    return Crasher(
        id=value["id"],
        title=value["title"],
        oracle=oracle,
        finding=Finding(
            oracle=oracle.id,
            blame=found["blame"],
            kind=found["kind"],
            loss=found["loss"],
            expected=value["expected"],
            actual=value["actual"],
            path=found["path"],
            text=found["text"],
            chunks=tuple(found["chunks"]),
            severity=oracle.severity,
        ),
        target=TargetInfo(**value["target"]),
        features=tuple(value["features"]),
        case=case_from_json(value["input"]),
        status=value["status"],
        issue=value["issue"],
        notes=value["notes"],
        provenance=Provenance(**value["provenance"]),
    )


def find(paths: Iterable[Path]) -> list[Path]:
    """The crasher files among `paths`: files as they are, `*.json` below folders, sorted, without dot files.

    Raises CrasherError for a path that does not exist.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(_below(path))
        elif path.exists():
            found.add(path)
        else:
            raise CrasherError(f"{path}: no such file or folder (crashers of a campaign are below ./crashers)")
    return sorted(found)


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in names if name.endswith(".json") and not name.startswith("."))


def existing(path: Path) -> Path | None:
    """The file of the same bug in a path's folder, under whatever name it was given before its fingerprint."""
    if path.exists():
        return path
    digest = path.stem.rpartition("-")[2]
    same = sorted(path.parent.glob(f"*-{digest}.json")) if path.parent.is_dir() else []
    return next((other for other in same if not other.name.startswith((UNSHRUNK, "."))), None)


def merge(old: Crasher, new: Crasher) -> Crasher:
    """The newer failure with what people wrote into the older file: status, issue and notes.

    The old one itself where nothing but the provenance differs, so that a repeated run changes no file.
    """
    merged = replace(new, status=old.status, issue=old.issue, notes=old.notes)
    same = replace(merged, provenance=old.provenance).text() == old.text()
    return old if same and old.provenance.shrunk >= new.provenance.shrunk else merged
