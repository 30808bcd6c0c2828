"""lilcache's hit ratio beside that of servers which take the same memory in all.

Every workload is replayed, a get and on a miss a set, by one client. What a server is
told to hold is found by replays: it comes as close as can be to what lilcache takes in
all, and does not exceed it.
"""

from __future__ import annotations

import random
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pylibmc
import redis

import lilcache

from .. import smaps
from ..peers import Verbs, memcached
from ..peers import redis as redis_peer
from ..peers.lilcache import verbs_of
from ..processes import check_stop, poll_until
from ..progress import progress_bar
from . import traces
from .traces import Cell, Request

TITLE = "Hit ratios in the same memory in all"
NOTE = (
    "One client replays: a get, and on a miss a set. Memory, in MiB: of lilcache the "
    "whole segment, and what else the process that uses it grew by; of a server the "
    "largest Pss in its smaps_rollup while it is used, program and all. The client's "
    "memory counts for neither. Told: `-m` and `maxmemory`, found by replays so that "
    "the memory is at most lilcache's and short of it by 2 % at most, if that can be: "
    "memcached takes whole MiB only, and a page for each class of sizes even beyond "
    "what it is told. Empty: what the server takes before the first request. Bytes: "
    "of all the values asked for, the share of bytes that was there. Refused: sets "
    "that the cache did not take. To lilcache: points above its ratio; what has a plus "
    "is better than it."
)
COLUMNS = {
    "workload": "{workload}",
    "requests": "{requests:,}",
    "cache": "{cache}",
    "told": "{told_mib:,.1f}",
    "memory": "{memory_mib:,.1f}",
    "empty": "{empty_mib:,.1f}",
    "hits, %": "{hits_percent:.2f}",
    "to lilcache": "{hits_points:+.2f}",
    "bytes, %": "{bytes_percent:.2f}",
    "bytes to lilcache": "{bytes_points:+.2f}",
    "refused": "{refused:,}",
}
MIB = 1 << 20
LEAST_MB, MOST_MB = 32, 200
"""An empty server takes more than a smaller cell has; a larger one takes too long."""

CLOSE = 0.02
"""Share of the memory that a server may leave unused when its limit is looked for."""

TRIES = 6
LOOKS = 40
"""How often a server's memory is looked at in one replay."""

LIMIT_S = 600.0
Connect = Callable[[], AbstractContextManager[Verbs]]
REFUSALS = (lilcache.LilcacheError, pylibmc.Error, redis.ResponseError)


@dataclass(frozen=True)
class Outcome:
    """One replay.

    Attributes:
        told: bytes that the cache was told to hold.
        memory: bytes that it took at most.
        empty: bytes that it took before the first request.
        hits: gets that found the value.
        hit_bytes: bytes of the values that were found.
        refused: sets that the cache did not take.
    """

    told: int
    memory: int
    empty: int
    hits: int = 0
    hit_bytes: int = 0
    refused: int = 0


def scaled(factor: int, read: Callable[[], Iterator[Request]]) -> Iterator[Request]:
    """Yield the requests with values so many times as long."""
    for key, size in read():
        yield key, size * factor


def cells(directory: Path | None) -> list[Cell]:
    """Return the workloads; those of traces only with a directory of traces."""
    found = [
        Cell("zipf-32M", 32, partial(traces.zipf, 300_000, 120_000, 0.8)),
        Cell(
            "zipf-8x-64M",
            64,
            partial(scaled, 8, partial(traces.zipf, 50_000, 120_000, 0.9)),
        ),
    ]
    every = traces.cells(directory)
    found += [c for c in every.values() if LEAST_MB <= c.size_mb <= MOST_MB]
    if directory is not None:
        web12, adaptsize = every["web12-2M"], every["adaptsize-32M"]
        found += [
            Cell("web12-16x-64M", 64, partial(scaled, 16, web12.read)),
            Cell("adaptsize-128M", 128, adaptsize.read),
        ]
    return found


class Workload:
    """Requests in memory, and a value for each of them.

    Args:
        cell: what is read.
    """

    def __init__(self, cell: Cell) -> None:
        self.requests = list(cell.read())
        self._buffer = random.Random(0).randbytes(
            2 * max(size for _, size in self.requests) + 1
        )

    def value_of(self, key: str, size: int) -> bytes:
        """Return the value of a request: another key has other bytes."""
        offset = zlib.crc32(key.encode()) % (len(self._buffer) - size)
        return self._buffer[offset : offset + size]


def stored(verbs: Verbs, key: str, value: bytes) -> bool:
    """Set a value and return whether the cache took it."""
    assert verbs.set is not None
    try:
        return verbs.set(key, value) is not False
    except REFUSALS:
        return False


def replay(
    connect: Connect,
    workload: Workload,
    look: Callable[[], int],
) -> Outcome:
    """Replay requests; every hit is compared with what was set.

    Args:
        connect: returns the verbs of an empty cache; called again whenever a set was
            refused, since pylibmc's client then takes the server for dead.
        workload: what is replayed.
        look: returns what the cache takes, in bytes.

    Raises:
        RuntimeError: a hit returned other bytes than were set.
        StoppedError: a signal asked the run to stop.
    """
    empty = memory = look()
    hits = hit_bytes = refused = 0
    step = max(1, len(workload.requests) // LOOKS)
    with ExitStack() as stack:
        verbs = stack.enter_context(connect())
        for number, (key, size) in enumerate(workload.requests, start=1):
            value = workload.value_of(key, size)
            cached = verbs.get(key)
            if cached is None:
                if not stored(verbs, key, value):
                    refused += 1
                    stack.close()
                    verbs = stack.enter_context(connect())
            elif cached == value:
                hits += 1
                hit_bytes += size
            else:
                raise RuntimeError(f"wrong value for key {key!r}")
            if number % step == 0:
                check_stop()
                memory = max(memory, look())
    return Outcome(0, max(memory, look()), empty, hits, hit_bytes, refused)


def own(cell: Cell) -> Outcome:
    """Replay a cell on lilcache, in a process that does nothing else."""
    workload = Workload(cell)
    for request in workload.requests:
        # As much of Python's own heap as a value and the one beside it need.
        value = workload.value_of(*request)
        _ = memoryview(value).tobytes()
    name = f"servers-{cell.name}"
    before = smaps.sum_of("Private_")
    with lilcache.Cache(name, size_mb=cell.size_mb, anonymous=True) as cache:
        # Of the segment all counts, whether it was touched or not.
        outcome = replay(
            lambda: nullcontext(verbs_of(cache)),
            workload,
            lambda: (
                smaps.sum_of("Private_", without=name) - before + cell.segment_bytes
            ),
        )
    return replace(outcome, told=cell.segment_bytes)


@contextmanager
def memcached_server(
    told: int, folder: Path, *options: str
) -> Iterator[tuple[int, Connect]]:
    """Give process id and client of a memcached that is told so many bytes."""
    with memcached.server(told // MIB, folder, *options) as pid:
        yield pid, partial(memcached.joined, told // MIB, folder)


@contextmanager
def redis_server(told: int, folder: Path, policy: str) -> Iterator[tuple[int, Connect]]:
    """Give process id and client of a Redis that is told so many bytes."""
    with redis_peer.server(told, policy, folder) as pid:
        yield pid, partial(redis_peer.joined, told // MIB, folder)


SERVERS: dict[str, tuple[Any, str]] = {
    "memcached": (memcached_server, "-f1.25"),
    "memcached, -f 2": (memcached_server, "-f2"),
    "Redis, allkeys-lfu": (redis_server, "allkeys-lfu"),
    "Redis, allkeys-lru": (redis_server, "allkeys-lru"),
}
"""What starts each, and how it is told to be; 1.25 is memcached's default."""


def served(name: str, workload: Workload, told: int) -> Outcome:
    """Replay a workload on a new server that is told so many bytes."""
    server, option = SERVERS[name]
    with (
        tempfile.TemporaryDirectory(prefix="lc-") as folder,
        server(told, Path(folder), option) as (pid, connect),
    ):
        outcome = replay(connect, workload, partial(smaps.sum_of, "Pss:", pid))
    return replace(outcome, told=told)


def tuned(replayed: Callable[[int], Outcome], memory: int) -> Outcome:
    """Return the replay whose cache took most of what it may take.

    What a server takes beside what it is told hardly depends on the latter, so the next
    limit is the last one and what was left; where that leads out of what is known to
    fit and known not to, the middle is tried.

    Args:
        replayed: replays with the limit that it is given, in bytes.
        memory: bytes that the cache may take. If it takes more under every limit that
            was tried, the one that took least is returned.
    """
    fits, exceeds = 0, 2 * memory
    told = memory * 3 // 4 // MIB * MIB
    tried: dict[int, Outcome] = {}
    while len(tried) < TRIES and told > 0 and told not in tried:
        outcome = tried[told] = replayed(told)
        left = memory - outcome.memory
        if 0 <= left <= memory * CLOSE:
            break
        if left > 0:
            fits = max(fits, told)
        else:
            before = tried.get(exceeds)
            if before and before.memory < outcome.memory * (1 + CLOSE):
                break  # it takes as much whatever it is told
            exceeds = min(exceeds, told)
        told += left - int(memory * CLOSE / 2)
        if not fits < told < exceeds:
            told = (fits + exceeds) // 2
        told = told // MIB * MIB
    within = [outcome for outcome in tried.values() if outcome.memory <= memory]
    if within:
        return max(within, key=lambda outcome: outcome.memory)
    return min(tried.values(), key=lambda outcome: outcome.memory)


def outcomes(cell: Cell, workload: Workload) -> Iterator[tuple[str, Outcome]]:
    """Yield each cache and its replay of a cell."""
    with get_context("spawn").Pool(1) as pool:
        result = pool.apply_async(own, (cell,))
        poll_until(result.ready, LIMIT_S, f"replay of {cell.name}")
        ours = result.get()
    yield "lilcache", ours
    for name in SERVERS:
        yield name, tuned(partial(served, name, workload), ours.memory)


def rows(_folder: Path, directory: Path | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row for each workload and cache.

    Args:
        directory: of trace files; without it, synthetic workloads only.
    """
    chosen = cells(directory)
    with progress_bar(len(chosen) * (1 + len(SERVERS)), "hit ratios", "cache") as bar:
        for cell in chosen:
            workload = Workload(cell)
            count = len(workload.requests)
            asked = sum(size for _, size in workload.requests)
            ours: Outcome | None = None
            for name, outcome in outcomes(cell, workload):
                ours = ours or outcome
                yield {
                    "workload": cell.name,
                    "requests": count,
                    "cache": name,
                    "told_mib": outcome.told / MIB,
                    "memory_mib": outcome.memory / MIB,
                    "empty_mib": outcome.empty / MIB,
                    "hits_percent": 100 * outcome.hits / count,
                    "hits_points": 100 * (outcome.hits - ours.hits) / count,
                    "bytes_percent": 100 * outcome.hit_bytes / asked,
                    "bytes_points": 100 * (outcome.hit_bytes - ours.hit_bytes) / asked,
                    "refused": outcome.refused,
                }
                bar.update()
