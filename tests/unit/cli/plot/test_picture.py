"""Pictures, drawn by the real matplotlib."""

import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.system.harness import require_matplotlib
from webntpd.cli.main import main
from webntpd.statistics.lines import MJD_OF_UNIX_EPOCH

SVG = "{http://www.w3.org/2000/svg}"
SOURCES = ("WEB(wss:time.example.org)", "WEB(https:time.example.net)")


@pytest.fixture
def statistics(tmp_path: Path) -> Path:
    """The last hour, in which one source was away for a while."""
    lines = []
    for number in range(60):
        day, second = divmod(time.time() - 60 * (60 - number), 86_400)
        for source in SOURCES[: 1 if 20 < number < 40 else 2]:
            figures = f"{number / 1e5:.9f} 0.012000000 0.000020000 {number / 1e6:.9f}"
            lines.append(f"{MJD_OF_UNIX_EPOCH + int(day)} {second:.3f} {source} 9404 {figures}\n")
    directory = tmp_path / "statistics"
    directory.mkdir()
    (directory / "peerstats.20231114").write_text("".join(lines))
    return directory


@pytest.fixture
def _matplotlib() -> None:
    require_matplotlib()


@pytest.mark.system
@pytest.mark.usefixtures("_matplotlib")
def test_an_svg_has_every_source_panel_and_band(
    statistics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "picture.svg"
    assert main(["plot", str(statistics), "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    root = ET.parse(path).getroot()
    ids = {element.get("id") for element in root.iter(f"{SVG}g")}
    assert {"axes_1", "axes_2", "axes_3"} <= ids
    assert "axes_4" not in ids
    bands = [name for name in ids if name and name.startswith("FillBetweenPolyCollection")]
    assert len(bands) == len(SOURCES)
    text = path.read_text()  # the words, drawn as outlines, stand in comments as well
    assert all(f"<!-- {source} -->" in text for source in SOURCES)
    assert "<!-- time (UTC) -->" in text
    assert "the local clock is behind" in text


@pytest.mark.system
@pytest.mark.usefixtures("_matplotlib")
def test_a_png_is_drawn_too(statistics: Path, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    assert main(["plot", str(statistics), "--output", str(path), "--days", "0.5"]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.system
@pytest.mark.usefixtures("_matplotlib")
def test_a_picture_that_cannot_be_written_is_named(
    statistics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing" / "picture.svg"
    assert main(["plot", str(statistics), "-o", str(path)]) == 1
    assert capsys.readouterr().err == f"webntpd: {path}: No such file or directory\n"


@pytest.mark.system
@pytest.mark.usefixtures("_matplotlib")
def test_without_statistics_there_is_no_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(tmp_path), "--days", "2"]) == 1
    assert capsys.readouterr().err == f"webntpd: no peerstats of the last 2 days in {tmp_path}\n"
    assert main(["plot", str(tmp_path / "missing")]) == 1
    assert capsys.readouterr().err == f"webntpd: {tmp_path}/missing: No such file or directory\n"


def test_without_matplotlib_there_is_a_hint(
    statistics: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plot", str(statistics)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "python3-matplotlib" in line
    assert "webntpd[plot]" in line


def test_a_directory_that_is_missing_is_said_without_matplotlib_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    missing = tmp_path / "missing"
    assert main(["plot", str(missing)]) == 1
    assert capsys.readouterr().err == f"webntpd: {missing}: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments", [["-o", "picture.pdf"], ["--days", "0"], ["--days", "nan"], ["--days", "x"]]
)
def test_what_cannot_be_drawn_is_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plot", *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
