"""The benchmark of the project's origin: lilcache beside Redis.

Several processes set, get and delete one key after the other in equal shares, with keys
of 10 and values of 20 characters. Redis runs without persistence on a unix socket and
is spoken to through hiredis, with one kept connection per process. All processes are
connected and warm before they are released at the same moment, and each goes on for the
same time, so that they compete to the end; the faster cache does more operations.

Every call is timed alone with ``time.perf_counter_ns``. Nothing is subtracted: the cost
of reading the clock is included for both. With more processes than processors, a
response time also holds the time in which others had the processor. The runs of the two
caches alternate; a row is the run whose mean is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import redis
from redis.utils import HIREDIS_AVAILABLE

import lilcache

from .processes import BenchmarkError, StoppedError, catch_stop_signals
from .progress import progress_bar
from .redis_server import RedisServer, find_redis_server
from .report import Report, machine_facts, table
from .rounds import Round, median_round, sum_up
from .workload import Client, run_processes

SIZE_MB = 64
DEFAULT_CONCURRENCY = (1, 5, 10, 20)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        concurrency: numbers of processes.
        operations: least number of operations in a round, of all processes together.
        seconds: least duration of a round; short rounds would let the first processes
            end before the last ones have begun.
        runs: rounds of each cache at each concurrency.
        redis_server: path of the redis-server program; None searches.
    """

    concurrency: tuple[int, ...] = DEFAULT_CONCURRENCY
    operations: int = 12_000
    seconds: float = 1.0
    runs: int = 5
    redis_server: str | None = None


QUICK = Options(operations=3_000, seconds=0.4, runs=3)


def connect_redis(socket_path: str) -> Client:
    """Return the calls of a Redis client that keeps one connection."""
    # A connection of its own spares every call the way through the pool, and decoding
    # makes a get return the str that was set, as lilcache does.
    client = redis.Redis(
        unix_socket_path=socket_path,
        decode_responses=True,
        single_connection_client=True,
    )
    client.ping()
    return Client(client.set, client.get, client.delete)


def connect_lilcache(name: str) -> Client:
    """Return the calls of the lilcache segment of this name."""
    cache = lilcache.init(size_mb=SIZE_MB, name=name)
    return Client(cache.set, cache.get, cache.delete)


def measure_all(
    options: Options, connects: Mapping[str, Callable[[], Client]]
) -> list[Round]:
    """Measure all caches at every concurrency, in alternation.

    Args:
        options: what to measure.
        connects: for each type of cache, what connects a process to it.

    Returns:
        Every round, in the order of time.
    """
    plan = [
        (concurrency, cache_type)
        for concurrency in options.concurrency
        for _ in range(options.runs)
        for cache_type in connects
    ]
    rounds: list[Round] = []
    with progress_bar(len(plan), "benchmark", "round") as bar:
        for concurrency, cache_type in plan:
            timings = run_processes(
                connects[cache_type], concurrency, options.operations, options.seconds
            )
            rounds.append(sum_up(cache_type, timings))
            bar.update()
    return rounds


def run(options: Options) -> Report:
    """Measure both caches and return the report.

    Leaves no process, no segment and no socket behind, however it ends.

    Raises:
        BenchmarkError: Redis or hiredis is missing, or a process failed.
        StoppedError: a signal asked the run to stop.
    """
    if not HIREDIS_AVAILABLE:
        raise BenchmarkError("hiredis is missing: `pip install redis[hiredis]`")
    name = f"origin-{os.getpid()}-{secrets.token_hex(4)}"
    with RedisServer(find_redis_server(options.redis_server)) as server:
        connects = {
            "lilcache": partial(connect_lilcache, name),
            "redis": partial(connect_redis, server.socket_path),
        }
        # Attached before the forks, as a preloading server does; every process calls
        # init again, which is idempotent.
        segment = lilcache.init(size_mb=SIZE_MB, name=name)
        try:
            runs = measure_all(options, connects)
        finally:
            segment.destroy()
        machine = machine_facts(server.version)
    by_row: dict[tuple[int, str], list[Round]] = {}
    for round_ in runs:
        by_row.setdefault((round_.concurrency, round_.cache), []).append(round_)
    return Report(list(map(median_round, by_row.values())), runs, machine)


def positive_int(text: str) -> int:
    """Return a command-line argument as a number of at least one."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parse_options(arguments: Sequence[str] | None) -> tuple[Options, Path | None]:
    """Return the options of a command line and the file for the JSON report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.origin", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--concurrency",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="numbers of processes (default: 1 5 10 20)",
    )
    parser.add_argument(
        "--operations",
        type=positive_int,
        metavar="N",
        help=f"least operations in a round (default: {Options.operations})",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"least duration of a round in seconds (default: {Options.seconds})",
    )
    parser.add_argument(
        "--runs",
        type=positive_int,
        metavar="N",
        help=f"rounds of each cache at each concurrency (default: {Options.runs})",
    )
    parser.add_argument(
        "--quick", action="store_true", help="short rounds, for a first look"
    )
    parser.add_argument(
        "--redis-server", metavar="PATH", help="redis-server program to run"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the report to FILE"
    )
    given = vars(parser.parse_args(arguments))
    json_file: Path | None = given.pop("json")
    if json_file is not None and not json_file.parent.is_dir():
        parser.error(f"no directory {json_file.parent} for the JSON report")
    values = asdict(QUICK if given.pop("quick") else Options())
    values.update({name: value for name, value in given.items() if value is not None})
    values["concurrency"] = tuple(dict.fromkeys(values["concurrency"]))
    return Options(**values), json_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options, json_file = parse_options(arguments)
    catch_stop_signals()
    try:
        report = run(options)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum
    except (BenchmarkError, lilcache.LilcacheError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(report))
    if json_file is not None:
        content = {"options": asdict(options), "times_faster": report.times_faster()}
        content |= asdict(report)
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
