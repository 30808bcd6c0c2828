"""The demo: four Gunicorn workers share one cache, one of them is killed.

A real Gunicorn serves a slow computation that is cached in lilcache. Several clients
send real HTTP requests; one worker is ended with SIGKILL meanwhile. Then lilcache is
compared with Redis. The exit status is 0 only if all checks hold.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tabulate import tabulate

import lilcache

from .. import origin
from ..processes import BenchmarkError, StoppedError, catch_stop_signals
from ..report import table
from . import scenario
from .checks import checks_table, hits_table, sharing_table
from .gunicorn_conf import WORKERS

STATS = (
    "hits",
    "misses",
    "sets",
    "items",
    "live_bytes",
    "size_bytes",
    "evictions",
    "repaired",
    "rebuilt",
    "emptied",
)


def run_load(options: scenario.Options) -> bool:
    """Run the load, print what happened, and return whether all checks held."""
    print(f"Gunicorn with {WORKERS} sync workers, one of them killed under load\n")
    outcome = scenario.run(options)
    print("Hits by worker\n")
    print(hits_table(outcome.replies, outcome.notes))
    print("\nHits by the worker that served and the worker that had computed\n")
    print(sharing_table(outcome.replies, outcome.notes))
    print("\nThe cache's own statistics\n")
    rows = [(name, f"{outcome.stats[name]:,}") for name in STATS]
    print(tabulate(rows, tablefmt="plain", colalign=("left", "right")))
    checks = scenario.check(outcome)
    print("\nChecks\n")
    print(checks_table(checks))
    for failed in (check for check in checks if not check.holds):
        print(f"\nerror: it does not hold that {failed.name}: {failed.found}")
    return all(check.holds for check in checks)


def run_origin() -> None:
    """Run the quick form of the origin benchmark and print its table."""
    print("\nlilcache beside Redis (quick form of `python -m benchmarks.origin`)\n")
    print(table(origin.run(origin.QUICK)))


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo", description=(__doc__ or "").split("\n")[0]
    )
    default = scenario.Options()
    for name, text in (
        ("requests", "requests before the kill"),
        ("items", "different items before the kill"),
        ("clients", "client threads"),
    ):
        parser.add_argument(
            f"--{name}",
            type=origin.positive_int,
            default=getattr(default, name),
            metavar="N",
            help=f"{text} (default: %(default)s)",
        )
    parser.add_argument(
        "--no-benchmark",
        action="store_true",
        help="leave the comparison with Redis out",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    given = parse_arguments(arguments)
    options = scenario.Options(given.requests, given.items, given.clients)
    catch_stop_signals()
    started = time.monotonic()
    try:
        holds = run_load(options)
        if holds and not given.no_benchmark:
            run_origin()
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum
    except (BenchmarkError, lilcache.LilcacheError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{time.monotonic() - started:.0f} s in total")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
