"""Target: configuration files. They give a configuration, or faults of one line each."""

import os
from pathlib import Path

from webntpd.config import ConfigError, load_to_run

MOST_FAULTS_PER_BYTE = 1.0


def test_one(data: bytes) -> None:
    faults = faults_of(data)
    assert len(faults) <= 10 + MOST_FAULTS_PER_BYTE * len(data)
    for fault in faults:
        assert "\n" not in fault


def faults_of(data: bytes) -> list[str]:
    """None for a configuration that can be used."""
    descriptor = os.memfd_create("webntpd.toml")
    try:
        os.write(descriptor, data)
        load_to_run(Path(f"/proc/self/fd/{descriptor}"))
    except ConfigError as error:
        return error.faults
    finally:
        os.close(descriptor)
    return []
