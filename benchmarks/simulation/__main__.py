"""`make simulate`: the table of all scenarios."""

import argparse
import json
import logging
import secrets
import sys

from benchmarks.simulation.day import Outcome, rms, simulate
from benchmarks.simulation.scenarios import SCENARIOS
from webntpd.status import seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--hours", type=float, default=24.0, help="length of a simulated day")
    parser.add_argument("--json", action="store_true", help="figures in seconds, for programs")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.hours:g} h a scenario", file=sys.stderr)
    logging.getLogger("webntpd").addHandler(logging.NullHandler())
    outcomes = []
    if not arguments.json:
        print(HEAD)
    for scenario in SCENARIOS:
        outcome = simulate(scenario, arguments.seed, arguments.hours)
        outcomes.append(outcome)
        if not arguments.json:
            print(row(outcome), flush=True)
    if arguments.json:
        print(json.dumps({"seed": arguments.seed, "scenarios": [as_dict(o) for o in outcomes]}))


HEAD = f"""\
{"":31}{"RMS error of what is published":^36}  {"RMS error of the clock":^28}
{"":31}{"webntpd":>15}{"reference":>15}{"ratio":>6}  {"webntpd":>11}{"reference":>11}{"ratio":>6}"""


def row(outcome: Outcome) -> str:
    ours, reference = outcome.ours, outcome.reference
    text = f"{outcome.scenario.name:31}"
    for errors in (ours, reference):
        text += f"{seconds(rms(errors.published)):>15}"
    text += f"{rms(ours.published) / rms(reference.published):6.2f}  "
    for errors in (ours, reference):
        text += f"{seconds(rms(errors.clock)):>11}"
    return f"{text}{rms(ours.clock) / rms(reference.clock):6.2f}"


def as_dict(outcome: Outcome) -> dict[str, object]:
    return {
        "scenario": outcome.scenario.name,
        **{
            who: {
                "publications": len(errors.published),
                "published_rms": rms(errors.published),
                "clock_rms": rms(errors.clock),
            }
            for who, errors in (("webntpd", outcome.ours), ("reference", outcome.reference))
        },
    }


if __name__ == "__main__":
    main()
