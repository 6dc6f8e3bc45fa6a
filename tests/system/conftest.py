from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import harness


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[harness.Sandbox]:
    with harness.sandbox(tmp_path) as made:
        yield made
