"""The report of the origin benchmark: its rows, its table, and facts on the machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tabulate import tabulate

import lilcache

from .rounds import Round

HEADERS = (
    "cache type",
    "concurrency",
    "operations",
    "mean",
    "lowest",
    "highest",
    "median",
    "99th percentile",
)


@dataclass(frozen=True)
class Report:
    """What was measured, and where.

    Attributes:
        rows: one round for each cache and concurrency, the median of its runs.
        runs: every round, in the order of time.
        machine: facts on the machine and the software.
    """

    rows: list[Round]
    runs: list[Round]
    machine: dict[str, Any]

    def times_faster(self) -> dict[int, float]:
        """Return, by concurrency, Redis's mean response time over lilcache's."""
        means = {(row.cache, row.concurrency): row.mean_us for row in self.rows}
        return {
            concurrency: means["redis", concurrency] / mean_us
            for (cache, concurrency), mean_us in means.items()
            if cache == "lilcache"
        }


def machine_facts(redis_version: str) -> dict[str, Any]:
    """Return facts that the numbers depend on."""
    cpu_info = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    models = (line for line in cpu_info if line.startswith("model name"))
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu_count": os.cpu_count(),
        "cpus_allowed": len(os.sched_getaffinity(0)),
        "cpu_model": next(models, platform.machine()).partition(":")[2].strip(),
        "lilcache": lilcache.__version__,
        "redis_server": redis_version,
        "redis_client": version("redis"),
        "hiredis": version("hiredis"),
    }


def table(report: Report) -> str:
    """Return the table of a report and the line that compares the two caches."""
    cells = [
        (
            row.cache,
            row.concurrency,
            f"{row.operations:,}",
            row.mean_us,
            row.lowest_us,
            row.highest_us,
            row.median_us,
            row.p99_us,
        )
        for row in report.rows
    ]
    faster = ", ".join(
        f"{times:.1f} at concurrency {concurrency}"
        for concurrency, times in report.times_faster().items()
    )
    lines = tabulate(
        cells,
        HEADERS,
        tablefmt="github",
        floatfmt=".2f",
        colalign=("left",) + ("right",) * (len(HEADERS) - 1),
        disable_numparse=[2],
    )
    return (
        f"Response times in microseconds, Redis {report.machine['redis_server']}, "
        f"{report.machine['cpus_allowed']} processors:\n\n{lines}\n\n"
        f"Times faster than Redis, by the mean: {faster}."
    )
