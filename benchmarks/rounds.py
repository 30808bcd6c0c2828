"""Rounds of the origin benchmark: what the processes measured, summed up in one row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median_low

from .workload import Timings

NS_PER_US = 1000.0
NS_PER_S = 1e9


@dataclass(frozen=True)
class Round:
    """One cache at one concurrency, once; response times in microseconds.

    Attributes:
        cache: type of the cache.
        concurrency: number of processes.
        operations: number of operations of all processes together.
        mean_us: mean response time.
        lowest_us: shortest response time.
        highest_us: longest response time.
        median_us: median response time.
        p99_us: 99th percentile of the response times.
        seconds: from the first process's start to the last one's end.
        overlap: part of these seconds in which all processes were at work, 0 to 1.
        missed: gets that found nothing although the key had been set.
        mean_us_by_operation: mean response time of each operation.
    """

    cache: str
    concurrency: int
    operations: int
    mean_us: float
    lowest_us: float
    highest_us: float
    median_us: float
    p99_us: float
    seconds: float
    overlap: float
    missed: int
    mean_us_by_operation: dict[str, float]


def mean_of(counts: Counter[int]) -> float:
    """Return the mean of values given as how often each occurred."""
    return sum(value * count for value, count in counts.items()) / counts.total()


def percentile_of(counts: Counter[int], percent: float) -> int:
    """Return the smallest value that at least this many percent do not exceed."""
    wanted = counts.total() * percent / 100
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    raise ValueError("no values")


def sum_up(cache: str, timings: list[Timings]) -> Round:
    """Return the row of one round from what each of its processes measured."""
    by_operation: dict[str, Counter[int]] = {}
    for timing in timings:
        for operation, counts in timing.counts.items():
            by_operation.setdefault(operation, Counter()).update(counts)
    every: Counter[int] = Counter()
    for counts in by_operation.values():
        every.update(counts)
    span_ns = max(t.ended_ns for t in timings) - min(t.started_ns for t in timings)
    all_ns = min(t.ended_ns for t in timings) - max(t.started_ns for t in timings)
    return Round(
        cache=cache,
        concurrency=len(timings),
        operations=every.total(),
        mean_us=mean_of(every) / NS_PER_US,
        lowest_us=min(every) / NS_PER_US,
        highest_us=max(every) / NS_PER_US,
        median_us=percentile_of(every, 50) / NS_PER_US,
        p99_us=percentile_of(every, 99) / NS_PER_US,
        seconds=span_ns / NS_PER_S,
        overlap=max(0.0, all_ns / span_ns),
        missed=sum(timing.missed for timing in timings),
        mean_us_by_operation={
            operation: mean_of(counts) / NS_PER_US
            for operation, counts in by_operation.items()
        },
    )


def median_round(rounds: list[Round]) -> Round:
    """Return the round whose mean response time is the median of all.

    A whole round rather than a median for each column, so that the numbers of a row
    belong together.
    """
    middle = median_low(round_.mean_us for round_ in rounds)
    return next(round_ for round_ in rounds if round_.mean_us == middle)
