"""Shows after the tests which oracle found which planted bug."""

from __future__ import annotations

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
