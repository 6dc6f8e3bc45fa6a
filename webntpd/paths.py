"""Where things are on the machine: what the daemon and its clients must agree on."""

from pathlib import Path

CONFIG_VARIABLE = "WEBNTPD_CONFIG"
"""Names the configuration; every variable with the prefix and "__" is a key of it."""
LOG_FORMAT_VARIABLE = "WEBNTPD_LOG_FORMAT"
"""Says how to write log lines where --log-format does not; worker processes inherit it."""
DEFAULT_CONFIG = Path("/etc/webntpd.toml")

CONTROL_VARIABLE = "WEBNTPD_CONTROL__SOCKET"
"""The configuration's key `socket` in [control], as the environment has it."""
DEFAULT_CONTROL = Path("/run/webntpd/control.sock")

DEFAULT_STATE = Path("/var/lib/webntpd/state")
"""Where the daemon keeps the oscillator's frequency from one run to the next."""

DEFAULT_STATISTICS = Path("/var/log/webntpd")
"""What the service may write to; statistics are off until the configuration names a directory."""
