"""Many processes on few cores over one small segment, in C; every value is checked.

The programs decide by themselves whether anything was wrong and whether enough
happened; here their summary is read once more, for the numbers that must not be taken
on trust.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE.parents[1] / "build" / "c"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def build() -> None:
    done = subprocess.run(["make", "-C", HERE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr


def run_stress(program: str, *arguments: str) -> dict[str, Any]:
    """Run one of the programs; its summary once it is content with itself."""
    seed = os.environ.get("LILCACHE_STRESS_SEED")
    chosen = ["--seed", seed] if seed else []
    done = subprocess.run(
        [PROGRAMS / program, *arguments, *chosen],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.startswith("{"), f"no summary: {done.stderr}"
    summary: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0 and summary["ok"], (
        f"seed {summary['seed']}: {summary['message'] or done.stderr}"
    )
    return summary


def check_races(summary: dict[str, Any]) -> None:
    """The run met what it is there to meet."""
    counts, stats = summary["counts"], summary["stats"]
    assert summary["violations"] == 0
    assert stats["rebuilt"] == stats["emptied"] == stats["corrupt_reads"] == 0
    assert summary["enough"]  # the program's own demands, in proportion to its work
    for event in ("recycles", "relocations", "growths"):
        assert stats[event] > 0, event
        assert counts[f"over_{event.removesuffix('s')}"] > 0, event
    assert counts["pin_outlived"] > 0
    assert counts["version_checks"] > 0
    assert counts["contended"] <= counts["misses"] // 100


def test_stress_of_the_core_as_shipped(build: None) -> None:
    summary = run_stress("stress", "--seconds", "12")
    check_races(summary)
    assert summary["stats"]["clears"] > 0
    assert summary["counts"]["incr_acked"] == summary["counts"]["incr_begun"]


@pytest.mark.alone  # beside others the index hardly ever comes to shrink
def test_stress_with_pauses_inside_reads_and_writes(build: None) -> None:
    summary = run_stress(
        "stress-provoked", "--seconds", "10", "--threads", "2", "--size-mb", "2"
    )
    check_races(summary)
    assert summary["counts"]["retried"] > 0


def test_stress_with_workers_killed_and_stopped_inside_steps(build: None) -> None:
    summary = run_stress(
        "stress-provoked", "--seconds", "15", "--threads", "2", "--kill"
    )
    check_races(summary)
    assert summary["stats"]["repaired"] > 0
    assert summary["stops_outread"] > 0
    died = [point for point, deaths in summary["deaths"].items() if deaths]
    assert len(died) >= 20, died
