"""One target under atheris: `python -m tests.fuzz.run TARGET [OPTIONS] [CORPUS...]`."""

import importlib
import sys

import atheris

from tests.fuzz import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=list(TARGETS[name])):
        target = importlib.import_module(f"tests.fuzz.{name}")
    atheris.Setup(sys.argv, target.test_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
