"""Makes the namespaces, runs the hour in them, and leaves nothing behind."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hostile import abuse, hour

NAMESPACES = (
    "unshare", "--net", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
    "setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time",
)  # fmt: skip
PATIENCE = 60.0
"""For how long an interrupted run may take to end and to print its figures, s."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.hostile", description=hour.__doc__)
    made.add_argument("--minutes", type=float, default=60.0)
    made.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    made.add_argument(
        "--only", nargs="+", default=[], choices=sorted(abuse.BY_NAME), metavar="KIND"
    )
    made.add_argument("--share", type=float, default=0.01, help="of polite polls that may fail")
    made.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return made


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    arguments = parser().parse_args()
    if arguments.inside is not None:
        return hour.inside(
            arguments.inside, arguments.minutes, arguments.only, arguments.share, arguments.json
        )
    if os.geteuid() != 0:
        print("only root may make namespaces", file=sys.stderr)
        return 2
    missing = [each for each in ("unshare", "setpriv", "ip") if shutil.which(each) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    with tempfile.TemporaryDirectory(prefix="webntpd-hostile-") as directory:
        process = subprocess.Popen(
            [
                *NAMESPACES,
                sys.executable,
                "-m",
                "tests.hostile",
                "--inside",
                directory,
                *sys.argv[1:],
            ],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches it as the end of its standard input
        )
        assert process.stdin is not None
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                process.kill()
                process.wait()
            return 130


if __name__ == "__main__":
    sys.exit(main())
