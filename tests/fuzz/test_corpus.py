"""The inputs that fuzzing has kept, without the fuzzer."""

import importlib
from pathlib import Path

import pytest

from tests.fuzz import TARGETS

CORPUS = Path(__file__).parent / "corpus"
MOST_FILES = 60
MOST_BYTES = 1024


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_of_the_corpus_keeps_the_promises(target: str) -> None:
    test_one = importlib.import_module(f"tests.fuzz.{target}").test_one
    files = sorted((CORPUS / target).iterdir())
    assert files
    for file in files:
        try:
            test_one(file.read_bytes())
        except Exception as error:
            error.add_note(f"input: {file}")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_stays_small(target: str) -> None:
    sizes = [file.stat().st_size for file in (CORPUS / target).iterdir()]
    assert len(sizes) <= MOST_FILES
    assert max(sizes) <= MOST_BYTES
