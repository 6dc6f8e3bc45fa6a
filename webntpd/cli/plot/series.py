"""What there is to draw: the records of each peer, read from the statistics files."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import isnan, nan
from pathlib import Path
from statistics import median

from webntpd.statistics.lines import File, PeerLine, parse_peerstats

GAP = 4.0
"""Where no record comes for so many times the usual interval, there was none to come."""
MARGIN = 0.05
"""Of a range, above and below what is in it."""
TINY = 1e-9
"""The margin of a range without any width, s."""

Series = Mapping[str, Sequence[PeerLine]]
"""The records of each source, in the order of time."""


def read_peerstats(directory: Path, since: float) -> Series:
    """The records since an instant of Unix time, of all days' files. Raises OSError."""
    found: dict[str, list[PeerLine]] = defaultdict(list)
    for path in directory.iterdir():
        if path.name.startswith(f"{File.PEERSTATS}.") and path.stat().st_mtime >= since:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for record in filter(None, map(parse_peerstats, lines)):
                    if record.at >= since:
                        found[record.source].append(record)
    return {
        source: with_gaps(sorted(found[source], key=lambda record: record.at))
        for source in sorted(found)
    }


def with_gaps(records: Sequence[PeerLine]) -> list[PeerLine]:
    """The records, and one of no figures in every gap, so that no line is drawn across it."""
    if not records:
        return []
    intervals = [later.at - earlier.at for earlier, later in pairwise(records)]
    longest = GAP * median(intervals or [0.0])
    result = [records[0]]
    for record, interval in zip(records[1:], intervals, strict=True):
        if interval > longest:
            at = record.at - interval / 2
            none = replace(record, at=at, offset=nan, delay=nan, dispersion=nan, jitter=nan)
            result.append(none)
        result.append(record)
    return result


def error_bound(record: PeerLine) -> float:
    """What bounds an offset's error, s, as far as peerstats tell (RFC 5905 A.5.5.2)."""
    return record.delay / 2 + record.dispersion + record.jitter


def offset_range(series: Series) -> tuple[float, float]:
    """The least and the greatest offset that a picture must show, with a margin, s.

    All offsets, and the bounds of the peer whose error is the least. The bounds of a far server,
    a hundred times as wide, would make a flat line of everything else: they are cut off.
    """
    known = [[each for each in records if not isnan(each.offset)] for records in series.values()]
    best = min(known, key=lambda records: median(map(error_bound, records)))
    shown = [record.offset for records in known for record in records]
    shown += [record.offset + error_bound(record) for record in best]
    shown += [record.offset - error_bound(record) for record in best]
    least, greatest = min(shown), max(shown)
    margin = MARGIN * (greatest - least) or TINY
    return least - margin, greatest + margin
