"""The tests on a machine that lacks programs, or that starts them with variables of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.system.harness import PACKAGES, ROOT

LACKING = """
import pytest
from tests.system.harness import require

@pytest.mark.parametrize("number", range(3))
def test_with_a_program(number):
    require("webntpd-chronyd")

def test_with_another():
    require("webntpd-ip")
"""
PEEKING = """
import os

def test_of_a_service():
    assert not {"NOTIFY_SOCKET", "LISTEN_FDS", "HTTPS_PROXY", "WEBNTPD_CONFIG"} & {*os.environ}
"""


def pytest_run(
    directory: Path, text: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a file of tests, as if it were one of ours."""
    Path(directory, "conftest.py").write_text("from tests.conftest import *\n")
    Path(directory, "test_it.py").write_text(text)
    inherited = {name: text for name, text in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--rootdir={directory}", directory],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
    )


def test_a_missing_program_has_one_line_with_its_package(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, LACKING)
    assert done.returncode == 0, done.stdout
    lines = re.findall(".*skipped; .*", done.stdout)
    assert lines == [
        "webntpd-chronyd: 3 tests skipped; apt install webntpd-chronyd",
        "webntpd-ip: 1 test skipped; apt install webntpd-ip",
    ]


def test_ci_fails_without_a_program(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, LACKING, CI="true")
    assert done.returncode == 1
    assert "webntpd-chronyd is missing: .ci/run must provide it" in done.stdout


def test_ci_installs_every_package_that_a_skipped_test_names() -> None:
    words = set(re.sub("#.*", "", (ROOT / ".ci/run").read_text()).split())
    named = {package for packages in PACKAGES.values() for package in packages.split()}
    assert named <= words


def test_no_test_sees_variables_for_a_service_or_a_client(tmp_path: Path) -> None:
    inherited = dict.fromkeys(("NOTIFY_SOCKET", "LISTEN_FDS", "HTTPS_PROXY", "WEBNTPD_CONFIG"), "1")
    done = pytest_run(tmp_path, PEEKING, **inherited)
    assert done.returncode == 0, done.stdout
