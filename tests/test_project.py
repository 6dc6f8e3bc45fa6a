"""The project's own files: releases, maintainer, checks and workflows agree with each other."""

import re
from datetime import date, datetime
from pathlib import Path

from webntpd import __version__

ROOT = Path(__file__).resolve().parents[1]
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", re.MULTILINE)
DEBIAN_RELEASE = re.compile(r"^webntpd \(([^)]+)\).*?^ -- [^>]+>  (.+?)$", re.MULTILINE | re.DOTALL)


def text(path: str) -> str:
    return (ROOT / path).read_text()


def releases() -> list[tuple[str, date]]:
    """Each release in CHANGELOG.md with its date, newest first."""
    return [
        (version, date.fromisoformat(day)) for version, day in RELEASE.findall(text("CHANGELOG.md"))
    ]


def test_the_newest_release_in_the_changelog_is_the_programs_version() -> None:
    assert releases()[0][0] == __version__


def test_debian_has_the_same_releases_on_the_same_days() -> None:
    entries = DEBIAN_RELEASE.findall(text("debian/changelog"))
    assert releases() == [
        (version, datetime.strptime(stamp, "%a, %d %b %Y %H:%M:%S %z").date())
        for version, stamp in entries
    ]


def test_releases_stand_in_order() -> None:
    newest_first = sorted(
        releases(), key=lambda each: [int(part) for part in each[0].split(".")], reverse=True
    )
    assert releases() == newest_first
    days = [day for _, day in releases()]
    assert days == sorted(days, reverse=True)


def test_every_heading_of_the_changelog_is_a_release_or_unreleased() -> None:
    headings = re.findall(r"^## (.*)$", text("CHANGELOG.md"), re.MULTILINE)
    assert headings == ["[Unreleased]", *(f"[{version}] - {day}" for version, day in releases())]


def test_the_container_document_pushes_the_newest_release() -> None:
    assert {*re.findall(r"/webntpd:([\d.]+)", text("docs/container.md"))} == {__version__}


def test_debian_names_one_maintainer() -> None:
    names = re.findall(r"[^ \n][^:\n]* <\S+@\S+>", text("debian/changelog").replace(" -- ", ""))
    assert {*names} == set(re.findall(r"^Maintainer: (.*)$", text("debian/control"), re.MULTILINE))


def test_hooks_call_the_tools_of_the_environment_that_make_makes() -> None:
    entries = re.findall(r"^ +entry: (\S+)", text(".pre-commit-config.yaml"), re.MULTILINE)
    assert {Path(entry).name for entry in entries} == {"ruff", "mypy", "shellcheck"}
    assert {Path(entry).parent for entry in entries} == {Path(".venv/bin")}


def test_the_workflow_runs_each_part_of_ci() -> None:
    (parts,) = re.findall(r"^parts=\((.*)\)$", text(".ci/run"), re.MULTILINE)
    (matrix,) = re.findall(r"^ +part: \[(.*)\]$", text(".github/workflows/check.yml"), re.MULTILINE)
    assert matrix.split(", ") == parts.split()


def test_the_workflow_audits_every_set_of_pins_but_the_oldest() -> None:
    (pins,) = re.findall(r"^ +pins: \[(.*)\]$", text(".github/workflows/check.yml"), re.MULTILINE)
    files = {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    assert {*pins.split(", ")} == files - {"oldest"}
