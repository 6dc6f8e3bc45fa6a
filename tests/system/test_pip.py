"""pip and install-unit put manual pages and completions where man and bash look."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.harness import ROOT, require

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """share/ of a prefix into which pip has installed the program."""
    place = tmp_path_factory.mktemp("pip")
    alone = ("--no-deps", "--no-index", "--no-build-isolation")
    subprocess.run([*PIP, "wheel", *alone, f"--wheel-dir={place}", ROOT], check=True)
    (wheel,) = place.glob("*.whl")
    prefix = place / "prefix"
    subprocess.run(
        [*PIP, "install", *alone, "--ignore-installed", f"--prefix={prefix}", wheel], check=True
    )
    return prefix / "share"


@pytest.mark.parametrize("page", ["webntp.1", "webntpd.toml.5", "webntpd.8"])
def test_man_finds_every_page(share: Path, page: str) -> None:
    name, _, section = page.rpartition(".")
    where = [require("man"), "--manpath", str(share / "man"), "--where", section, name]
    found = subprocess.run(where, check=True, capture_output=True, text=True).stdout
    assert Path(found.strip()) == share / f"man/man{section}/{page}"


@pytest.mark.parametrize("name", ["webntp", "webntpd"])
def test_the_completion_stands_where_bash_looks(share: Path, name: str) -> None:
    source = ROOT / "completions" / name
    assert (share / "bash-completion/completions" / name).read_text() == source.read_text()
