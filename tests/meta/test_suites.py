"""tests.suites: a suite that hangs is ended with all that it has started."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ..conftest import wait_until
from ..suites import __main__ as suites


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("trap", ["", "trap '' INT;"])
def test_a_suite_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(suites, "END_SECONDS", 1)
    pid_file = tmp_path / "pid"
    began = time.monotonic()
    command = f'bash -c "{trap} sleep 50 & echo $! > {pid_file}; echo begun; wait"'
    result = suites.run_suite("hanging", command, 0.5)
    assert result.status != 0
    assert result.last_lines == ["begun"]
    assert time.monotonic() - began < 20
    wait_until(lambda: not is_running(int(pid_file.read_text())))


def test_a_suite_that_ends_says_how() -> None:
    assert suites.run_suite("good", "true", 60).status == 0
    assert suites.run_suite("bad", "bash -c 'exit 3'", 60).status == 3
