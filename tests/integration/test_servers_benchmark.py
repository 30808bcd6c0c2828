"""Hit ratios beside real servers: what a server takes is measured, and tuned."""

from __future__ import annotations

import subprocess
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks.hitratio import servers, traces
from benchmarks.hitratio.servers import MIB, Outcome

ROOT = Path(__file__).resolve().parents[2]
CELL = traces.Cell("tiny", 8, partial(traces.zipf, 20_000, 8_000, 0.8))


def large() -> list[traces.Request]:
    """Return requests of values that together are about 100 MiB, each asked twice."""
    return [(f"k{number // 2}", 100_000) for number in range(2000)]


@pytest.fixture(scope="module", autouse=True)
def _servers() -> None:
    """Install the servers where they are missing."""
    programs = ("memcached", "memcached", "redis-server", "redis-server")
    subprocess.run([ROOT / "tests" / "need.sh", *programs], check=True)


@pytest.mark.parametrize("name", servers.SERVERS)
def test_a_server_takes_more_than_its_values_and_drops_some(name: str) -> None:
    cell = traces.Cell("large", 64, partial(islice, large(), None))
    outcome = servers.served(name, servers.Workload(cell), 32 * MIB)
    assert outcome.told == 32 * MIB
    assert 1000 <= outcome.hits < 2000, "each second request follows its set"
    assert outcome.hit_bytes == outcome.hits * 100_000
    assert MIB < outcome.empty < 24 * MIB
    assert 24 * MIB < outcome.memory < 80 * MIB


def test_own_memory_is_the_segment_and_what_the_process_grew_by() -> None:
    with get_context("spawn").Pool(1) as pool:
        outcome = pool.apply(servers.own, (CELL,))
    assert outcome.told == 8 * MIB
    assert 8 * MIB < outcome.memory < 12 * MIB
    seen: set[str] = set()
    hits = 0
    for key, _ in CELL.read():
        hits += key in seen
        seen.add(key)
    assert outcome.hits == hits, "all fits"


def took(fixed: int, times: float, told: int) -> Outcome:
    """Return what a server has that takes so much beside its limit."""
    return Outcome(told, fixed + int(told * times), fixed)


@pytest.mark.parametrize(("fixed", "times"), [(3, 1.0), (8, 1.0), (8, 1.4), (2, 0.9)])
def test_tuned_comes_close_and_never_over(fixed: int, times: float) -> None:
    outcome = servers.tuned(partial(took, fixed * MIB, times), 100 * MIB)
    assert 96 * MIB < outcome.memory <= 100 * MIB


def test_a_server_that_always_takes_more_is_told_of() -> None:
    tried: list[int] = []

    def replayed(told: int) -> Outcome:
        tried.append(told)
        return Outcome(told, 120 * MIB, 2 * MIB)

    assert servers.tuned(replayed, 100 * MIB).memory == 120 * MIB
    assert len(tried) == 2, "what does not depend on the limit is noticed"
