"""What install-unit writes, and where it refuses to."""

import shutil
import sysconfig
from pathlib import Path

import pytest

from webntpd import cli
from webntpd.arguments import Exit
from webntpd.units import UnitError, install

ROOT = Path(__file__).parent.parent.parent
COMMAND = Path("/opt/webntpd/bin/webntpd")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the wheel puts under share/webntpd."""
    data = tmp_path / "share"
    for directory in ("systemd", "etc"):
        shutil.copytree(ROOT / directory, data / directory)
    return data


def test_every_unit_goes_where_an_administrators_own_belong(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    written = {str(path.relative_to(root)) for path in install(data, COMMAND, root)}
    assert written == {
        "etc/systemd/system/webntpd.service",
        "etc/systemd/system/webntpd-server.service",
        "etc/systemd/system/webntpd.socket",
        "etc/systemd/system/chrony.service.d/webntpd.conf",
        "etc/systemd/system/ntpd-rs.service.d/webntpd.conf",
        "etc/sysusers.d/webntpd.conf",
        "etc/webntpd.toml",
        "etc/webntpd-server.toml",
    }


def test_the_units_call_this_installation(data: Path, tmp_path: Path) -> None:
    list(install(data, COMMAND, tmp_path))
    units = tmp_path / "etc/systemd/system"
    text = "".join(path.read_text() for path in units.rglob("*.*") if path.is_file())
    assert f"ExecStart={COMMAND} run\n" in text
    assert f"{data}/systemd/hand-over-socket /run/" in text
    assert "/usr/" not in text


def test_a_configuration_that_exists_is_kept(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "etc/webntpd.toml"
    config.parent.mkdir()
    config.write_text("# mine\n")
    assert config not in list(install(data, COMMAND, tmp_path))
    assert config.read_text() == "# mine\n"


def test_without_roots_rights_it_says_so(data: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("")  # no directory can be made there, not even by root
    with pytest.raises(UnitError, match=r"cannot write .*/webntpd.*: .*; install-unit is for root"):
        list(install(data, COMMAND, tmp_path))


def test_a_home_directory_is_refused_because_the_service_cannot_see_it(data: Path) -> None:
    with pytest.raises(UnitError, match="/home/me/bin/webntpd is in a home directory"):
        list(install(data, Path("/home/me/bin/webntpd")))


def test_a_link_into_a_home_directory_is_refused(data: Path, tmp_path: Path) -> None:
    command = tmp_path / "webntpd"
    command.symlink_to("/root/.local/bin/webntpd")
    with pytest.raises(UnitError, match=r"/root/\.local/bin/webntpd is in a home directory"):
        list(install(data, command))


@pytest.mark.parametrize("path", ["/opt/my tools/webntpd", "/opt/100%/webntpd"])
def test_a_path_that_a_unit_would_not_take_as_it_stands_is_refused(data: Path, path: str) -> None:
    with pytest.raises(UnitError, match="does not go into a unit"):
        list(install(data, Path(path)))


def test_a_distributions_package_has_its_units_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: f"{tmp_path}/{name}")
    assert cli.main(["install-unit"]) == Exit.FAILED
    assert "came with the package of the distribution" in capsys.readouterr().err
