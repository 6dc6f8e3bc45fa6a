"""The shared-memory refclock of ntpd, NTPsec and chrony (driver 28): one sample at a time.

A segment holds one sample with a flag, `valid`, which the writer sets and the reader clears. The
reader polls once a second or so, knows nothing of the writer, and may read in the middle of a
write. In mode 1 it detects that by `count`, which the writer steps before and after: a reader
that sees two values of it throws the sample away.

That needs the stores to become visible in program order. x86 keeps stores in order by itself, an
ARM does not, and Python has no fence. What it has is a lock, whose release and acquire are atomic
operations with those memory orders in every CPython (sem_post and sem_trywait before 3.13, its
own atomics since). Releasing a lock and acquiring it again keeps stores before the pair ahead of
stores after it on the CPUs that Linux runs on: ARMv8 and RISC-V order an acquire after an earlier
release, POWER's release orders all earlier stores with all later ones. It is a guarantee of those
CPUs, not of the C standard. Each field is one aligned store, so that no half of it is ever seen.

The segment is never removed: a reader would keep the old one mapped, and wait for ever.

Any user can make a segment before us. Its creator can write any time into it from then on, even
after a change of its owner to root. So a segment is used only if both its owner and its creator are
root, ourselves, or users that the configuration names. Any other segment is left alone: this output
waits, and the daemon runs on.
"""

import ctypes
import errno
import logging
import math
import os
import pwd
import threading

from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import NS_PER_S
from webntpd.refclock import sysvipc
from webntpd.refclock.base import RefclockError
from webntpd.refclock.samples import SampleCounts
from webntpd.status.snapshot import RefclockStatus

KEY_BASE = 0x4E545030  # "NTP0"
CREATE_MODE = 0o600
WRITABLE_BY_OTHERS = 0o022
MIN_ERROR = 2.0**-30  # s: a nanosecond is the resolution of the fields
MAX_ERROR = 16.0  # s: MAXDISP, worse is no time at all

logger = logging.getLogger(__name__)


class ShmTime(ctypes.Structure):
    """ntpd's struct shmTime on 64-bit Linux: 96 bytes.

    `clock` is the true time and `receive` CLOCK_REALTIME at the same instant.
    """

    _fields_ = (
        ("mode", ctypes.c_int),
        ("count", ctypes.c_int),
        ("clock_sec", ctypes.c_long),
        ("clock_usec", ctypes.c_int),
        ("receive_sec", ctypes.c_long),
        ("receive_usec", ctypes.c_int),
        ("leap", ctypes.c_int),
        ("precision", ctypes.c_int),
        ("nsamples", ctypes.c_int),
        ("valid", ctypes.c_int),
        ("clock_nsec", ctypes.c_uint),
        ("receive_nsec", ctypes.c_uint),
        ("spare", ctypes.c_int * 8),
    )


class Segment:
    """A shared memory segment that is attached to this process."""

    def __init__(self, shmid: int) -> None:
        self.shmid = shmid
        self._address = sysvipc.attach(shmid)
        self._time = ShmTime.from_address(self._address)
        self._order = threading.Lock()
        self._order.acquire()

    @property
    def unread(self) -> bool:
        """Whether the last sample still waits for a reader."""
        return bool(self._time.valid)

    @property
    def permissions(self) -> sysvipc.Permissions:
        """The permissions as of now. Only once it is `doomed` can its key name another segment."""
        return sysvipc.stat(self.shmid)

    def clear(self) -> None:
        """Make it ready for mode 1, and invalidate the sample of an earlier writer."""
        self._time.valid = 0
        self._time.mode = 1

    def write(self, publication: Publication) -> None:
        """Replace the sample; to a reader it is there whole or not at all."""
        time = self._time
        time.valid = 0
        time.count += 1
        self._fence()
        self._fill(publication)
        self._fence()
        time.count += 1
        self._fence()
        time.valid = 1

    def close(self) -> None:
        """Take the sample back and detach."""
        self._time.valid = 0
        self.detach()

    def detach(self) -> None:
        """Detach, and leave the segment as it is."""
        del self._time
        sysvipc.detach(self._address)

    def _fill(self, publication: Publication) -> None:
        time = self._time
        clock_ns = publication.receive_ns + round(publication.offset * NS_PER_S)
        time.mode = 1
        time.clock_sec, time.clock_nsec = divmod(clock_ns, NS_PER_S)
        time.receive_sec, time.receive_nsec = divmod(publication.receive_ns, NS_PER_S)
        # Readers believe the nanoseconds only if the microseconds are the same truncated.
        time.clock_usec = time.clock_nsec // 1000
        time.receive_usec = time.receive_nsec // 1000
        time.leap = publication.leap
        time.precision = precision_exponent(publication.error)

    def _fence(self) -> None:
        self._order.release()
        self._order.acquire()


class ShmRefclock:
    """A unit of ntpd's driver 28. `owners` are further users whose segment is accepted."""

    def __init__(self, unit: int, owners: frozenset[int] = frozenset()) -> None:
        self._samples = SampleCounts(f"SHM({unit})")
        self._key = KEY_BASE + unit
        self._owners = owners
        self._segment: Segment | None = None
        self._opened = False

    @property
    def status(self) -> RefclockStatus:
        return self._samples.status

    def open(self) -> None:
        """Attach to the unit's segment, which is made if there is none.

        If that fails, the status says why, and each sample tries again. Any user of the machine can
        cause such a failure, so it does not end the daemon.
        """
        self._opened = True
        try:
            self._segment = self._attach()
        except RefclockError as error:
            self._samples.unusable(str(error))

    def publish(self, publication: Publication) -> None:
        """Offer a sample to the consumer."""
        if not self._opened or self._samples.repeats(publication):
            return
        try:
            segment = self._segment = self._current()
        except RefclockError as error:
            self._samples.failed(str(error))
            return
        unread = segment.unread
        segment.write(publication)
        self._samples.succeeded(publication, unread=unread)

    def close(self) -> None:
        self._opened = False
        self._detach()

    def _detach(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _current(self) -> Segment:
        """The segment that a consumer which attached now would get."""
        if self._segment is not None and self._segment.permissions.doomed:
            logger.warning(
                "%s: someone removed the segment; a consumer that holds it must be restarted",
                self.status.name,
            )
            self._detach()
        return self._segment or self._attach()

    def _attach(self) -> Segment:
        try:
            shmid = sysvipc.get(self._key, ctypes.sizeof(ShmTime), sysvipc.IPC_CREAT | CREATE_MODE)
            segment = Segment(shmid)
        except OSError as error:
            raise RefclockError(self._explain(error)) from error
        # Checked only now: the number of an attached segment cannot pass to another segment.
        found = segment.permissions
        if self._is_strange(found):
            segment.detach()
            raise RefclockError(self._refusal(found))
        segment.clear()
        logger.info("%s: attached to %s", self.status.name, self._describe(found))
        if found.mode & WRITABLE_BY_OTHERS:
            logger.warning(
                "%s: users other than its owner can write time to %s",
                self.status.name,
                self._describe(found),
            )
        return segment

    def _is_strange(self, found: sysvipc.Permissions) -> bool:
        return not {found.uid, found.cuid} <= {0, os.geteuid(), *self._owners}

    def _describe(self, found: sysvipc.Permissions) -> str:
        creator = "" if found.cuid == found.uid else f", creator {_user(found.cuid)}"
        return f"key {self._key:#x}, owner {_user(found.uid)}{creator}, mode {found.mode:04o}"

    def _refusal(self, found: sysvipc.Permissions) -> str:
        return (
            f"refusing shared memory, {self._describe(found)}: that user could write time;"
            f" {self._remedy}, or allow the user by 'owners' of this [[refclock]]"
        )

    def _explain(self, error: OSError) -> str:
        try:
            found = sysvipc.look_up(self._key)
        except OSError:
            return f"cannot create shared memory, key {self._key:#x}: {error.strerror}"
        if self._is_strange(found):
            return self._refusal(found)
        reason = error.strerror
        if error.errno == errno.EINVAL:  # shmget(2) means a segment that is too small
            reason = f"it has fewer than the {ctypes.sizeof(ShmTime)} bytes of a refclock"
        return f"cannot attach to shared memory, {self._describe(found)}: {reason}; {self._remedy}"

    @property
    def _remedy(self) -> str:
        return (
            f"stop its consumer, remove it by 'ipcrm -M {self._key:#x}',"
            " and start the consumer after webntpd's next sample"
        )


def precision_exponent(error: float) -> int:
    """The least p with 2**p >= error, s, within what a consumer can use.

    It is the only channel for an error bound: consumers add 2**p to the root distance.
    """
    # frexp rather than log2, whose result is rounded: error = mantissa * 2**exponent.
    mantissa, exponent = math.frexp(min(max(error, MIN_ERROR), MAX_ERROR))
    return exponent - (mantissa == 0.5)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
