"""The demo's load: a real Gunicorn, real requests, a killed worker, nothing left."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.integration.supervision import SupervisedRun

DEMO = ("benchmarks.demo", "--no-benchmark")
SMALL = ("--requests", "600", "--items", "80")
ENDLESS = ("--requests", "50000", "--items", "2000")

DEMO_PROCESSES = 6
"""The demo itself, Gunicorn's master and four workers."""


def has_segment(run: SupervisedRun) -> bool:
    return bool(run.segments)


def has_gunicorn(run: SupervisedRun) -> bool:
    return any("gunicorn" in command for command in run.programs())


def has_workers(run: SupervisedRun) -> bool:
    return len(run.processes()) >= DEMO_PROCESSES


def test_small_load_passes_all_checks_and_leaves_nothing() -> None:
    with SupervisedRun(*DEMO, *SMALL) as run:
        status = run.finish()
        output = run.output()
        assert status == 0, output
        assert "(killed)" in output
        assert "(new)" in output
        assert run.segments
        assert run.leftovers() == []


@pytest.mark.parametrize("state", [has_segment, has_gunicorn, has_workers])
def test_ctrl_c_leaves_nothing(state: Callable[[SupervisedRun], bool]) -> None:
    with SupervisedRun(*DEMO, *ENDLESS) as run:
        run.wait_until(state)
        run.interrupt()
        assert run.finish() == 128 + signal.SIGINT, run.output()
        assert run.leftovers() == []


def test_sigterm_under_load_leaves_nothing() -> None:
    with SupervisedRun(*DEMO, *ENDLESS) as run:
        run.wait_until(has_workers)
        run.terminate()
        assert run.finish() == 128 + signal.SIGTERM, run.output()
        assert run.segments
        assert run.leftovers() == []
