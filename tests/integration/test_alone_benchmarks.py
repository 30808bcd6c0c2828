"""Tables of `make bench` that have a run of their own: the core, and beside Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import performance
from benchmarks.alone import core, over_redis
from benchmarks.origin import Options
from benchmarks.performance_tables import row_table
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Round


@pytest.mark.timeout(300)
def test_core_is_built_and_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "ENTRIES", (1000, 2000))
    rows = list(core.rows(tmp_path))
    made = [(row["entries"], row["threads"]) for row in rows]
    assert made == [(1000, 1), (1000, 2), (2000, 1), (2000, 2)]
    for row in rows:
        assert 1 < row["miss_ns"] < row["set_ns"] < 1e6
        assert row["get_per_second"] == pytest.approx(
            row["threads"] * 1e9 / row["get_ns"], rel=0.01
        )
    assert rows[0]["given_load_ns"] == 76
    assert "given_load_ns" not in rows[2], "nothing is known of so many entries"
    assert "get_to_load" not in rows[0], "there is no pogocache beside it"


def test_ratios_to_pogocache_are_of_each_turn() -> None:
    own = [{"get_ns": g, "set_ns": 30.0} for g in (10.0, 40.0, 30.0)]
    peer = [{"get_ns": g, "set_ns": 60.0} for g in (40.0, 40.0, 60.0)]
    row = core.beside(own, peer)
    assert (row["load_ns"], row["store_ns"]) == (40, 60)
    assert (row["get_low"], row["get_to_load"], row["get_high"]) == (0.25, 0.5, 1)
    assert row["set_to_store"] == 0.5
    runs = [
        {"get_ns": 4.0, "get_per_second": 5.0},
        {"get_ns": 3.0, "get_per_second": 6},
    ]
    assert core.best_of(runs) == {"get_ns": 3, "get_per_second": 6}


def test_ratios_of_huge_pages_are_told_if_there_were_some() -> None:
    own = [{"get_ns": 40.0, "set_ns": 60.0}, {"get_ns": 20.0, "set_ns": 30.0}]
    huge = [{"get_ns": 20.0, "set_ns": 30.0}, {"get_ns": 20.0, "set_ns": 15.0}]
    few = [{**huge[0], "huge_share": 0.9}, {**huge[1], "huge_share": 0.8}]
    assert core.in_huge_pages(few, own) == {}
    row = core.in_huge_pages([{**run, "huge_share": 0.9} for run in huge], own)
    assert (row["get_huge_ns"], row["set_huge_ns"]) == (20, 15)
    assert (row["get_least"], row["get_huge"], row["get_most"]) == (0.5, 0.75, 1)
    assert row["set_huge"] == 0.5


def test_a_checkout_of_pogocache_is_looked_at_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--json", str(tmp_path / "report"), "--pogocache", str(tmp_path)]
    with pytest.raises(SystemExit):
        performance.parser().parse_args(arguments)
    assert f"no src/pogocache.c in {tmp_path}" in capsys.readouterr().err
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "pogocache.c").touch()
    assert performance.parser().parse_args(arguments).pogocache == tmp_path


def test_what_the_core_says_when_it_fails_is_told(tmp_path: Path) -> None:
    core.output_of(["make", "build/bench-core"], tmp_path)
    with pytest.raises(BenchmarkError, match="at least one of each"):
        core.output_of([str(core.PROGRAM), "0", "1", "1"], tmp_path)


def test_a_row_beside_redis_from_real_runs(tmp_path: Path) -> None:
    options = Options((2,), operations=300, seconds=0.05, runs=2)
    (row,) = over_redis.rows(tmp_path, options)
    assert row["concurrency"] == 2
    assert row["operations"] >= 300
    assert row["missed"] == 0
    assert row["times"] > 1


def a_round(cache: str, mean_us: float, operations: int) -> Round:
    """Return a run of which only this is of interest."""
    return Round(cache, 1, operations, mean_us, 0, 0, 0, 9.0, 1.0, 1.0, 0, {})


def test_means_and_their_spread() -> None:
    runs = [a_round("redis", us, 200_000) for us in (40, 50, 70)]
    runs += [a_round("lilcache", us, 900_000) for us in (0.25, 0.5, 1)]
    row = over_redis.row_of(1, [runs[1], runs[4]], runs)
    assert row["times"] == 100
    assert (row["redis_low_us"], row["redis_high_us"]) == (40, 70)
    assert row["operations"] == 200_000
    assert (over_redis.OPERATIONS, over_redis.RUNS) == (200_000, 5)


def test_a_cell_without_its_figure_is_empty_and_figures_stand_right() -> None:
    suite = {
        "columns": {"": "{name}", "share": "{share:.1%}"},
        "rows": [{"name": "a", "share": 0.5}, {"name": "b"}],
    }
    lines = row_table(suite).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["50.0%", ""]
    assert lines[2].endswith("50.0% |")
