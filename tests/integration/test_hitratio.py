"""lilcache's hit ratios beside ideal S3-FIFO, on workloads made here.

The public traces are replayed by `make hitratio`; they are not part of the project.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.hitratio import wide
from benchmarks.hitratio.replay import lilcache_hits
from benchmarks.hitratio.traces import Cell, cells


@pytest.mark.timeout(300)
def test_hit_ratios_are_above_s3fifo_on_the_mean_and_never_far_below(
    tmp_path: Path,
) -> None:
    results = tmp_path / "hitratio.json"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.hitratio.replay", "--json", str(results)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    cells = json.loads(results.read_text(encoding="utf-8"))
    assert len(cells) == 3, "each of the synthetic workloads"
    assert all(cell["requests"] > 10_000 for cell in cells)


@pytest.mark.timeout(120)
def test_what_is_favored_shows_in_the_hit_ratios() -> None:
    cell = cells()["zipf-2M"]
    requests = list(cell.read())
    total = sum(size for _, size in requests)
    objects = lilcache_hits(requests, cell.size_mb)
    of_bytes = lilcache_hits(requests, cell.size_mb, "bytes")
    assert objects[0] - of_bytes[0] > len(requests) * 0.02
    assert of_bytes[1] - objects[1] > total * 0.005


@pytest.mark.parametrize("cell", wide.cells(), ids=lambda cell: cell.name)
def test_wide_workloads_repeat_and_give_a_key_one_size(cell: Cell) -> None:
    requests = list(islice(cell.read(), 5000))
    assert requests == list(islice(cell.read(), 5000))
    sizes = dict(requests)
    assert all(sizes[key] == size for key, size in requests)
    assert len(sizes) > 500 and min(sizes.values()) > 0
