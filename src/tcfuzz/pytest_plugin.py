"""`pytest tcfuzz`, from any folder: replays the crashers there, then a bounded sweep of the configured targets.

The word `tcfuzz` among pytest's arguments stands for the suite in this package, unless there is a file or folder of
that name. One item per crasher and per (target, oracle group, shard), so that xdist can spread one target over all
cores. Shards and seeds come from the configuration, never from the number of workers: the verdict is the same.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from tcfuzz import crashers, dialects, oracles
from tcfuzz.config import Config, TargetConfig, load
from tcfuzz.crashers import CrasherWriter, Outcome
from tcfuzz.errors import TargetUnavailable, TcfuzzError
from tcfuzz.reports.replay import ReplayReport
from tcfuzz.reports.terminal import bug_block
from tcfuzz.session import DEFAULT_TIMEOUT, Replayer, RunOptions, Session, TargetResult, TargetSpec, configured, opened

WORD = "tcfuzz"
SUITE = Path(__file__).with_name("suite.tcfuzz")
DEFAULT_EXAMPLES = 600
DEFAULT_SHARDS = 2
GROUPS = ("parse", "render", "stream", "robust")
_executed = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Let the word `tcfuzz` stand for the suite."""
    wanted = [argument == WORD and not Path(config.invocation_params.dir, WORD).exists() for argument in config.args]
    config.args[:] = [str(SUITE) if hit else arg for arg, hit in zip(config.args, wanted, strict=True)]
    if str(SUITE) in config.args:
        config.stash[_executed] = 0


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the suite."""
    if file_path != SUITE:
        return None
    return cast(pytest.Collector, Suite.from_parent(parent, path=file_path, nodeid=WORD))


class _Counter:
    """Counts the items that were really executed, in the process that gives the verdict."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """An expected failure (an open crasher) was executed; a skipped item was not."""
        executed = report.outcome != "skipped" or hasattr(report, "wasxfail")
        if report.when == "call" and report.nodeid.startswith(WORD + "::") and executed:
            self._config.stash[_executed] += 1


class Suite(pytest.File):
    """Everything that the folder's configuration asks for."""

    def collect(self) -> Iterator[pytest.Item]:
        """Crashers first, then campaigns."""
        try:
            config = load(Path(self.config.invocation_params.dir))
            yield from self._crashers(config)
            for target in config.targets:
                yield from self._campaigns(config, target)
        except TcfuzzError as error:
            raise self.CollectError(f"tcfuzz: {error}") from None

    def _crashers(self, config: Config) -> Iterator[pytest.Item]:
        if not config.crashers.is_dir():
            return
        for path in crashers.find([config.crashers]):
            name = path.relative_to(config.crashers).as_posix()
            yield CrasherItem.from_parent(self, name=name, crasher=path, timeout=config.timeout or DEFAULT_TIMEOUT)

    def _campaigns(self, config: Config, target: TargetConfig) -> Iterator[pytest.Item]:
        spec, options = configured(config, target)
        names = [f"local:{name}" for name in dialects.names()] if target.name == "local" else [target.name]
        shards = config.shards or DEFAULT_SHARDS
        if options.max_examples is None and options.max_time is None:
            options = replace(options, max_examples=DEFAULT_EXAMPLES)
        for name, group in itertools.product(names, GROUPS):
            ids = tuple(id_ for id_ in options.oracles or oracles.names() if oracles.get(id_).group == group)
            for shard in range(shards if ids else 0):
                yield CampaignItem.from_parent(
                    self,
                    name=f"{name}[{group}-{shard + 1}/{shards}]",
                    spec=replace(spec, name=name),
                    options=replace(options, oracles=ids, shard=(shard, shards)),
                )


class Broken(Exception):
    """A failed item; its text is what the terminal report shows for the same thing."""


class _Item(pytest.Item):
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report's own block, without a traceback through tcfuzz."""
        if isinstance(excinfo.value, (Broken, TcfuzzError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it comes from."""
        return self.path, None, self.name


class CrasherItem(_Item):
    """One crasher file: passes where it does what its status says; an open one that still fails is expected to."""

    def __init__(self, *, crasher: Path, timeout: float, **rest: Any) -> None:
        super().__init__(**rest)
        self.crasher = crasher
        self.timeout = timeout

    def runtest(self) -> None:
        """Replay it."""
        replayer = Replayer(self.timeout)
        try:
            file = replayer(self.crasher)
        finally:
            replayer.close()
        if file.replayed.outcome is Outcome.SKIPPED:
            pytest.skip(file.replayed.reason)
        if file.bad:
            out = io.StringIO()
            ReplayReport(_console(out))(file)
            raise Broken(out.getvalue().rstrip())
        if file.still_fails:
            pytest.xfail(f"{file.crasher.status}: {file.crasher.title}")


class CampaignItem(_Item):
    """One shard of one target's campaign with one group of oracles."""

    def __init__(self, *, spec: TargetSpec, options: RunOptions, **rest: Any) -> None:
        super().__init__(**rest)
        self.spec = spec
        self.options = options

    def runtest(self) -> None:
        """Run the campaign; its crashers are written where the configuration says."""
        writers: list[CrasherWriter] = []

        def listeners(writer: CrasherWriter) -> list[Any]:
            writers.append(writer)
            return []

        try:
            with opened(self.spec) as found:
                session = Session(self.options, listeners, journal=False)
                results = [session.run(self.spec, target) for target in found]
        except TargetUnavailable as error:
            raise Broken(f"{self.spec.name}: {error}") from None
        for result in results:
            self._judge(result)

    def _judge(self, result: TargetResult) -> None:
        if result.error is not None:
            raise result.error
        if not result.summary.checks and len(result.summary.left_out) == len(self.options.oracles):
            pytest.skip("; ".join(sorted({f"{id_}: {why}" for id_, why in result.summary.left_out.items()})))
        out = io.StringIO()
        console = _console(out)
        for bug in result.new:
            bug_block(console, bug, result.paths.get(bug.fingerprint.digest()))
        if result.new:
            raise Broken(out.getvalue().rstrip())
        if not result.summary.checks:
            raise Broken(
                f"{self.name}: {result.summary.cases} cases, but no rule came to a verdict: nothing was tested"
            )


def _console(out: io.StringIO) -> Console:
    return Console(file=out, width=100, highlight=False, no_color=True)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Count what is executed, where the suite was asked for."""
    if session.config.stash.get(_executed, None) is not None:
        session.config.pluginmanager.register(_Counter(session.config), "tcfuzz-counter")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    """A run in which nothing was executed is not green."""
    is_worker = hasattr(session.config, "workerinput")
    executed = session.config.stash.get(_executed, None)
    only_listed = session.config.option.collectonly
    if executed == 0 and exitstatus == pytest.ExitCode.OK and not is_worker and not only_listed:
        session.exitstatus = pytest.ExitCode.INTERRUPTED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("tcfuzz: nothing was executed, so nothing is green", red=True)
