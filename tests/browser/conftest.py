from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, chromium
from tests.system import harness


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[harness.Sandbox]:
    with harness.sandbox(tmp_path) as made:
        yield made


@pytest.fixture
def browser(sandbox: harness.Sandbox) -> Iterator[Browser]:
    with chromium(sandbox) as opened:
        yield opened
