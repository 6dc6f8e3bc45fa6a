import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.engine import Engine
from tests.system.harness import ROOT, require, require_root, sandbox


@pytest.fixture(scope="session")
def storage() -> Path:
    """The configuration of podman's storage that has the image."""
    require_root()
    for program in ("debootstrap", "podman", "docker-compose"):
        require(program)
    builder = ROOT / "packaging/build-container"
    built = subprocess.run([builder], check=True, stdout=subprocess.PIPE, text=True)
    return Path(built.stdout.strip())


@pytest.fixture(scope="module")
def engine(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """For all tests of a module, each of which takes its containers down again."""
    with sandbox(tmp_path_factory.mktemp("containers")) as host:
        yield Engine(host, storage)
