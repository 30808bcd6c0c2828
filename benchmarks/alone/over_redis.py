"""The origin's benchmark beside Redis, with many operations: how the means compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..origin import Options, run
from ..rounds import Round

CONCURRENCY = (1, 20)
OPERATIONS = 200_000
RUNS = 5
TITLE = "Mean response time of set, get and delete in turn, beside Redis, microseconds"
NOTE = (
    "Keys of 10 and values of 20 characters, Redis on a unix socket through hiredis; "
    f"{RUNS} runs of each, alternated, each of at least {OPERATIONS:,} operations of "
    "all processes together. The means are those of the run whose mean is the median; "
    "in brackets least and most of the runs. Times: Redis's mean over lilcache's. With "
    "more processes than cores, a time also holds the wait for a core."
)
COLUMNS = {
    "processes": "{concurrency:d}",
    "lilcache": "{lilcache_mean_us:.2f} ({lilcache_low_us:.2f}-{lilcache_high_us:.2f})",
    "Redis": "{redis_mean_us:,.1f} ({redis_low_us:,.1f}-{redis_high_us:,.1f})",
    "times": "{times:,.0f}",
    "lilcache's p99": "{lilcache_p99_us:,.1f}",
    "Redis's p99": "{redis_p99_us:,.1f}",
    "least operations of a run": "{operations:,}",
}


def row_of(concurrency: int, medians: list[Round], runs: list[Round]) -> dict[str, Any]:
    """Return the row of one number of processes, from all its runs."""
    row: dict[str, Any] = {
        "concurrency": concurrency,
        "operations": min(each.operations for each in runs),
        "missed": sum(each.missed for each in runs),
    }
    for median in medians:
        means = [each.mean_us for each in runs if each.cache == median.cache]
        row |= {
            f"{median.cache}_mean_us": median.mean_us,
            f"{median.cache}_low_us": min(means),
            f"{median.cache}_high_us": max(means),
            f"{median.cache}_p99_us": median.p99_us,
        }
    row["times"] = row["redis_mean_us"] / row["lilcache_mean_us"]
    return row


def rows(_folder: Path, options: Options | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of processes.

    Args:
        options: what is measured; None is what the note says.
    """
    report = run(options or Options(CONCURRENCY, operations=OPERATIONS, runs=RUNS))
    for concurrency in dict.fromkeys(row.concurrency for row in report.rows):
        medians = [row for row in report.rows if row.concurrency == concurrency]
        runs = [each for each in report.runs if each.concurrency == concurrency]
        yield row_of(concurrency, medians, runs)
