"""The manual pages and the completion know every command, option and key of the program."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from webntpd.cli import commands
from webntpd.cli.arguments import LOOKS
from webntpd.cli.main import main
from webntpd.config.document import SECTIONS as KEYS
from webntpd.config.document import Document

COMMANDS = (*commands.COMMANDS, *LOOKS)
ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "man/webntpd.8").read_text().replace(r"\-", "-")


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z-]+", help_of(command, capsys)))


def completed(*words: str) -> set[str]:
    """What bash offers for the last of the words."""
    program = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _webntpd'
    return set(
        subprocess.run(
            ["bash", "-ec", program + '; printf "%s\\n" "${COMPREPLY[@]}"', "./webntpd", *words],
            cwd=ROOT / "completions",
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_has_every_command_and_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f".B webntpd {command}\n" in PAGE
    for option in options_of(command, capsys):
        assert re.search(rf"{option}(?![\w-])", PAGE.split(".SH OPTIONS")[1]), option


def test_the_page_of_the_configuration_has_every_section_and_key() -> None:
    with (ROOT / "etc/webntpd.toml").open() as file:
        page = subprocess.run(
            [sys.executable, ROOT / "packaging/config-page"],
            stdin=file,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    assert set(re.findall(r"^\.SH \[+(\w+)\]+$", page, re.MULTILINE)) == set(Document.model_fields)
    shown = set(re.findall(r"^\.T[PQ]\n\\fB(\w+) = ", page, re.MULTILINE))
    assert shown == {key for section in KEYS.values() for key in section.model_fields}


def test_completion_offers_the_commands() -> None:
    assert completed("webntpd", "") == {*COMMANDS, "--version", "--help"}
    assert completed("webntpd", "ch") == {"check-config"}


@pytest.mark.parametrize("command", COMMANDS)
def test_completion_offers_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert completed("webntpd", command, "--") == options_of(command, capsys)
