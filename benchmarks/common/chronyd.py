"""chronyd beside what is measured: it never touches the clock, and needs no place of its own."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path


def find_chronyd() -> str | None:
    """The program's path, if it is installed."""
    return shutil.which("chronyd", path=os.pathsep.join((os.defpath, "/usr/sbin", "/sbin")))


def chronyd_command(chronyd: str, directory: Path, configuration: str) -> Sequence[str]:
    """How to start an instance with that configuration and all its files in a directory."""
    file = directory / "chrony.conf"
    file.write_text(f"{configuration}cmdport 0\npidfile {directory}/pid\n")
    privileges = ("-u", "root") if os.geteuid() == 0 else ("-U",)
    return (chronyd, "-x", "-d", *privileges, "-f", str(file))
