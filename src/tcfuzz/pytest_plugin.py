"""`pytest tcfuzz`, from any folder: replays the crashers there, then a bounded sweep of the configured targets.

The word `tcfuzz` among pytest's arguments stands for the suite in this package, unless there is a file or folder of
that name. One item per crasher and per (target, oracle group, shard), so that xdist can spread one target over all
cores. Shards and seeds come from the configuration, never from the number of workers: the verdict is the same.

pytest loads this module in every run in an environment that has tcfuzz, so it imports nothing heavy by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

WORD = "tcfuzz"
SUITE = Path(__file__).with_name("suite.tcfuzz")
_executed = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Let the word `tcfuzz` stand for the suite, alone or before the name of one of its items."""
    if Path(config.invocation_params.dir, WORD).exists():
        return
    for place, argument in enumerate(config.args):
        word, colons, item = argument.partition("::")
        if word == WORD:
            config.args[place] = f"{SUITE}{colons}{item}"
            config.stash[_executed] = 0


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the suite."""
    if file_path != SUITE:
        return None
    from tcfuzz.pytest_suite import Suite

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
