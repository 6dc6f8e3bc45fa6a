"""What every test shares."""

import os
import sys
from collections import Counter

import pytest
from hypothesis import settings

# No deadline: how long an example takes says nothing on a busy machine. CI must give the same
# result twice.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")

# What systemd tells a service is not meant for the tests of one, nor is our own configuration.
FOREIGN = ("NOTIFY_", "WATCHDOG_", "LISTEN_", "JOURNAL_", "WEBNTPD_")
# The machine's own proxies are nothing to servers on loopback.
for name in list(os.environ):
    if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
        del os.environ[name]


def label_measurement(label: str) -> None:
    """Label what coverage.py measures from now on, if it measures (tests/branches.py)."""
    coverage = sys.modules.get("coverage")
    measurement = coverage and coverage.Coverage.current()
    if measurement:
        measurement.switch_context(label)


COLLECTION = "collection"
"""The label of the time in which pytest imports the test files, and with them the modules."""
label_measurement(COLLECTION)


def pytest_runtest_logstart(location: tuple[str, int | None, str]) -> None:
    """Label the measurement with the file of the test that begins."""
    label_measurement(location[0])


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """One line for everything that tests lack, with the command that brings it."""
    skipped = Counter(reason(report) for report in terminalreporter.stats.get("skipped", []))
    if not skipped:
        return
    terminalreporter.section("skipped")
    for (what, remedy), count in sorted(skipped.items()):
        tests = "test" if count == 1 else "tests"
        terminalreporter.write_line(f"{what}: {count} {tests} skipped; {remedy}".rstrip("; "))


def reason(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str]:
    """The missing thing and the remedy, as tests.system.harness.unavailable joins them."""
    assert isinstance(report.longrepr, tuple)
    what, _, remedy = report.longrepr[2].removeprefix("Skipped: ").partition("; ")
    return what, remedy
