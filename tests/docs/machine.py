"""A throwaway machine, on which the documents' commands are run as they stand.

It is this machine over again: all its files, of which every change goes into memory and is gone in
the end, in a sandbox with processes of its own. On it the package is installed, as far as that goes
without systemd; a reader's commands find their programs in `standins`, and else among PROGRAMS: any
other is not there.
"""

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.system.harness import ROOT, SEARCH, Program, Sandbox, eventually, require

STANDINS = ROOT / "tests/docs/standins"
PROGRAMS = (
    "bash", "cat", "chgrp", "chmod", "chronyc", "cp", "curl", "env", "grep", "head", "ip",
    "ipcrm", "ipcs", "ln", "ls", "mkdir", "openssl", "promtool", "python3", "rm", "sed", "sh",
    "socat", "ss", "systemd-sysusers", "systemd-tmpfiles", "tail",
)  # fmt: skip
"""What runs for real."""
LINKS = "/run/docs"
INTERPRETERS = Path("/opt/python")
"""Where this interpreter is found there: no service could use one in a home directory."""
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""The certificates that every program trusts."""
PATIENCE = 120.0  # s: making a virtual environment takes its time

MAKE = """
set -eu
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir root files files.work clone clone.work
mount -t overlay overlay -o lowerdir=/,upperdir=files,workdir=files.work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
mount -t tmpfs tmpfs root/tmp
mkdir -p "root$2"
mount -t overlay overlay -o "lowerdir=$2,upperdir=clone,workdir=clone.work" "root$2"
mkdir -p "root$4"
mount --bind "$3" "root$4"
# Only inside is it ready: a command that enters earlier would change this machine's own files.
exec chroot root sh -c "echo ready; exec sleep infinity"
"""
# What debian/webntpd.install and debhelper do.
INSTALL = f"""
cp etc/*.toml /etc/
cp -r systemd/*.service systemd/*.socket systemd/*.service.d /usr/lib/systemd/system/
mkdir -p /usr/lib/webntpd /usr/share/doc/webntpd /run/webntpd /var/log/webntpd
cp systemd/hand-over-socket /usr/lib/webntpd/
cp -r systemd/examples /usr/share/doc/webntpd/
cp systemd/webntpd.sysusers /usr/lib/sysusers.d/webntpd.conf
systemd-sysusers webntpd.conf
[ -e .venv ] || ln -s {sys.prefix} .venv
"""


class Machine:
    """A machine in a sandbox, ended with it."""

    def __init__(self, sandbox: Sandbox) -> None:
        for program in PROGRAMS:
            require(program)
        self._sandbox = sandbox
        place = sandbox.path / "machine"
        place.mkdir()
        holder = sandbox.start(
            *(require("unshare"), "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", MAKE, "sh", place, ROOT, sys.base_prefix, INTERPRETERS),
        )
        eventually(lambda: "ready" in holder.output, "a machine of its own")
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        first = int(children.read_text())
        sandbox.at_end(lambda: os.kill(first, signal.SIGKILL))  # with which all others end, too
        self._enter = (
            *(require("nsenter"), f"--target={first}", "--mount", "--pid", "--root"),
            *("env", f"--chdir={ROOT}"),
        )
        self._environment = {
            "PATH": SEARCH,
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "SSL_CERT_FILE": AUTHORITIES,
            "DOCS_PROGRAMS": sysconfig.get_path("scripts"),
            # pip takes what is needed from this environment: the machine reaches no index.
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.must(INSTALL + self._links())
        self._environment["PATH"] = f"{STANDINS}{os.pathsep}{LINKS}"

    def write(self, path: str, text: str) -> None:
        """Put a file there."""
        self.must(f"mkdir -p {Path(path).parent}\ncat >{path} <<'THE-END'\n{text}\nTHE-END\n")

    def attempt(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script, which ends with its first command that fails."""
        argv = (*self._enter, require("bash"), "-euo", "pipefail", "-c", script)
        return self._sandbox.attempt(*argv, env=self._environment, patience=PATIENCE)

    def must(self, script: str) -> str:
        """What a script prints, which must succeed."""
        done = self.attempt(script)
        assert done.returncode == 0, f"{script}\n--- {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *argv: str | Path) -> Program:
        """Start a program, which ends with the machine."""
        return self._sandbox.start(*self._enter, *argv, env=self._environment)

    @staticmethod
    def _links() -> str:
        found = {name: require(name) for name in PROGRAMS}
        executable = Path(sys.executable).resolve()
        found["python3"] = str(INTERPRETERS / executable.relative_to(sys.base_prefix))
        links = [f"ln -s {path} {LINKS}/{name}\n" for name, path in found.items()]
        return f"mkdir {LINKS}\n{''.join(links)}"
