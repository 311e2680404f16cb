"""What became of replayed crashers, one line each."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.text import Text

from tcfuzz.escape import visible
from tcfuzz.replay import Outcome
from tcfuzz.session import ReplayedFile, TargetResult

STYLES = {True: "bold red", False: "green"}


class ReplayReport:
    """Prints outcomes as they come and counts them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._files: list[ReplayedFile] = []

    def __call__(self, file: ReplayedFile) -> None:
        """One more outcome."""
        self._files.append(file)
        replayed = file.replayed
        line = Text(no_wrap=False)
        line.append(f"{replayed.outcome.name:8}", STYLES[file.bad] if not file.still_fails else "yellow")
        line.append(f"{visible(str(file.path))}  ")
        line.append(visible(file.crasher.title), "dim")
        self._console.print(line, soft_wrap=True)
        for note in self._notes(file):
            self._console.print(Text(f"         {note}"), soft_wrap=True)

    def _notes(self, file: ReplayedFile) -> list[str]:
        replayed, recorded = file.replayed, file.crasher.finding
        notes = [visible(replayed.reason)] if replayed.reason else []
        if replayed.outcome is Outcome.FIXED:
            notes.append('it passes now: set its "status" to "fixed", so that it must pass from now on')
        if replayed.outcome is Outcome.CHANGED and replayed.findings:
            found = replayed.findings[0]
            notes.append(f"recorded: {recorded.blame}, {recorded.kind}; now: {found.blame}, {found.kind}")
        if replayed.outcome in (Outcome.FAILS, Outcome.FLAKY) and file.bad:
            status = file.crasher.status
            notes.append(f"its status is {status}; look at it: tcfuzz show {visible(str(file.path))}")
        return notes

    def known(self, result: TargetResult) -> None:
        """The crashers of one target that were replayed before its campaign: the bad ones, and how many are known."""
        if not result.replayed:
            return
        for file in result.replayed:
            if file.bad:
                self(file)
        still = sum(file.still_fails for file in result.replayed)
        text = f"{len(result.replayed)} crashers replayed: {still} still fail as recorded (known, nothing new)"
        self._console.print(Text(text, "dim"))

    def conclude(self, *, strict: bool) -> int:
        """The summary line; the exit code."""
        counts = Counter(file.replayed.outcome for file in self._files)
        parts = [f"{count} {outcome.value}" for outcome, count in counts.items()]
        self._console.print(Text(f"{len(self._files)} crashers: {', '.join(parts)}", "bold"))
        outcomes = set(counts)
        if outcomes == {Outcome.SKIPPED}:
            return 3
        if any(file.bad for file in self._files):
            undecided = all(file.replayed.outcome is Outcome.ERROR for file in self._files if file.bad)
            return 2 if undecided else 1
        return int(strict and any(file.replayed.outcome is Outcome.FAILS for file in self._files))
