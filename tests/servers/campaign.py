"""One server from start to end: load, deaths, and what must hold after them."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import lilcache
from benchmarks.processes import BenchmarkError

from . import values
from .cgroup import MemoryGroup
from .client import CAS_COUNTERS, COUNTERS, Slow, Tally
from .killer import Killer, Stop
from .kinds import Kind
from .load import Load, count_answers
from .server import Server
from .settings import STANDING_KEY, STANDING_VALUE

MAX_PROCESSES = 16
"""Rows of the segment: fewer than die, so that their rows have to be used again."""

LOCK_TIMEOUT_S = 1.0
FILLINGS = 64
PROGRESS = 25
THROUGHPUT = 0.9
ATTEMPTS = 3
SWEEP_BYTES = 1 << 20
SWEEP_PAUSE_S = 0.2
SHM = Path("/dev/shm")


@dataclass
class Outcome:
    """What one server's campaign found.

    Attributes:
        kind: the server.
        done: kills and stops, by way.
        tally: what the clients saw.
        repaired: interrupted steps that the cache has finished or dropped.
        others: longest answer, in seconds inside the worker, of workers that ran while
            another was stopped.
        ratio: throughput after to before, each relative to the untouched server.
        rates: requests a second before and after, while the server has its turn.
        attempts: measurements that this took.
        violations: what did not hold.
        leaks: what was left behind, among the violations.
        seconds: of everything.
    """

    kind: Kind
    done: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    repaired: int = 0
    others: float = 0.0
    ratio: float = 0.0
    rates: tuple[float, float] = (0.0, 0.0)
    attempts: int = 0
    violations: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Options:
    """How much to do.

    Attributes:
        kills: kills and stops.
        seed: of all choices.
        window_s: seconds of each window of a measurement, the untouched server's
            turns included.
        windows: how many windows there are.
    """

    kills: int
    seed: int
    window_s: float = 1.0
    windows: int = 5


class Campaign:
    """The campaign against one kind of server.

    Attributes:
        outcome: what was found so far.
    """

    def __init__(self, kind: Kind, options: Options) -> None:
        self._kind = kind
        self._options = options
        self.outcome = Outcome(kind)
        self._name = f"servers-{os.getpid()}-{secrets.token_hex(4)}"

    def run(self) -> Outcome:
        """Run it; leaves no process, segment, file or cgroup behind.

        Raises:
            BenchmarkError: a server did not do its part.
            StoppedError: a signal asked the run to stop.
        """
        started = time.monotonic()
        names = (self._name, f"{self._name}-control")
        with ExitStack() as stack:
            caches = [self._make(stack, name) for name in names]
            self._serve(caches[0])
            self._check_end(caches[0])
        left = [path.name for path in SHM.glob(f"*{self._name}*")]
        self._leak(not left, f"objects in {SHM}: {left}")
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    def _make(self, stack: ExitStack, name: str) -> lilcache.Cache:
        cache = lilcache.Cache(
            name, size_mb=self._kind.size_mb, max_processes=MAX_PROCESSES
        )
        stack.callback(_destroy, cache)
        cache.set(STANDING_KEY, STANDING_VALUE)
        if self._kind.evicts:  # already while throughput is measured first
            for number in range(FILLINGS):
                cache.set(f"filling{number}", bytes(values.LARGE))
        return cache

    def _serve(self, cache: lilcache.Cache) -> None:
        with ExitStack() as stack:
            group = stack.enter_context(MemoryGroup())
            server = stack.enter_context(Server(self._kind, self._name))
            control = stack.enter_context(Server(self._kind, f"{self._name}-control"))
            # What noise adds to one of two measurements it hardly adds to both.
            before = min(self._throughput(server, control) for _ in range(2))
            killer = Killer(server, group, random.Random(self._options.seed))
            with Load(server.socket, self._kind, self._options.seed) as load:
                for number in range(1, self._options.kills + 1):
                    killer.strike()
                    if number % PROGRESS == 0:
                        print(f"{self._kind.name}: {number} harmed", flush=True)
                tally = load.finish()
            self.outcome.done = killer.done
            self.outcome.tally = tally
            self._judge_answers(tally, killer)
            self._judge_stops(tally.slow, killer.stops)
            self._judge_throughput(before, server, control)
            self._check_attached(cache, server)
            self._check_counters(cache, tally)

    # --- throughput -----------------------------------------------------------------

    def _throughput(self, server: Server, control: Server) -> tuple[float, float]:
        """Return the median of the ratio to the untouched server, and the rate."""
        sockets = (server.socket, control.socket)
        options = self._options
        tested, untouched = count_answers(
            sockets, self._kind.callers, options.windows, options.window_s
        )
        if not all(untouched):
            raise BenchmarkError(f"a window without any answer: {untouched}")
        pairs = zip(tested, untouched, strict=True)
        loaded_s = options.window_s / len(sockets)
        return median(t / u for t, u in pairs), median(tested) / loaded_s

    def _judge_throughput(
        self, before: tuple[float, float], server: Server, control: Server
    ) -> None:
        # The servers take turns within each window, so what else the machine does
        # strikes both. What is left of the noise may make one measurement fall short;
        # a slower server would fall short in all.
        outcome = self.outcome
        while outcome.ratio < THROUGHPUT and outcome.attempts < ATTEMPTS:
            after = self._throughput(server, control)
            outcome.attempts += 1
            if after[0] / before[0] > outcome.ratio:
                outcome.ratio = after[0] / before[0]
                outcome.rates = (before[1], after[1])
        self._hold(
            outcome.ratio >= THROUGHPUT,
            f"throughput after is {outcome.ratio:.3f} of before",
        )

    # --- what the clients saw -------------------------------------------------------

    def _judge_answers(self, tally: Tally, killer: Killer) -> None:
        self._hold(not tally.hung, f"hung requests: {tally.hung}")
        self._hold(not tally.wrong, f"{tally.wrong_count} wrong: {tally.wrong}")
        self._hold(not tally.busy, f"{tally.busy} lock timeouts")
        most = len(killer.deaths) * self._kind.at_once
        self._hold(
            len(tally.resets) <= most,
            f"{len(tally.resets)} resets, more than {most} that the dead had in hand",
        )
        self._hold(tally.requests > 0, "no request was answered")

    def _judge_stops(self, slow: list[Slow], stops: list[Stop]) -> None:
        """Whoever runs waits for a stopped worker no longer than for a lock."""
        self.outcome.others = max(
            (
                answer.took
                for answer in slow
                for stop in stops
                if answer.pid != stop.pid
                and answer.sent < stop.ended
                and answer.ended > stop.began
            ),
            default=0.0,
        )
        self._hold(
            self.outcome.others <= LOCK_TIMEOUT_S,
            f"{self.outcome.others:.2f} s beside a stopped worker",
        )

    # --- what the segment is like ---------------------------------------------------

    def _check_counters(self, cache: lilcache.Cache, tally: Tally) -> None:
        if self._kind.evicts:
            return
        finals = {f"counter{n}": cache.get(f"counter{n}", 0) for n in range(COUNTERS)}
        for number in range(CAS_COUNTERS):
            key = f"cas{number}"
            value = cache.get(key)
            finals[key] = 0 if value is None else values.read(key, value).serial
        for key, final in finals.items():
            problem = tally.counts.check(key, final)
            self._hold(problem is None, str(problem))

    def _check_attached(self, cache: lilcache.Cache, server: Server) -> None:
        """With the server idle: one row and one pin for each process that lives."""
        mapped = [p for p in server.tree() if _maps(p.pid, self._name)]
        stats = cache.stats()
        problems = cache.check()
        self._hold(not problems, f"check(): {problems}")
        self._hold(not stats.rebuilt, f"rebuilt {stats.rebuilt}")
        self._hold(not stats.emptied, f"emptied {stats.emptied}")
        self._hold(
            bool(stats.evictions) == self._kind.evicts,
            f"{stats.evictions} evictions",
        )
        self.outcome.repaired = stats.repaired
        _sweep(cache)
        stats = cache.stats()
        rows = len(mapped) + 1  # and this process
        self._leak(
            stats.processes == rows, f"{stats.processes} process rows for {rows}"
        )
        pins = len(mapped)  # the standing view of each
        self._leak(stats.pins == pins, f"{stats.pins} pins instead of {pins}")

    def _check_end(self, cache: lilcache.Cache) -> None:
        """With the server gone: nothing of it is left."""
        _sweep(cache)
        stats = cache.stats()
        problems = cache.check()
        self._hold(not problems, f"check() at the end: {problems}")
        self._leak(stats.processes == 1, f"{stats.processes} process rows at the end")
        self._leak(stats.pins == 0, f"{stats.pins} pins at the end")
        self._leak(stats.parked_blocks == 0, f"{stats.parked_blocks} blocks parked")

    def _hold(self, holds: bool, what: str) -> None:
        if not holds:
            self.outcome.violations.append(what)

    def _leak(self, holds: bool, what: str) -> None:
        self._hold(holds, f"leak: {what}")
        if not holds:
            self.outcome.leaks.append(what)


def _sweep(cache: lilcache.Cache) -> None:
    """Have the cache look for rows of the dead, as it does when it runs out of pins."""
    size = min(SWEEP_BYTES, cache.max_value_bytes // 4)
    for _ in range(2):
        views = []
        copied = False
        while not copied:
            key = f"sweep{len(views)}"
            cache.set(key, bytes(size))
            views.append(cache.view(key))
            copied = views[-1].copied
        for number, view in enumerate(views):
            view.release()
            cache.delete(f"sweep{number}")
        time.sleep(SWEEP_PAUSE_S)  # more than it leaves between two sweeps


def _maps(pid: int, name: str) -> bool:
    with suppress(OSError):
        return name in Path(f"/proc/{pid}/maps").read_text()
    return False


def _destroy(cache: lilcache.Cache) -> None:
    with suppress(lilcache.ClosedError):
        cache.destroy()
