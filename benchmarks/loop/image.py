"""The guest's disk: a Debian 13 with the packages of webntpd and chrony, ready to boot.

packaging/debian-root makes and keeps the Debian that is the same for each run. A copy of it gets
the package and the files below, and becomes a disk image without being mounted.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.process import ROOT
from webntpd import __version__

PACKAGE = ROOT / f"dist/webntpd_{__version__}_all.deb"
SYSTEM = ("linux-image-cloud-amd64", "systemd-sysv", "dbus", "udev")
INSIDE = "/root/webntpd.deb"
WANTED = (INSIDE, "chrony")
SIZE = "2G"
"""Size of the disk; the image takes only as much as is written."""
PROGRAMS = ("debootstrap", "setpriv", "mke2fs", "qemu-system-x86_64")

SHELL_PORT = 7000
SERVER_PORT = 8080
"""Ports of the guest: a shell for the benchmark, and the server that tells its clock."""
HOST = "10.0.2.2"
"""This machine's loopback, as QEMU's user network shows it to the guest."""

FILES = {
    # No package's script may start a daemon while the disk is being made.
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/systemd/network/guest.network": (
        "[Match]\nType=ether\n"
        f"[Network]\nAddress=10.0.2.15/24\nGateway={HOST}\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n"
    ),
    # The benchmark's shell: one connection, one script, which ends where the connection's data end.
    "etc/systemd/system/shell.socket": f"[Socket]\nListenStream={SHELL_PORT}\nAccept=yes\n",
    "etc/systemd/system/shell@.service": (
        "[Service]\nStandardInput=socket\nStandardOutput=socket\nStandardError=socket\n"
        """ExecStart=-/bin/sh -c 'script=$(cat); (eval "$script") </dev/null; echo; echo $?'\n"""
    ),
    "etc/webntpd-server.toml": (
        f'[server]\nlisten = ["0.0.0.0:{SERVER_PORT}"]\nlocal = true\n'
        "requests_per_second = 1000.0\nrequest_burst = 1000\n"
        '[control]\nsocket = ""\n'
    ),
    "etc/chrony/chrony.conf": (
        "confdir /etc/chrony/conf.d\ndriftfile /var/lib/chrony/chrony.drift\nmakestep 1 3\n"
    ),
}
SOCKET_WANTS = "etc/systemd/system/sockets.target.wants/shell.socket"
ENABLED = ("systemd-networkd.service", "webntpd-server.service")
DISABLED = ("chrony.service", "webntpd.service", "apt-daily.timer", "apt-daily-upgrade.timer")


class ImageError(Exception):
    """No guest can be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Image:
    """The files that QEMU boots from."""

    kernel: Path
    initrd: Path
    disk: Path


@contextmanager
def made_image() -> Iterator[Image]:
    """Make an image, which goes away in the end. Raises ImageError."""
    if os.geteuid() != 0:
        raise ImageError("only root can make the guest's disk")
    if missing := [name for name in PROGRAMS if shutil.which(name, path=_search()) is None]:
        raise ImageError(f"missing: {', '.join(missing)} (apt install qemu-system-x86 debootstrap)")
    if not PACKAGE.exists():
        raise ImageError(f"{PACKAGE} is not built: make deb")
    with tempfile.TemporaryDirectory(prefix="webntpd-loop-") as directory:
        root, disk = Path(directory, "root"), Path(directory, "disk")
        _copy_base(root)
        _equip(root)
        _run("mke2fs", "-q", "-t", "ext4", "-d", root, disk, SIZE)
        kernel, initrd = (_only(root / "boot", name) for name in ("vmlinuz-*", "initrd.img-*"))
        yield Image(kernel, initrd, disk)


def _copy_base(copy: Path) -> None:
    """Copy the kept Debian, with the wanted packages downloaded."""
    base = Path(_run(ROOT / "packaging/debian-root", "guest", *SYSTEM).strip())
    with Path(f"{base}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copy(PACKAGE, f"{base}{INSIDE}")
        _install(base, "--download-only")
        _run("cp", "-a", "--reflink=auto", base, copy)


def _equip(root: Path) -> None:
    """Install and configure what the guest needs."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    _install(
        root, "-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-unsafe-io"
    )
    for verb, units in (("enable", ENABLED), ("disable", DISABLED)):
        _run("chroot", root, "systemctl", "--quiet", verb, *units)
    wants = root / SOCKET_WANTS
    wants.parent.mkdir(exist_ok=True)
    wants.symlink_to("/etc/systemd/system/shell.socket")


def _install(root: Path, *options: str) -> None:
    """Run apt-get without the right to set a clock: no package's script can touch the host's."""
    _run(
        "setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time",
        ROOT / "packaging/apt-in", root,
        "install", "--yes", "--no-install-recommends", *options, *WANTED,
    )  # fmt: skip


def _only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise ImageError(f"{len(found)} files {pattern} in the guest's /boot")
    return found[0]


def _run(*argv: str | Path) -> str:
    """Run a program, and return its output. Raises ImageError if it fails."""
    done = _attempt(argv)
    if done.returncode:
        raise ImageError(f"{Path(argv[0]).name} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _attempt(argv: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": _search(), "LC_ALL": "C.UTF-8"},
    )


def _search() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
