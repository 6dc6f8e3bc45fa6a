"""The socket refclock of chrony and ntpd-rs: each sample is one Unix datagram of 40 bytes.

The consumer makes the socket, and a new one at every start, so nothing is connected or kept: each
sample is sent to the path. A consumer that is away is normal, and is counted and survived.
"""

import errno
import logging
import os
import socket
import struct
from pathlib import Path

from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import NS_PER_S
from webntpd.refclock.base import RefclockError
from webntpd.refclock.samples import SampleCounts
from webntpd.status.snapshot import RefclockStatus

# struct sock_sample: long tv_sec, long tv_usec, double offset, int pulse, leap, pad, magic
SAMPLE = struct.Struct("@lldiiii")
MAGIC = 0x534F434B  # "SOCK"
MAX_PATH = 107  # bytes: sun_path less its final zero

PROBLEMS = {
    errno.ENOENT: "there is no socket {path}: is the consumer running?",
    errno.ECONNREFUSED: "nobody receives on {path}: is the consumer running?",
    errno.EACCES: "no permission to write to {path}: the consumer's unit must hand it over",
    errno.EAGAIN: "{path} is full: the consumer does not read it",
}

logger = logging.getLogger(__name__)


class SockRefclock:
    """A consumer's socket at `path`."""

    def __init__(self, path: Path | str) -> None:
        self._path = os.fspath(path)
        self._samples = SampleCounts(f"SOCK({self._path})")
        self._opened = False

    @property
    def status(self) -> RefclockStatus:
        return self._samples.status

    def open(self) -> None:
        """Raises RefclockError if no socket can have this path."""
        if len(os.fsencode(self._path)) > MAX_PATH:
            raise RefclockError(
                f"{self._path}: a socket's path has at most {MAX_PATH} bytes; use a shorter one"
            )
        self._opened = True
        if os.path.exists(self._path):  # noqa: PTH110 - where Path.exists() raises, this is false
            logger.info("%s: ready", self.status.name)
        else:
            logger.info("%s: waits for the consumer to make its socket", self.status.name)

    def publish(self, publication: Publication) -> None:
        """Send a sample to the socket that is at the path now."""
        if not self._opened or self._samples.repeats(publication):
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(datagram(publication), self._path)
        except OSError as error:
            known = PROBLEMS.get(error.errno or 0, "{path}: {reason}")
            self._samples.failed(known.format(path=self._path, reason=error.strerror))
        else:
            self._samples.succeeded(publication)

    def close(self) -> None:
        """Send no more samples. No descriptor is open between two samples."""
        self._opened = False


def datagram(publication: Publication) -> bytes:
    """A sample as chrony's struct sock_sample, 40 bytes in native order."""
    seconds, nanoseconds = divmod(publication.receive_ns, NS_PER_S)
    pulse = pad = 0
    return SAMPLE.pack(
        seconds, nanoseconds // 1000, publication.offset, pulse, publication.leap, pad, MAGIC
    )
