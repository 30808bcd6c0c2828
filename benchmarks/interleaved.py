"""Loops of calls, timed in turns, so that what disturbs the machine disturbs all.

A cell is one loop: some calls of one peer. In each round every cell runs a few times
and the best counts. A cell's figure is the median over the rounds; a comparison of two
cells is the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from .processes import check_stop

LOOP_NS = 500_000
"""About how long a loop takes: short against a scheduling quantum."""

LOOPS = 3
"""Loops of a cell in a round."""


@dataclass
class Cell:
    """Some calls of one peer.

    Attributes:
        peer: its name in ``PEERS``.
        what: the same for all that are compared with each other.
        loop: makes so many calls; its own cost is in the figure.
        calls_max: calls that one loop may make.
        prepare: what has to be true before each loop; not timed.
        samples: nanoseconds a call, one for each round.
    """

    peer: str
    what: str
    loop: Callable[[int], None]
    calls_max: int
    prepare: Callable[[int], None] = lambda _: None
    samples: list[float] = field(default_factory=list)
    calls: int = 1

    def once(self, calls: int) -> float:
        """Return nanoseconds a call of so many calls."""
        self.prepare(calls)
        began = time.perf_counter_ns()
        self.loop(calls)
        return (time.perf_counter_ns() - began) / calls

    def sample(self) -> float:
        """Return the best of a few loops: the first finds others' data cached."""
        return min(self.once(self.calls) for _ in range(LOOPS))

    def calibrate(self) -> None:
        """Choose how many calls a round makes; warms up too."""
        self.once(1)
        few = min(10, self.calls_max)
        cost = min(self.once(few) for _ in range(3))
        self.calls = max(1, min(self.calls_max, int(LOOP_NS / cost)))


def measure(cells: Sequence[Cell], rounds: int) -> None:
    """Run all cells in turns, with the garbage collector off.

    Args:
        cells: what is run; their samples are replaced.
        rounds: how often each of them is.

    Raises:
        StoppedError: a signal asked the run to stop.
    """
    for cell in cells:
        cell.calibrate()
        cell.samples.clear()
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            check_stop()
            for cell in cells:
                cell.samples.append(cell.sample())
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True)
class Figure:
    """Median and quartiles."""

    middle: float
    low: float
    high: float


def figure(samples: Sequence[float]) -> Figure:
    """Return median and quartiles of samples, of which there are two at least."""
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return Figure(median(samples), low, high)


def ratio(of: Sequence[float], to: Sequence[float]) -> Figure:
    """Return how many times the first is of the second, round by round."""
    return figure([a / b for a, b in zip(of, to, strict=True)])
