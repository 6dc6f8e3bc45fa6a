"""Scripts outside of the package import names that the package has.

No other test starts packaging/healthcheck, or the programs that tests/boot writes into a machine,
unless it is run as root with an image.
"""

import importlib
import re
from importlib.util import find_spec

from tests.rooms import PROJECT

FOLDERS = (".ci", "benchmarks", "packaging", "tests", "webntpd")
IMPORT = re.compile(r"^\s*from (webntpd[\w.]*) import ([\w, ]+)$", re.MULTILINE)


def imported_names() -> set[tuple[str, str]]:
    """Each module and name that a line of a file imports, in strings and scripts too."""
    paths = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*")]
    return {
        (module, name.split(" as ")[0].strip())
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts and "corpus" not in path.parts
        for module, names in IMPORT.findall(path.read_text(errors="replace"))
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
