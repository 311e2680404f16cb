"""Shows after the tests which oracle found which planted bug; lets no test skip where its data must be there."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from pytest import TerminalReporter

KILL = "planted bug"
"""The property under which a test reports (miniature, oracle, blame, other oracles)."""


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """One line a planted bug, from the reports, which also tests in other processes send."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in getattr(report, "user_properties", ())
        if name == KILL
    ]
    if rows:
        terminalreporter.section("planted bugs")
    for miniature, oracle, blame, others in sorted(rows, key=lambda row: row[1:3] + row[:1]):
        also = f"  (also {others})" if others else ""
        terminalreporter.write_line(f"{oracle:20} {blame:9} {miniature:26}{also}")


SHARED = "../shared"
"""Stands in the reason of every test that skips for want of the data beside the project."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With TCFUZZ_REQUIRE_SHARED=1, a test that skips for want of ../shared fails."""
    report = yield
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if SHARED in reason and os.environ.get("TCFUZZ_REQUIRE_SHARED") == "1":
        report.outcome = "failed"
        report.longrepr = f"TCFUZZ_REQUIRE_SHARED=1 is set, but: {reason.removeprefix('Skipped: ')}"
    return report
