import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import parts
from tests.boot.machine import PACKAGE, Machine, bare_image, booted, copied


def pytest_configure() -> None:
    """Let a terminated run end as an interrupted one does: no machine, no file is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here boots machines."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("boot")


@pytest.fixture(scope="session")
def image() -> Iterator[Path]:
    """The files of a machine on which an administrator has installed the package, and no more."""
    with bare_image() as root:
        with booted(root) as machine:
            machine.install(PACKAGE)
            machine.power_off()
        yield root


@pytest.fixture(scope="module")
def running(image: Path) -> Iterator[Machine]:
    """A machine for all tests of a module, since booting one takes its time."""
    with copied(image) as root, booted(root) as machine:
        yield machine


@pytest.fixture
def machine(running: Machine) -> Machine:
    """The same, as if nothing had been done with the package yet."""
    parts.undo(running)
    return running
