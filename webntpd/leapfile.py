"""Reads the leap-seconds list from a file."""

import logging
from pathlib import Path

from webntpd.leap import LeapError, LeapList, parse_leap_list

log = logging.getLogger(__name__)


def load_leap_list(path: Path) -> LeapList | None:
    """The verified list at `path`; None, said once a call, when there is none or it is bad."""
    try:
        return parse_leap_list(path.read_bytes())
    except FileNotFoundError:
        log.info("no leap-seconds list at %s: leap seconds come from the peers", path)
    except (OSError, LeapError) as error:
        log.warning("leap-seconds list %s is not used: %s", path, error)
    return None
