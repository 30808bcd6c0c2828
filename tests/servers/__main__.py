"""Servers whose workers die: python -m tests.servers --kills N --seed S.

Starts each kind of server, loads it, and harms random workers of it: SIGKILL, SIGTERM,
SIGSTOP with SIGCONT a little later, and a death out of memory. The exit status is 1 on
any violation.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tabulate import tabulate

from benchmarks.processes import BenchmarkError, StoppedError, catch_stop_signals

from .campaign import Campaign, Options, Outcome
from .killer import WAYS
from .kinds import KINDS

HEADERS = (
    "server",
    *WAYS,
    "requests",
    "resets",
    "hung",
    "wrong",
    "leaks",
    "repaired",
    "slowest ms",
    "beside a stop ms",
    "req/s before",
    "after",
    "ratio",
    "of",
    "seconds",
)


def row(outcome: Outcome) -> tuple[object, ...]:
    """Return one line of the report."""
    tally = outcome.tally
    return (
        outcome.kind.name,
        *(outcome.done[way] for way in WAYS),
        tally.requests,
        len(tally.resets),
        len(tally.hung),
        tally.wrong_count,
        len(outcome.leaks),
        outcome.repaired,
        f"{tally.longest * 1e3:.0f}",
        f"{outcome.others * 1e3:.0f}",
        *(f"{rate:.0f}" for rate in outcome.rates),
        f"{outcome.ratio:.3f}",
        outcome.attempts,
        f"{outcome.seconds:.0f}",
    )


def total(outcomes: list[Outcome]) -> str:
    """Return the sums of all campaigns as one line."""
    done = sum((outcome.done for outcome in outcomes), Counter[str]())
    tallies = [outcome.tally for outcome in outcomes]
    numbers = {
        **{way: done[way] for way in WAYS},
        "requests": sum(tally.requests for tally in tallies),
        "resets": sum(len(tally.resets) for tally in tallies),
        "hung": sum(len(tally.hung) for tally in tallies),
        "wrong": sum(tally.wrong_count for tally in tallies),
        "leaks": sum(len(outcome.leaks) for outcome in outcomes),
        "repaired": sum(outcome.repaired for outcome in outcomes),
    }
    counted = ", ".join(f"{name} {number:,}" for name, number in numbers.items())
    ratios = ", ".join(f"{outcome.ratio:.3f}" for outcome in outcomes)
    return f"{sum(done.values())} workers harmed: {counted}; throughput {ratios}"


def parse_arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers")
    add = parser.add_argument
    add("--kills", type=int, default=50, help="of all servers together")
    add("--seed", type=int, default=1)
    add("--kinds", type=int, default=len(KINDS), help="the first so many kinds only")
    add("--only", nargs="+", metavar="KIND", help="these kinds only")
    add("--window", type=float, default=1.0, help="seconds of a window")
    arguments = parser.parse_args()
    unknown = set(arguments.only or ()) - {kind.name for kind in KINDS}
    if unknown:
        parser.error(f"no kind {sorted(unknown)}: {[kind.name for kind in KINDS]}")
    return arguments


def main() -> int:
    """Run all campaigns and return the exit status."""
    arguments = parse_arguments()
    catch_stop_signals()
    first = KINDS[: arguments.kinds]
    chosen = [k for k in first if not arguments.only or k.name in arguments.only]
    outcomes = []
    left = arguments.kills
    for number, kind in enumerate(chosen):
        kills = left // (len(chosen) - number)
        left -= kills
        options = Options(kills, arguments.seed + number, arguments.window)
        campaign = Campaign(kind, options)
        outcomes.append(campaign.outcome)
        try:
            campaign.run()
        except StoppedError as stopped:
            print(stopped, file=sys.stderr)
            return 128 + stopped.signum
        except BenchmarkError as error:
            campaign.outcome.violations.append(str(error))
        for violation in campaign.outcome.violations:
            print(f"VIOLATION: {kind.name}: {violation}", flush=True)
        print(f"{kind.name}: {total([campaign.outcome])}", flush=True)
    print(tabulate(map(row, outcomes), HEADERS), flush=True)
    print(total(outcomes), flush=True)
    return int(any(outcome.violations for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
