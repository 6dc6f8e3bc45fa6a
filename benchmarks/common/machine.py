"""The machine that figures are of."""

import os
import platform


def machine() -> str:
    """What bears on the figures: a machine that others use too is not idle."""
    load, _, _ = os.getloadavg()
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.release()},"
        f" {os.cpu_count()} cores, load {load:.1f}"
    )
