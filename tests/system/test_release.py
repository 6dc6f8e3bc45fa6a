"""Two builds of one commit are equal, wherever and by whomever they are made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.harness import ROOT, require

pytestmark = pytest.mark.system


def build(directory: Path, umask: int) -> str:
    """Build in a clone of the repository. Returns the lines with the hashes."""
    git = require("git")
    subprocess.run([git, "clone", "--quiet", ROOT, directory], check=True)
    done = subprocess.run(
        [directory / "packaging/build-release"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHON": sys.executable},
        umask=umask,
    )
    return done.stdout


def test_builds_in_two_directories_are_equal(tmp_path: Path) -> None:
    first = build(tmp_path / "first", umask=0o022)
    second = build(tmp_path / "a longer name", umask=0o077)
    assert len(first.splitlines()) == 2
    assert first == second
