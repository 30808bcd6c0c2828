"""The benchmark of waits for a lock: its figures from calls made by hand."""

from __future__ import annotations

from array import array

import pytest

from benchmarks.alone import convoy

MS = 1_000_000
SECOND = 1_000_000_000


def answer(
    ended: list[int], taken: list[int], on: int, waited: int
) -> tuple[object, ...]:
    """Return what a process sends: two sleeps."""
    return array("q", ended).tobytes(), array("q", taken).tobytes(), on, waited, 2


def test_slow_calls_and_moments_without_any_are_counted() -> None:
    seconds = int(convoy.SECONDS * SECOND)
    # The second one is stalled for 9 ms; the first one goes on in the first 7 of them.
    first = answer([1 * MS, 8 * MS, 10 * MS], [1000, 1000, 1000], seconds // 2, 0)
    second = answer([1 * MS, 10 * MS], [1000, 9 * MS], seconds // 4, seconds // 4)
    found = convoy.summed_up([first, second])
    assert found["over_1_ms"] == pytest.approx(1e6 / 5)
    assert found["over_4_ms"] == pytest.approx(1e6 / 5)
    assert found["slept"] == pytest.approx(4e6 / 5)
    assert found["asleep_share"] == pytest.approx(0.5)
    assert found["slow_share"] == pytest.approx(9 * MS / (2 * seconds))
    assert found["stalled_1_ms"] * convoy.SECONDS == pytest.approx(2)
    assert found["stalled_4_ms"] * convoy.SECONDS == pytest.approx(1)
    assert found["p50_us"] == pytest.approx(1)


def test_median_least_and_most_of_the_rounds() -> None:
    rounds = [{"slept": slept} for slept in (3.0, 1.0, 8.0)]
    assert convoy.middles(rounds) == {"slept": 3, "slept_low": 1, "slept_high": 8}
