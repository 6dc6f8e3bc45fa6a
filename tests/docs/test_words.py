"""What the documents name is there: links, commands and options, sections and keys, exit codes."""

import argparse
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.docs.markdown import Document
from tests.docs.test_documents import DOCUMENTS
from tests.system.harness import ROOT
from webntpd.cli.arguments import Exit, make_parser
from webntpd.config.document import ENV_DELIMITER, ENV_PREFIX
from webntpd.config.document import SECTIONS as KEYS
from webntpd.config.document import Document as Configuration

SECTIONS = set(Configuration.model_fields)
ALL_KEYS = {key for section in KEYS.values() for key in section.model_fields}
SECTION = re.compile(r"\[+(\w+)\]+")
ASSIGNMENT = re.compile(r"(\w+) = .+")
PAIRS = re.compile(r"`(\w+)(?: = [^`]*)?` in `\[+(\w+)\]+`")
FOREIGN = {"synchronization", "source"}
"""Sections of ntpd-rs."""

documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


@cache
def options() -> dict[str, set[str]]:
    """Each command with its options."""
    parser = make_parser()
    commands = next(
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return {name: set(each._option_string_actions) for name, each in commands.choices.items()}


@documents
def test_its_links_lead_somewhere(path: Path) -> None:
    for link in Document(path).links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in Document(target).anchors, link


@documents
def test_the_commands_and_options_that_it_names_are_there(path: Path) -> None:
    known = set().union(*options().values(), {"--version"})
    for span in Document(path).spans:
        word, *words = span.split()
        if word == "webntpd" and words and not words[0].startswith("-"):
            assert words[0] in options(), span
            assert options()[words[0]].issuperset(each for each in words if each[0] == "-"), span
        elif word.startswith("--"):
            assert word in known, span


@documents
def test_the_sections_and_keys_that_it_names_are_there(path: Path) -> None:
    document = Document(path)
    for span in document.spans:
        if section := SECTION.fullmatch(span):
            assert section[1] in SECTIONS | FOREIGN, span
        elif assignment := ASSIGNMENT.fullmatch(span):
            assert assignment[1] in ALL_KEYS, span
    for key, section in PAIRS.findall(document.prose):
        assert any(
            key in model.model_fields for name, model in KEYS.items() if name.startswith(section)
        ), f"{key} in [{section}]"


@documents
def test_the_variables_that_it_names_are_keys(path: Path) -> None:
    for variable in re.findall(rf"{ENV_PREFIX}\w+{ENV_DELIMITER}\w+", Document(path).prose):
        section, key = variable.removeprefix(ENV_PREFIX).lower().split(ENV_DELIMITER)
        assert key in KEYS[section].model_fields, variable


def test_the_readme_has_the_exit_codes() -> None:
    table = Document(ROOT / "README.md").section("Exit codes")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert codes == set(Exit) - {Exit.INTERRUPTED}


def test_the_readme_leads_to_every_document() -> None:
    links = Document(ROOT / "README.md").links
    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS[1:]} <= set(links)


def test_the_wheel_and_so_the_package_has_every_document() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shipped = {
        path
        for source, target in build["targets"]["wheel"]["shared-data"].items()
        if Path(target).is_relative_to("share/doc/webntpd")
        for path in (ROOT / source, *(ROOT / source).glob("*.md"))
    }
    assert shipped >= {path for path in DOCUMENTS if path.name != "CONTRIBUTING.md"}
