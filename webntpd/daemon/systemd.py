"""The service manager's side: readiness, state in words, and the watchdog (sd_notify(3))."""

import os
import time

import sdnotify

MICROSECONDS = 1e-6


class Notifier:
    """Tells systemd the state of the daemon. Without systemd every call does nothing."""

    def __init__(self) -> None:
        self._systemd = None
        if "NOTIFY_SOCKET" in os.environ:
            self._systemd = sdnotify.SystemdNotifier()
            if self._systemd.socket:
                # A service manager that does not read must not hold up the peers.
                self._systemd.socket.settimeout(0)
        self._last_status = ""

    def ready(self) -> None:
        self._notify("READY=1")

    def status(self, text: str) -> None:
        """Show `text` in `systemctl status`; sent only if it changed."""
        if text != self._last_status:
            self._last_status = text
            self._notify(f"STATUS={text}")

    def reloading(self) -> None:
        """Announce a reload; ready() must follow. systemd needs the monotonic time, us."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    def alive(self) -> None:
        self._notify("WATCHDOG=1")

    def close(self) -> None:
        if self._systemd and self._systemd.socket:
            self._systemd.socket.close()

    def _notify(self, state: str) -> None:
        if self._systemd:
            # sdnotify encodes as Latin-1, but systemd reads UTF-8.
            self._systemd.notify(state.encode().decode("latin-1"))


def watchdog_interval() -> float | None:
    """Half of the watchdog's timeout, s; None without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) * MICROSECONDS / 2 if microseconds.isdecimal() else None
