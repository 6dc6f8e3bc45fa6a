"""wrk, which makes the load over HTTP."""

import json
from pathlib import Path

from benchmarks.common.process import running
from benchmarks.server.load import LoadError, Outcome

# What wrk prints by itself is rounded for people.
SCRIPT = """\
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
GRACE = 10.0
"""How long wrk may take beside the load itself, s."""


def wrk(port: int, connections: int, seconds: int, directory: Path) -> Outcome:
    """Load a port of loopback over that many connections, with one request under way on each."""
    script = directory / "done.lua"
    script.write_text(SCRIPT)
    url = f"http://127.0.0.1:{port}/json?1489217288.328757"
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    with running(["wrk", *options, url]) as process:
        return parse(process.output(seconds + GRACE))


def parse(output: str) -> Outcome:
    """The outcome from wrk's output, the last line of which is the script's."""
    found = json.loads(output.splitlines()[-1])
    if found["errors"] or not found["requests"]:
        raise LoadError(f"wrk had errors:\n{output}")
    return Outcome(
        rate=found["requests"] / found["us"] * 1e6,
        p50=found["p50_us"] / 1e6,
        p99=found["p99_us"] / 1e6,
    )
