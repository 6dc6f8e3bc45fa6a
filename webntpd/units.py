"""Installs the systemd units of a webntpd that came by pip or pipx.

The wheel brings the very files of a distribution's package, as data under share/webntpd. They are
written to /etc, where an administrator's own units belong, with the paths of this installation.
"""

import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGED_COMMAND = "/usr/bin/webntpd"
PACKAGED_HELPERS = "/usr/lib/webntpd"
"""What the units call, where a distribution's package has it."""

HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user")))
"""What ProtectHome= hides from the service."""
PLAIN = re.compile(r"[\w./+@-]+")
"""A path that systemd takes as it stands."""


class UnitError(Exception):
    """The units cannot be installed; the text says why, and what to do."""


def data_directory() -> Path:
    """Where pip puts a wheel's data. Raises UnitError where there is none of ours."""
    path = Path(sysconfig.get_path("data"), "share", "webntpd")
    if not path.is_dir():
        raise UnitError(f"there is no {path}: the units came with the package of the distribution")
    return path


def command() -> Path:
    """Where pip puts this program."""
    return Path(sysconfig.get_path("scripts"), "webntpd")


def install(data: Path, command: Path, root: Path = Path("/")) -> Iterator[Path]:
    """Write units, user and a first configuration below `root`; each path as it is written.

    A configuration that exists is left alone, a unit is replaced. Raises UnitError.
    """
    paths = {PACKAGED_COMMAND: _callable(command), PACKAGED_HELPERS: _callable(data / "systemd")}
    for source, target in _targets(data, root / "etc"):
        text = source.read_text()
        for packaged, own in paths.items():
            text = text.replace(packaged, str(own))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        except OSError as error:
            raise UnitError(
                f"cannot write {target}: {error.strerror}; install-unit is for root"
            ) from error
        yield target


def _targets(data: Path, etc: Path) -> Iterator[tuple[Path, Path]]:
    units = data / "systemd"
    for pattern in ("*.service", "*.socket", "*.service.d/*.conf"):
        for source in sorted(units.glob(pattern)):
            yield source, etc / "systemd/system" / source.relative_to(units)
    yield units / "webntpd.sysusers", etc / "sysusers.d/webntpd.conf"
    for source in sorted((data / "etc").glob("*.toml")):
        if not (etc / source.name).exists():
            yield source, etc / source.name


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
