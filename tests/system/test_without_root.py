"""What is for root, run by somebody else."""

import os
import subprocess

import pytest

from tests.system.harness import ROOT, require, unavailable

pytestmark = pytest.mark.system


def test_the_package_is_not_built() -> None:
    nobody = () if os.geteuid() else (require("unshare"), "--user", "--map-user=1000")
    if subprocess.run([*nobody, "true"], check=False).returncode:
        unavailable("user namespaces", "run where root may make them")
    done = subprocess.run(
        [*nobody, ROOT / "packaging/build-deb"], check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stderr == "debian-root: only root can make a root directory of Debian\n"
