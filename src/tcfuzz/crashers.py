"""Crashers: one failure in one file, which replay needs nothing else than.

`crashers/<target>/<dialect or model>/<oracle>-<kind>-<fingerprint>.json`, in the form of `schemas/crasher-v1.json`.
Files are written atomically and never deleted, but for the unshrunk form of a failure that its own run made small.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
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
from tcfuzz.errors import CrasherError, TargetUnavailable
from tcfuzz.escape import slug, visible
from tcfuzz.events import Bug, BugSeen, BugShrunk, CampaignStarted, Event
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
        title=_title(target.name, found),
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


def path_for(root: Path, bug: Bug, model: str = "") -> Path:
    """Where a failure's crasher belongs; `model` names its folder where there is no dialect."""
    print_ = bug.fingerprint
    name = f"{slug(print_.oracle)}-{slug(print_.kind)}-{print_.digest()}.json"
    return root / slug(print_.target) / slug(print_.dialect or model) / name


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


# -- while a campaign runs ---------------------------------------------------------------------------------------------


class CrasherWriter:
    """A listener that writes each failure as it is found, and again when it has been made small.

    paths: fingerprint digest -> file, of failures of this run. known: digests whose file was there before.
    known_file: the file of an open bug that has the same cause: another rule that it breaks gets no file of its own.
    rule: an oracle's id -> (rule, revision). still_failing: digests whose file fails as recorded: left as it is.
    A disk error ends nothing: it is said once, and the crashers go to the standard error as text.
    """

    def __init__(
        self,
        root: Path,
        target: TargetInfo | None = None,
        *,
        rule: Callable[[str], tuple[str, int]] = lambda oracle: ("", 1),
        still_failing: Container[str] = (),
        known_file: Callable[[Fingerprint], Path | None] = lambda found: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        complain: Callable[[str], object] = lambda text: print(text, file=sys.stderr),
    ) -> None:
        self.root = root
        self.paths: dict[str, Path] = {}
        self.known: set[str] = set()
        self.error: CrasherError | None = None
        self._target = target
        self._rule = rule
        self._still_failing = still_failing
        self._known_file = known_file
        self._clock = clock
        self._complain = complain
        self._unshrunk: dict[str, Path] = {}
        self._saved: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Listen."""
        if isinstance(event, CampaignStarted) and self._target is None:
            self._target = TargetInfo(event.target, event.model, event.dialect, event.version)
        elif isinstance(event, BugSeen):
            self._seen(event.bug)
        elif isinstance(event, BugShrunk):
            self._shrunk(event)

    def path(self, digest: str) -> Path | None:
        """The file of a failure of this run."""
        return self.paths.get(digest)

    def is_known(self, digest: str) -> bool:
        """Whether its file was there before this run."""
        return digest in self.known

    def close(self) -> None:
        """Nothing is left to write."""

    def _seen(self, bug: Bug) -> None:
        digest, final = bug.fingerprint.digest(), self._path(bug)
        if present := existing(final) or self._known_file(bug.fingerprint):
            self.known.add(digest)
            self.paths[digest] = present
            return
        path = final.with_name(UNSHRUNK + final.name)
        if path.exists():
            self.paths[digest] = path  # of a run that was killed, or of another one that is at work
        elif self._write(path, self._crasher(bug)):
            self.paths[digest] = self._unshrunk[digest] = path

    def _shrunk(self, event: BugShrunk) -> None:
        digest, seen = event.bug.fingerprint.digest(), event.seen.digest()
        if digest not in self._saved:
            self._save(event.bug)
        for other in event.replaces:
            self._withdraw(other.digest(), digest)
        if seen in self._unshrunk and digest in self._saved:
            path = self._unshrunk.pop(seen)
            with contextlib.suppress(OSError):
                path.unlink()
            self.paths[seen] = self.paths[digest]

    def _withdraw(self, replaced: str, by: str) -> None:
        """Take back a file of this run whose bug turned out to be another one in a larger case."""
        path = self.paths.get(replaced)
        if path is not None and replaced in self._saved and replaced not in self.known and by in self._saved:
            with contextlib.suppress(OSError):
                path.unlink()
            self.paths[replaced] = self.paths[by]

    def _save(self, bug: Bug) -> None:
        digest, path = bug.fingerprint.digest(), self._path(bug)
        present = existing(path)
        if present is None and (same := self._known_file(bug.fingerprint)):
            self.known.add(digest)
            self._saved.add(digest)
            self.paths[digest] = same
            return
        if present is not None:
            self.known.add(digest)
        leave = present is not None and digest in self._still_failing
        if leave or self._merged(present or path, self._crasher(bug), present is not None):
            self._saved.add(digest)
            self.paths[digest] = present or path

    def _merged(self, path: Path, crasher: Crasher, present: bool) -> bool:
        """Whether the file stands: as it was, merged or new."""
        if not present:
            return self._write(path, crasher)
        try:
            old = read(path)
        except CrasherError as error:
            self._failed(error, crasher)
            return False
        merged = merge(old, crasher)
        return merged is old or self._write(path, merged)

    def _path(self, bug: Bug) -> Path:
        return path_for(self.root, bug, self._target.model if self._target else "")

    def _crasher(self, bug: Bug) -> Crasher:
        target = self._target or TargetInfo(bug.fingerprint.target, dialect=bug.fingerprint.dialect or None)
        rule, revision = self._rule(bug.finding.oracle)
        return from_bug(bug, target=target, now=self._clock(), rule=rule, revision=revision)

    def _write(self, path: Path, crasher: Crasher) -> bool:
        try:
            write(path, crasher)
        except CrasherError as error:
            self._failed(error, crasher)
            return False
        return True

    def _failed(self, error: CrasherError, crasher: Crasher) -> None:
        if self.error is None:
            self.error = error
            self._complain(f"{error}; the crashers follow here")
        self._complain(crasher.text())


# -- replay ------------------------------------------------------------------------------------------------------------


class Outcome(enum.Enum):
    """What a replayed crasher did."""

    FAILS = "fails as recorded"
    PASSES = "passes"
    FIXED = "passes now: set its status to fixed"
    CHANGED = "fails otherwise than recorded"
    FLAKY = "fails at times"
    ERROR = "could not be decided"
    SKIPPED = "the target is not available"


@dataclass(frozen=True, slots=True)
class Replayed:
    """An outcome, what failed (of the last run that failed) and the reason of ERROR and SKIPPED."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    reason: str = ""


def replay(crasher: Crasher, run: Callable[[Case], tuple[Finding, ...] | str], *, runs: int = 3) -> Replayed:
    """Run a crasher's case several times and compare with the record.

    `run` gives the findings of the crasher's oracle, or why there is no verdict; it may raise TargetUnavailable.
    """
    ways: set[Outcome] = set()
    findings: tuple[Finding, ...] = ()
    for _ in range(runs):
        try:
            found = run(crasher.case)
        except TargetUnavailable as error:
            return Replayed(Outcome.SKIPPED, reason=str(error))
        if isinstance(found, str):
            return Replayed(Outcome.ERROR, reason=found)
        findings = found or findings
        ways.add(_way(crasher, found))
    if len(ways) > 1:
        return Replayed(Outcome.FLAKY, findings)
    outcome = ways.pop()
    fixed = outcome is Outcome.PASSES and crasher.status == "open"
    return Replayed(Outcome.FIXED if fixed else outcome, findings)


def _way(crasher: Crasher, findings: tuple[Finding, ...]) -> Outcome:
    if not findings:
        return Outcome.PASSES
    as_recorded = any(finding.key == crasher.finding.key for finding in findings)
    return Outcome.FAILS if as_recorded else Outcome.CHANGED


def is_bad(status: Status, outcome: Outcome) -> bool:
    """Whether an outcome makes a run fail: an open crasher is to fail as recorded, a fixed one to pass.

    A target that is not available is not bad here: that nothing ran at all is for the run as a whole to say.
    """
    if outcome is Outcome.SKIPPED:
        return False
    if status == "wontfix":
        return outcome is Outcome.ERROR
    return outcome is not (Outcome.FAILS if status == "open" else Outcome.PASSES)
