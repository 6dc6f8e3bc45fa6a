"""A hook of hatchling: it makes webntpd.toml(5) from etc/webntpd.toml for the wheel."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "share/man/man5/webntpd.toml.5"


class ConfigPage(BuildHookInterface[Any]):
    """Makes the page before a wheel is built, and removes it afterwards."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        self._made = tempfile.TemporaryDirectory(prefix="webntpd-")
        page = Path(self._made.name, Path(PAGE).name)
        with Path(self.root, "etc/webntpd.toml").open() as source, page.open("w") as text:
            maker = (sys.executable, f"{self.root}/packaging/config-page")
            subprocess.run(maker, check=True, stdin=source, stdout=text)  # noqa: S603 - our own
        build_data["shared_data"][str(page)] = PAGE

    def finalize(self, *_unused: object) -> None:
        self._made.cleanup()
