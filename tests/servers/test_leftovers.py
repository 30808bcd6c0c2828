"""A campaign that is broken off leaves no process, segment, file or cgroup."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.supervision import SupervisedRun
from tests.servers.cgroup import CONTROLLER
from tests.servers.settings import WORKERS

ENDLESS = ("tests.servers", "--kills", "100000", "--window", "0.1", "--only")

# The campaign itself, two servers with their masters, and the clients.
PROCESSES = 1 + 2 * (1 + WORKERS) + 2


def groups() -> set[Path]:
    return set(CONTROLLER.glob("**/lilcache-servers-*"))


def has_clients(run: SupervisedRun) -> bool:
    return len(run.processes()) >= PROCESSES


@pytest.mark.parametrize("kind", ["gunicorn sync", "uwsgi"])
def test_a_campaign_broken_off_leaves_nothing(kind: str) -> None:
    with SupervisedRun(*ENDLESS, kind) as run:
        run.wait_until(has_clients)
        own = [group for group in groups() if str(run.process_id) in group.name]
        assert len(own) == 1
        run.interrupt()
        assert run.finish() == 128 + signal.SIGINT, run.output()
        assert run.segments
        assert run.leftovers() == []
        assert not own[0].exists()
