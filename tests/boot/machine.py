"""A whole Debian 13 machine: booted by systemd-nspawn from a directory, with nothing shared.

It has a network, shared memory, users and capabilities of its own. The units of the clock's daemons
ask for CAP_SYS_TIME, so it has that, too, but only in its own user namespace, where the kernel lets
nobody set a clock; and a filter refuses the very system calls before the kernel is even asked.

A machine that shall see the state of the kernel's clock gets READS_THE_CLOCK instead: without the
capability, the same calls read the state and set nothing.
"""

import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.system.harness import ROOT, SEARCH, eventually, require, require_root, unavailable
from webntpd import __version__

BOOT_TIME = 90.0  # s, at most
COMMAND_TIME = 120.0  # s: installing a package is the longest
MEMORY = Path("/dev/shm")
ROOM = 3 << 30  # bytes: two copies, and what is installed in them
NSPAWN = (
    "--quiet",
    "--register=no",
    "--keep-unit",
    "--private-network",
    "--private-users=pick",
    "--boot",
)
NO_CLOCK = ("--capability=CAP_SYS_TIME", "--system-call-filter=~@clock")
READS_THE_CLOCK = ("--system-call-filter=adjtimex clock_adjtime",)
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
AT_HAND = ("chrony", "ntpsec", "ntpd-rs", "python3-venv")
PACKAGE = "/root/webntpd.deb"
WHEEL = f"/root/webntpd-{__version__}-py3-none-any.whl"
INSTALL = ("apt-get", "-qq", "install", "--yes", "--no-install-recommends")


class Machine:
    """The machine whose files are in `root`, running or not.

    `clock` has nspawn's options for the system calls that read and set the clock.
    """

    def __init__(self, root: Path, clock: tuple[str, ...] = NO_CLOCK) -> None:
        self._root = root
        self._clock = clock
        self._console = root.with_name(f"{root.name}.console")
        self._run = ExitStack()
        self._nspawn: subprocess.Popen[bytes]
        self._cursor = ""

    def boot(self) -> None:
        enter = ("sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"')
        command = (require("setpriv"), "--pdeathsig=KILL", require("systemd-nspawn"), *NSPAWN)
        with self._console.open("ab") as console:
            self._nspawn = self._run.enter_context(
                subprocess.Popen(
                    [
                        *enter,
                        self._run.enter_context(control_group()),
                        *command,
                        *self._clock,
                        f"--directory={self._root}",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    env={"PATH": SEARCH, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                )
            )
        self._run.callback(self._nspawn.kill)
        eventually(self._up, "the machine is up", patience=BOOT_TIME)

    def _up(self) -> bool:
        if self._leader is None:
            return False
        state = self.attempt("systemctl", "is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def power_off(self) -> None:
        """Shut down in an orderly way."""
        self._end("poweroff")

    def reboot(self) -> None:
        """Shut down in an orderly way, and boot again: nspawn leaves the latter to who runs it."""
        self._end("reboot")
        self.boot()

    def _end(self, command: str) -> None:
        self.attempt("systemctl", command)
        self._nspawn.wait(BOOT_TIME)
        self.pull_the_plug()

    def pull_the_plug(self) -> None:
        self._run.close()

    @property
    def _leader(self) -> str | None:
        """The machine's process 1, as seen from here."""
        number = self._nspawn.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        return children[0] if children else None

    def attempt(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as root; standard error goes where standard output goes."""
        leader = self._leader
        assert leader is not None, "the machine has ended"
        return subprocess.run(
            [require("nsenter"), f"--target={leader}", "--all", *argv],
            check=False,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIME,
            env=ENVIRONMENT,
        )

    def run(self, *argv: str, stdin: str = "") -> str:
        """What a command prints, which must succeed."""
        done = self.attempt(*argv, stdin=stdin)
        assert done.returncode == 0, f"{argv}\n{done.stdout}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        self.run("mkdir", "-p", str(Path(path).parent))
        self.run("tee", path, stdin=text)

    def install(self, *what: str) -> None:
        """From what was downloaded: the machine reaches no network."""
        self.run(*INSTALL, *what)

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def forget_journal(self) -> None:
        """Let journal() begin here."""
        shown = self.run("journalctl", "--lines=0", "--show-cursor")
        self._cursor = shown.rpartition("-- cursor: ")[2].strip()

    def journal(self, unit: str) -> str:
        since = f"--after-cursor={self._cursor}"
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}", since)

    def says(self, unit: str, text: str, patience: float = 30.0) -> None:
        """Wait until the unit's journal has the text."""
        eventually(lambda: text in self.journal(unit), f"{unit} says {text!r}", patience=patience)


@contextmanager
def booted(root: Path, clock: tuple[str, ...] = NO_CLOCK) -> Iterator[Machine]:
    """A machine that runs, until the plug is pulled in the end."""
    machine = Machine(root, clock)
    try:
        machine.boot()
        yield machine
    finally:
        machine.pull_the_plug()


@contextmanager
def control_group() -> Iterator[Path]:
    """A control group below our own, for one machine; what is still in it in the end is killed."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    hierarchies = {mount[1]: mount[2] for mount in mounts if mount[2] in ("cgroup", "cgroup2")}
    hierarchy = next(where for where, kind in hierarchies.items() if kind == "cgroup2")
    memberships = Path("/proc/self/cgroup").read_text().splitlines()
    own = next(line for line in memberships if line.startswith("0::")).removeprefix("0::/")
    group = Path(tempfile.mkdtemp(prefix="webntpd-boot-", dir=Path(hierarchy, own)))
    try:
        yield group
    finally:
        (group / "cgroup.kill").write_text("1")
        eventually(
            lambda: "populated 0" in (group / "cgroup.events").read_text(), "all its processes end"
        )
        # Where there are hierarchies of version 1, too, nspawn makes the like in that of systemd.
        for where in hierarchies:
            for path in sorted(Path(where, own, group.name).rglob("**/"), reverse=True):
                path.rmdir()


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """A copy of a machine's files, which goes away in the end.

    It is in memory if that has room: a machine makes and forgets thousands of files.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    place = MEMORY if roomy else None
    with tempfile.TemporaryDirectory(prefix="webntpd-boot-", dir=place) as directory:
        copy = Path(directory, "root")
        subprocess.run(["cp", "-a", "--reflink=auto", root, copy], check=True)
        yield copy


@contextmanager
def bare_image() -> Iterator[Path]:
    """The files of a machine that has every package at hand, and none of ours installed."""
    require_root()
    for program in ("debootstrap", "systemd-nspawn"):
        require(program)
    package = ROOT / f"dist/webntpd_{__version__}_all.deb"
    if not package.exists():
        unavailable(package.name, "make deb")
    maker = (ROOT / "packaging/debian-root", "boot", "dbus", "systemd", "systemd-sysv")
    root = Path(subprocess.run(maker, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    with ExitStack() as copy:
        with alone_with(root):
            provide(root, package)
            files = copy.enter_context(copied(root))
        yield files


@contextmanager
def alone_with(root: Path) -> Iterator[None]:
    """Nobody else, such as another working copy, uses the kept root meanwhile."""
    with Path(f"{root}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def provide(root: Path, package: Path) -> None:
    """Put there what an administrator would fetch: packages, and the wheel for pip."""
    shutil.copy(package, f"{root}{PACKAGE}")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    wheels = root / Path(WHEEL).parent.relative_to("/")
    for old in wheels.glob("webntpd-*.whl"):  # of an earlier version
        old.unlink()
    subprocess.run([*pip, f"--wheel-dir={wheels}", ROOT], check=True)
    # A test's machine need not survive the loss of power.
    Path(root, "etc/dpkg/dpkg.cfg.d/no-sync").write_text("force-unsafe-io\n")
    for wanted in (PACKAGE, *AT_HAND):
        fetch = (ROOT / "packaging/apt-in", root, "install", "--yes", "--no-install-recommends")
        subprocess.run([*fetch, "--download-only", wanted], check=True)
