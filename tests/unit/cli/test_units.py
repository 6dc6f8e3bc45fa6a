"""What install-unit writes, and where it refuses to."""

import errno
import os
import shutil
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from webntpd.cli import main, units
from webntpd.cli.arguments import Exit
from webntpd.cli.units import Installation, UnitError, install, uninstall

ROOT = Path(__file__).parents[3]
COMMAND = Path("/opt/webntpd/bin/webntpd")
PYTHON = Path("/opt/webntpd/bin/python3")
MAN_PAGE = "usr/local/share/man/man8/webntpd.8"
COMPLETION = "usr/local/share/bash-completion/completions/webntpd"


@pytest.fixture
def pip(tmp_path: Path) -> Installation:
    """A prefix with a wheel's data."""
    prefix = tmp_path / "prefix"
    for directory in ("systemd", "etc"):
        shutil.copytree(ROOT / directory, prefix / "share/webntpd" / directory)
    for name in (MAN_PAGE, COMPLETION):
        path = prefix / Path(name).relative_to("usr/local")
        path.parent.mkdir(parents=True)
        path.write_text("")
    return Installation(prefix, COMMAND, PYTHON)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def files(root: Path) -> set[str]:
    """The files below a directory."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def test_every_unit_goes_where_an_administrators_own_belong(pip: Installation, root: Path) -> None:
    written = {str(path.relative_to(root)) for path in install(pip, root)}
    assert written == files(root)
    assert written == {
        "etc/systemd/system/webntpd.service",
        "etc/systemd/system/webntpd-server.service",
        "etc/systemd/system/webntpd.socket",
        "etc/systemd/system/chrony.service.d/webntpd.conf",
        "etc/systemd/system/ntpd-rs.service.d/webntpd.conf",
        "etc/sysusers.d/webntpd.conf",
        "etc/webntpd.toml",
        "etc/webntpd-server.toml",
        MAN_PAGE,
        COMPLETION,
    }


def test_the_units_call_this_installation(pip: Installation, root: Path) -> None:
    list(install(pip, root))
    units = root / "etc/systemd/system"
    text = "".join(path.read_text() for path in units.rglob("*.*") if path.is_file())
    assert f"ExecStart={COMMAND} run\n" in text
    assert f"-{PYTHON} -I {pip.data}/systemd/hand-over-socket /run/" in text
    assert "/usr/" not in text


def test_pages_and_completions_of_a_virtual_environment_are_linked_where_tools_look(
    pip: Installation, root: Path
) -> None:
    list(install(pip, root))
    assert (root / MAN_PAGE).readlink() == pip.prefix / "share/man/man8/webntpd.8"
    assert (root / COMPLETION).is_file()


def test_a_second_installation_takes_everything_over_but_the_configuration(
    pip: Installation, root: Path, tmp_path: Path
) -> None:
    list(install(pip, root))
    moved = replace(pip, prefix=tmp_path / "moved")
    pip.prefix.rename(moved.prefix)
    written = {str(path.relative_to(root)) for path in install(moved, root)}
    assert files(root) - written == {"etc/webntpd.toml", "etc/webntpd-server.toml"}
    assert (root / MAN_PAGE).is_file()


def test_a_page_of_another_is_kept(pip: Installation, root: Path) -> None:
    page = root / MAN_PAGE
    page.parent.mkdir(parents=True)
    page.write_text("another")
    list(install(pip, root))
    list(uninstall(root))
    assert page.read_text() == "another"


def test_a_configuration_that_exists_is_kept(pip: Installation, root: Path) -> None:
    config = root / "etc/webntpd.toml"
    config.parent.mkdir()
    config.write_text("# mine\n")
    assert config not in list(install(pip, root))
    assert config.read_text() == "# mine\n"


def test_without_roots_rights_it_says_so(pip: Installation, root: Path) -> None:
    (root / "etc").write_text("")  # no directory can be made there, not even by root
    with pytest.raises(UnitError, match=r"cannot write .*/webntpd.*: .*; install-unit is for root"):
        list(install(pip, root))


@pytest.mark.parametrize("program", ["command", "python"])
def test_a_home_directory_is_refused_because_the_service_cannot_see_it(
    pip: Installation, program: str
) -> None:
    with pytest.raises(UnitError, match="/home/me/bin/program is in a home directory"):
        list(install(replace(pip, **{program: Path("/home/me/bin/program")})))


def test_a_link_into_a_home_directory_is_refused(pip: Installation, tmp_path: Path) -> None:
    command = tmp_path / "webntpd"
    command.symlink_to("/root/.local/bin/webntpd")
    with pytest.raises(UnitError, match=r"/root/\.local/bin/webntpd is in a home directory"):
        list(install(replace(pip, command=command)))


@pytest.mark.parametrize("path", ["/opt/my tools/webntpd", "/opt/100%/webntpd"])
def test_a_path_that_a_unit_would_not_take_as_it_stands_is_refused(
    pip: Installation, path: str
) -> None:
    with pytest.raises(UnitError, match="does not go into a unit"):
        list(install(replace(pip, command=Path(path))))


# -- uninstall-unit --------------------------------------------------------------------------


def test_the_installed_files_are_removed_except_the_configuration(
    pip: Installation, root: Path
) -> None:
    list(install(pip, root))
    wanted = root / "etc/systemd/system/multi-user.target.wants/webntpd.service"
    wanted.parent.mkdir()
    wanted.symlink_to("/etc/systemd/system/webntpd.service")
    before = files(root)
    shutil.rmtree(pip.prefix)
    removed = {str(path.relative_to(root)) for path in uninstall(root)}
    assert before - removed == files(root) == {"etc/webntpd.toml", "etc/webntpd-server.toml"}
    assert not (root / "etc/systemd/system/ntpd-rs.service.d").exists()


def test_the_files_of_others_stay(pip: Installation, root: Path) -> None:
    list(install(pip, root))
    units = root / "etc/systemd/system"
    others = (
        units / "chrony.service",
        units / "webntpd.service.d/override.conf",
        units / "ntpd-rs.service.d/webntpd-local.conf",
        units / "webntpd-server.service",  # the administrator's own, in the place of ours
        root / "etc/sysusers.d/other.conf",
    )
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("[Service]\n")
    assert units / "webntpd.service" in list(uninstall(root))
    for path in others:
        assert path.read_text() == "[Service]\n"


def test_nothing_is_removed_where_nothing_was_installed(root: Path) -> None:
    assert list(uninstall(root)) == []


def test_a_file_that_cannot_be_removed_is_reported(pip: Installation, root: Path) -> None:
    list(install(pip, root))

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(UnitError, match=r"cannot remove .*: Permission denied; uninstall-unit"):
            list(uninstall(root))


def test_a_distributions_package_has_its_units_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: f"{tmp_path}/{name}")
    assert main.main(["install-unit"]) == Exit.FAILED
    assert "came with the package of the distribution" in capsys.readouterr().err


def test_the_installation_that_runs_is_that_of_the_interpreter(
    pip: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {"data": str(pip.prefix), "scripts": "/opt/webntpd/bin"}
    monkeypatch.setattr(sysconfig, "get_path", paths.__getitem__)
    assert units.this_installation() == replace(pip, python=Path(sys.executable))


def test_pages_where_every_program_looks_for_them_need_no_links(
    pip: Installation, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "COMMON_PREFIXES", (pip.prefix,))
    assert MAN_PAGE not in {str(path.relative_to(root)) for path in install(pip, root)}
