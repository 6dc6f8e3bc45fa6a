"""Installs the systemd units of a webntpd that came by pip or pipx, and removes them again.

The wheel brings the very files of a distribution's package, as data under share/webntpd. They are
written to /etc, where an administrator's own units belong, with the paths of this installation. A
first line marks each of them, so that uninstall() finds them even when this installation is gone.
"""

import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MARK = (
    "# Written by `webntpd install-unit`, which replaces it; `webntpd uninstall-unit` removes it.\n"
)

PACKAGED_COMMAND = "/usr/bin/webntpd"
"""The command that the units call, at its path in a distribution's package."""
PACKAGED_HELPER = "/usr/lib/webntpd/hand-over-socket"
"""The helper that the drop-ins call, at its path in a distribution's package."""

UNITS = Path("etc/systemd/system")
USERS = Path("etc/sysusers.d/webntpd.conf")
UNIT_FILES = ("*.service", "*.socket", "*.service.d/*.conf")
SHARED = ("man/man*/webntp*", "bash-completion/completions/webntp*")
"""Manual pages and completions, below share/ of a prefix."""
LOOKED_IN = Path("usr/local/share")
"""man(1) and bash-completion look there, but not in a virtual environment."""
COMMON_PREFIXES = (Path("/usr"), Path("/usr/local"))

HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user")))
"""What ProtectHome= hides from the service."""
PLAIN = re.compile(r"[\w./+@-]+")
"""A path that systemd takes as it stands."""


class UnitError(Exception):
    """The units cannot be installed or removed; the text says why, and what to do."""


@dataclass(frozen=True)
class Installation:
    """The paths of a program that pip installed: its data are below `prefix`."""

    prefix: Path
    command: Path
    python: Path

    @property
    def data(self) -> Path:
        return self.prefix / "share/webntpd"


def this_installation() -> Installation:
    """The installation that runs. Raises UnitError if pip has put no units there."""
    prefix = Path(sysconfig.get_path("data"))
    command = Path(sysconfig.get_path("scripts"), "webntpd")
    installation = Installation(prefix, command, Path(sys.executable))
    if not installation.data.is_dir():
        raise UnitError(
            f"there is no {installation.data}: the units came with the package of the distribution"
        )
    return installation


def install(installation: Installation, root: Path = Path("/")) -> Iterator[Path]:
    """Write units, user, a first configuration and links below `root`; yield each written path.

    A configuration that exists is left alone, a unit is replaced. Raises UnitError.
    """
    helper = _callable(installation.data / "systemd/hand-over-socket")
    paths = {
        PACKAGED_COMMAND: str(_callable(installation.command)),
        PACKAGED_HELPER: f"{_callable(installation.python)} -I {helper}",
    }
    for source, target in _units(installation.data / "systemd", root):
        text = source.read_text()
        for packaged, own in paths.items():
            text = text.replace(packaged, own)
        yield _write(target, MARK + text)
    for source in sorted((installation.data / "etc").glob("*.toml")):
        target = root / "etc" / source.name
        if not target.exists():
            yield _write(target, source.read_text())
    yield from _link_shared(installation.prefix, root)


def uninstall(root: Path = Path("/")) -> Iterator[Path]:
    """Remove the files that install() wrote, except the configuration; yield each removed path.

    Files without our mark stay. Raises UnitError.
    """
    units = root / UNITS
    for path in installed(root):
        for wants in sorted(units.glob("*.wants")):  # of `systemctl enable`
            link = wants / path.name
            if link.is_symlink() and link.readlink() == Path("/", path.relative_to(root)):
                yield _remove(link)
        yield _remove(path)
        if path.parent not in (units, (root / USERS).parent) and not any(path.parent.iterdir()):
            path.parent.rmdir()
    share = root / LOOKED_IN
    for pattern in SHARED:
        for path in sorted(share.glob(pattern)):
            if _is_link_of_ours(path, path.relative_to(share)):
                yield _remove(path)


def installed(root: Path = Path("/")) -> list[Path]:
    """The units, drop-ins and user that install() wrote below `root`, found by their mark."""
    found = [path for pattern in UNIT_FILES for path in sorted((root / UNITS).glob(pattern))]
    return [path for path in (*found, root / USERS) if path.is_file() and _is_marked(path)]


def _is_marked(path: Path) -> bool:
    with _for_root("read", path, "uninstall-unit"):
        return path.read_bytes().startswith(MARK.encode())


def _is_link_of_ours(path: Path, name: Path) -> bool:
    """Whether `path` is a link to the file `name` below share/ of some prefix."""
    return path.is_symlink() and path.readlink().match(f"share/{name}")


def _units(systemd: Path, root: Path) -> Iterator[tuple[Path, Path]]:
    for pattern in UNIT_FILES:
        for source in sorted(systemd.glob(pattern)):
            yield source, root / UNITS / source.relative_to(systemd)
    yield systemd / "webntpd.sysusers", root / USERS


def _link_shared(prefix: Path, root: Path) -> Iterator[Path]:
    """Link manual pages and completions below LOOKED_IN; a file that is not ours stays."""
    if prefix in COMMON_PREFIXES:
        return
    share = prefix / "share"
    for pattern in SHARED:
        for source in sorted(share.glob(pattern)):
            name = source.relative_to(share)
            target = root / LOOKED_IN / name
            if _is_link_of_ours(target, name):
                _remove(target)  # perhaps of an installation that is gone
            if not os.path.lexists(target):
                yield _link(target, source)


def _write(path: Path, text: str) -> Path:
    with _for_root("write", path, "install-unit"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path


def _link(path: Path, target: Path) -> Path:
    with _for_root("write", path, "install-unit"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return path


def _remove(path: Path) -> Path:
    with _for_root("remove", path, "uninstall-unit"):
        path.unlink()
    return path


@contextmanager
def _for_root(verb: str, path: Path, command: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnitError(f"cannot {verb} {path}: {error.strerror}; {command} is for root") from error


def _callable(path: Path) -> Path:
    """The path as given, if the service can use it."""
    real = path.resolve()
    if any(real.is_relative_to(hidden) for hidden in HIDDEN):
        raise UnitError(
            f"{real} is in a home directory, which the service does not see:"
            " install webntpd in /opt/webntpd, say"
        )
    if not PLAIN.fullmatch(str(path)):
        raise UnitError(f"{str(path)!r} does not go into a unit: install webntpd elsewhere")
    return path
