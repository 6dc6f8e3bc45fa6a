"""Scripts outside of the package import names that the package has.

No other test starts packaging/healthcheck, or the programs that tests/boot writes into a machine,
unless it is run as root with an image.
"""

import importlib
import re
import subprocess
from importlib.util import find_spec

from tests.rooms import PROJECT

IMPORT = re.compile(r"^\s*from (webntpd[\w.]*) import ([\w, ]+)$", re.MULTILINE)


def imported_names() -> set[tuple[str, str]]:
    """Each module and name that a line of a file imports, in strings and scripts too."""
    command = ("git", "grep", "--untracked", "-Ilh", "-e", "from webntpd", "--", ":!*.md")
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return {
        (module, name.split(" as ")[0].strip())
        for path in listed.stdout.splitlines()
        for module, names in IMPORT.findall((PROJECT / path).read_text())
        for name in names.split(",")
    }


def exists(module: str, name: str) -> bool:
    """Whether the module has the name, or is a package with a module of that name."""
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return find_spec(module) is not None and hasattr(importlib.import_module(module), name)
    return True


def test_every_imported_name_exists() -> None:
    assert {each for each in imported_names() if not exists(*each)} == set()
