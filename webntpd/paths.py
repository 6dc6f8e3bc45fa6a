"""Where things are on the machine: what the daemon and its clients must agree on."""

from pathlib import Path

CONFIG_VARIABLE = "WEBNTPD_CONFIG"
"""Names the configuration; every other variable with the prefix is a key of it."""
DEFAULT_CONFIG = Path("/etc/webntpd.toml")

CONTROL_VARIABLE = "WEBNTPD_CONTROL__SOCKET"
"""The configuration's key `socket` in [control], as the environment has it."""
DEFAULT_CONTROL = Path("/run/webntpd/control.sock")

DEFAULT_STATISTICS = Path("/var/log/webntpd")
"""What the service may write to; statistics are off until the configuration names a directory."""
