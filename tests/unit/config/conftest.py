from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]
"""Writes a configuration, and returns its path."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "webntpd.toml"
        path.write_text(text)
        return path

    return write
