"""The candidate on disk before it is sent to the target: a target that takes the run with it leaves its killer behind.

One small file a process, `.candidate-<pid>.json`, opened once and overwritten for each case; gone after a clean end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tcfuzz.case import Case
from tcfuzz.codec import case_from_json, case_to_json, dumps_compact, loads_prefix
from tcfuzz.crashers import TargetInfo
from tcfuzz.errors import CrasherError

PREFIX = ".candidate-"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The last case that a process sent to a target before it died."""

    target: TargetInfo
    case: Case


class Journal:
    """Holds the file of this process below `root`. A disk that cannot be written makes it do nothing (`error`)."""

    def __init__(self, root: Path, target: TargetInfo) -> None:
        self.path: Path | None = None
        self.error: OSError | None = None
        self._head = f'{{"target":{dumps_compact(target.to_json())},"input":'
        self._size = 0
        self._made = None if root.exists() else root
        try:
            self._file = self._open(root)
        except OSError as error:
            self.error = error

    def record(self, case: Case) -> None:
        """Put the case on disk (to the system: it survives this process, not a power cut)."""
        if self.error is not None:
            return
        content = f"{self._head}{dumps_compact(case_to_json(case))}}}\n".encode("ascii")
        try:
            # The new value first: a process that dies in between leaves it whole, with the old one's end behind it.
            written = os.pwrite(self._file, content, 0)
            while written < len(content):
                written += os.pwrite(self._file, content[written:], written)
            if len(content) < self._size:
                os.ftruncate(self._file, len(content))
        except OSError as error:
            self.error = error
        self._size = len(content)

    def close(self) -> None:
        """A clean end: the file is removed."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
            if self._made is not None:
                self._made.rmdir()  # nothing was found: no empty folder is left
        os.close(self._file)
        self.path = None
        self.error = OSError("closed")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _open(self, root: Path) -> int:
        root.mkdir(parents=True, exist_ok=True)
        for path in _names(root):
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue  # of another journal of this process, or of a dead one that had the same number
            with contextlib.suppress(OSError):  # a file system without locks: the process number has to do
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path = path
            return file
        raise AssertionError("unreachable")


def _names(root: Path) -> Iterator[Path]:
    yield root / f"{PREFIX}{os.getpid()}.json"
    number = 1
    while True:
        number += 1
        yield root / f"{PREFIX}{os.getpid()}-{number}.json"


def stale(root: Path) -> list[Path]:
    """The files that dead processes left below `root`, sorted; those without a case are left out."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.glob(f"{PREFIX}*.json") if path.stat().st_size and not _held(path))


def _held(path: Path) -> bool:
    """Whether a living process holds the file. Numbers come again (in containers always), so the lock decides."""
    if not _alive(path):
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _alive(path: Path) -> bool:
    number = path.stem.removeprefix(PREFIX).partition("-")[0]
    if not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def read_candidate(path: Path) -> Candidate:
    """What a stale file holds. Raises CrasherError where a process died while it wrote."""
    try:
        value = loads_prefix(path.read_text("ascii"))
        return Candidate(TargetInfo(**value["target"]), case_from_json(value["input"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CrasherError(f"{path}: unreadable candidate: {error} (remove the file)") from None
