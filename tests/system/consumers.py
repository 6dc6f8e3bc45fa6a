"""The programs that discipline clocks, as a test sees them: what they believe, in RFC 5905's sign.

Each polls every few seconds, the fastest at which no poll goes empty for long: a peer that is
polled each second has a new best sample less often. None of them is to touch the clock.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.system.harness import Sandbox, eventually, require, unavailable

UNIT = 2
NTPSEC = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webntpd" / "ntpsec"


@dataclass(frozen=True)
class View:
    """What a consumer says of its refclock: `selected` to be followed, reach, and offset in s."""

    selected: bool
    reach: int
    offset: float

    def agrees(self, offset: float, within: float = 1e-3) -> bool:
        """Whether it has taken at least two samples, trusts them, and read them right."""
        samples = self.reach.bit_count()
        return self.selected and samples >= 2 and abs(self.offset - offset) < within


class Chrony:
    """chronyd, which with -x only keeps an account of how wrong the clock is."""

    def __init__(self, sandbox: Sandbox, refclock: str, port: int) -> None:
        self.name = f"chronyd by {refclock}"
        self._sandbox = sandbox
        self._chronyc = (require("chronyc"), "-n", "-c", "-h", "127.0.0.1", "-p", str(port))
        config = sandbox.path / f"chrony-{port}.conf"
        config.write_text(
            f"refclock {refclock} refid WEB poll 1 dpoll -1 filter 1 delay 0.001 precision 1e-4\n"
            f"cmdport {port}\nbindcmdaddress 127.0.0.1\nport 0\n"
            f"pidfile {sandbox.path}/chronyd-{port}.pid\n"
        )
        self.program = sandbox.start(require("chronyd"), "-x", "-d", "-u", "root", "-f", config)

    @classmethod
    def by_shm(cls, sandbox: Sandbox, unit: int = UNIT) -> "Chrony":
        return cls(sandbox, f"SHM {unit}:perm=0600", port=32323)

    @classmethod
    def by_sock(cls, sandbox: Sandbox, path: Path) -> "Chrony":
        consumer = cls(sandbox, f"SOCK {path}", port=32324)
        eventually(path.exists, "chronyd's socket")
        return consumer

    def view(self) -> View | None:
        """`tracking` has the sum of all corrections that -x kept chronyd from making."""
        sources = self._sandbox.run(*self._chronyc, "sources").split(",")
        tracking = self._sandbox.run(*self._chronyc, "tracking").split(",")
        if len(sources) < 6 or len(tracking) < 5:
            return None
        return View(sources[1] == "*", int(sources[5], 8), float(tracking[4]))


def ntpsec_environment() -> dict[str, str]:
    """What the unpacked NTPsec's programs need to find their own parts."""
    return {
        "PYTHONPATH": f"{NTPSEC}/usr/lib/python3/dist-packages",
        "LD_LIBRARY_PATH": str(next(NTPSEC.glob("usr/lib/*/ntp"))),
    }


class NtpSec:
    """NTPsec's ntpd, unpacked by fetch-ntpsec because its package conflicts with chrony's.

    `refclocks` are the lines for its configuration, if not the fastest ones; `unit` is the one
    that is looked at.
    """

    def __init__(self, sandbox: Sandbox, unit: int = UNIT, refclocks: str = "") -> None:
        if not (NTPSEC / "usr/sbin/ntpd").exists():
            unavailable("NTPsec", "tests/system/fetch-ntpsec")
        self.name = f"NTPsec by SHM {unit}"
        self._sandbox = sandbox
        self._remote = f"SHM({unit})"
        self._env = ntpsec_environment()
        config = sandbox.path / "ntp.conf"
        config.write_text(
            "disable ntp\nrestrict default nomodify\nrestrict 127.0.0.1\n"
            + (refclocks or f"refclock shm unit {unit} refid WEB minpoll 2 maxpoll 2\n")
        )
        self.program = sandbox.start(
            NTPSEC / "usr/sbin/ntpd", "-n", "-g", "-c", config, "-I", "lo",
            "-p", sandbox.path / "ntpd.pid",
        )  # fmt: skip

    def ntpq(self, *arguments: str) -> str:
        return self._sandbox.run(
            "/usr/bin/python3", NTPSEC / "usr/bin/ntpq", *arguments, "127.0.0.1", env=self._env
        )

    def view(self) -> View | None:
        """From the line of `ntpq -p`: tally, remote, refid, st, t, when, poll, reach, delay, ..."""
        pattern = rf"^(.){re.escape(self._remote)} +\.WEB\. +(.*)$"
        line = re.search(pattern, self.ntpq("-pn"), re.MULTILINE)
        if line is None:
            return None
        reach, _, offset = line[2].split()[4:7]
        return View(line[1] == "*", int(reach, 8), float(offset) / 1e3)


def wait_until_they_believe(offset: float, *consumers: Chrony | NtpSec) -> None:
    """Wait until all of them report the offset, s, and follow it."""
    for consumer in consumers:
        what = f"{consumer.name} believes {offset}"
        eventually(consumer.view, what, until=lambda view: view and view.agrees(offset))
