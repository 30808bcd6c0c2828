"""The origin benchmark beside a real Redis: the rows it reports, and nothing left."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.integration.supervision import SupervisedRun

CONCURRENCY = (1, 3)
CACHES = ("lilcache", "redis")
TINY = ("--quick", "--runs", "1", "--seconds", "0.05", "--operations", "60")
ENDLESS = ("--runs", "1", "--seconds", "300", "--concurrency", "3")

BUSY_PROCESSES = 5
"""The benchmark itself, Redis and three processes of the workload."""


def test_tiny_run_reports_all_rows_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    concurrency = [str(number) for number in CONCURRENCY]
    with SupervisedRun(
        "benchmarks.origin",
        *TINY,
        "--json",
        str(file),
        "--concurrency",
        *concurrency,
    ) as run:
        status = run.finish()
        assert status == 0, run.output()
        assert run.segments
        assert run.leftovers() == []
    report = json.loads(file.read_text())
    rows = {(row["cache"], row["concurrency"]): row for row in report["rows"]}
    assert set(rows) == {(cache, n) for cache in CACHES for n in CONCURRENCY}
    for row in rows.values():
        assert row["operations"] >= 60
        assert 0 < row["lowest_us"] <= row["median_us"] <= row["p99_us"]
        assert row["p99_us"] <= row["highest_us"]
        assert row["lowest_us"] <= row["mean_us"] <= row["highest_us"]
        assert row["missed"] == 0
    assert set(report["times_faster"]) == set(concurrency)
    assert report["machine"]["redis_server"]
    assert report["machine"]["python"]
    assert report["machine"]["cpu_count"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_within_a_round_leaves_nothing(signum: signal.Signals) -> None:
    with SupervisedRun("benchmarks.origin", *ENDLESS) as run:
        run.wait_until(lambda run: len(run.processes()) >= BUSY_PROCESSES)
        run.interrupt(signum)
        assert run.finish() == 128 + signum, run.output()
        assert run.segments
        assert run.leftovers() == []


def test_missing_redis_is_a_clear_error() -> None:
    with SupervisedRun("benchmarks.origin", "--redis-server", "/nonexistent") as run:
        assert run.finish() == 2
        assert "no executable redis-server" in run.output()
        assert run.leftovers() == []
