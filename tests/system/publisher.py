"""Publish an offset twice a second, with no daemon: python -m tests.system.publisher OUTPUT OFFSET

OUTPUT is a unit of shared memory or the path of a socket. A sample's error is a millisecond.
"""

import sys
import time
from pathlib import Path

from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import Leap
from webntpd.refclock.base import Refclock
from webntpd.refclock.shm import ShmRefclock
from webntpd.refclock.sock import SockRefclock

output, offset = sys.argv[1:]
refclock: Refclock = ShmRefclock(int(output)) if output.isdigit() else SockRefclock(Path(output))
refclock.open()
print("ready", flush=True)
while True:
    refclock.publish(Publication(time.time_ns(), float(offset), 1e-3, Leap.NONE))
    time.sleep(0.5)
