"""Reads the leap-seconds list from its files: the system's, and the one that was fetched."""

import logging
from pathlib import Path

from webntpd.leap.list import LeapError, LeapList, parse_leap_list

log = logging.getLogger(__name__)


def newest_leap_list(
    path: Path, fetched: Path | None, held: LeapList | None = None
) -> LeapList | None:
    """The list that expires last: the one at `path`, the fetched one, or the one held."""
    found = [held, load_leap_list(path)]
    if fetched is not None and fetched.exists():
        found.append(load_leap_list(fetched))
    lists = [each for each in found if each is not None]
    return max(lists, key=lambda each: each.expires_ns, default=None)


def load_leap_list(path: Path) -> LeapList | None:
    """The verified list at `path`; None, said once a call, when there is none or it is bad."""
    try:
        return parse_leap_list(path.read_bytes())
    except FileNotFoundError:
        log.info("no leap-seconds list at %s: leap seconds come from the peers", path)
    except (OSError, LeapError) as error:
        log.warning("leap-seconds list %s is not used: %s", path, error)
    return None
