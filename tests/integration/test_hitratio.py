"""lilcache's hit ratio beside the ideal S3-FIFO model, on workloads made here.

The public traces are replayed by `make hitratio`; they are not part of the project.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_hit_ratios_are_within_a_point_of_the_model(tmp_path: Path) -> None:
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
