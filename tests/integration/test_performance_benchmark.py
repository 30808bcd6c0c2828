"""The benchmark beside peers, inside a real uWSGI: its tables, and nothing left."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.integration.supervision import SupervisedRun

PEERS = ("lilcache", "lilcache_cffi", "dict", "uwsgi_cache", "redis", "manager")
LATENCY = ("get", "get of a str", "get, a miss", "set", "delete")


def arguments(file: Path, rounds: int) -> list[str]:
    return ["--peers", *PEERS, "--rounds", str(rounds), "--json", str(file)]


def test_report_and_tables_have_every_cell(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    suites = ("--suites", "latency", "mixes")
    with SupervisedRun("benchmarks.performance", *suites, *arguments(file, 2)) as run:
        assert run.finish() == 0, run.output()
        assert run.segments
        assert run.leftovers() == []
        printed = run.output()
    report = json.loads(file.read_text())
    cells = {(c["peer"], c["what"]): c for c in report["latency"]["cells"]}
    lacks_str = {"uwsgi_cache", "redis"}
    for peer in PEERS:
        for what in LATENCY:
            assert ((peer, what) in cells) != (
                what == "get of a str" and peer in lacks_str
            )
    for cell in cells.values():
        assert len(cell["samples"]) == 2
        assert all(10 < sample < 1e8 for sample in cell["samples"])
    assert {c["peer"] for c in report["mixes"]["cells"]} == set(PEERS)
    assert "| uWSGI cache " in printed
    assert printed.count("x (") >= 2 * len(PEERS)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_leaves_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    with SupervisedRun(
        "benchmarks.performance", *arguments(tmp_path / "report.json", 10_000)
    ) as run:
        run.wait_until(lambda run: len(run.segments) >= 2 and len(run.processes()) >= 5)
        run.interrupt(signum)
        assert run.finish() == 128 + signum, run.output()
        assert run.leftovers() == []


def test_what_fails_inside_is_told(tmp_path: Path) -> None:
    file = tmp_path / "no folder" / "report.json"
    with SupervisedRun("benchmarks.performance", *arguments(file, 2)) as run:
        assert run.finish() == 2
        assert "no folder" in run.output()


def test_what_runs_outside_makes_its_table(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    suites = ("--suites", "tails")
    with SupervisedRun("benchmarks.performance", *suites, *arguments(file, 2)) as run:
        assert run.finish() == 0, run.output()
        assert run.leftovers() == []
        assert "| 64 KiB " in run.output()
    rows = json.loads(file.read_text())["tails"]["rows"]
    assert [row["value_up_to"] for row in rows] == ["256 B", "4 KiB", "64 KiB", "1 MiB"]
    assert all(row["median_us"] <= row["p99_us"] <= row["p999_us"] for row in rows)
