"""Settings that all Gunicorns of these tests share; the rest is on the command line."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.processes import die_with_parent

from .settings import SOCKET_VARIABLE, WORKERS

bind = f"unix:{os.environ.get(SOCKET_VARIABLE, '')}"
workers = WORKERS
loglevel = "warning"
graceful_timeout = 2
# The control socket would be a file outside the directory of this run.
control_socket_disable = True


def post_fork(server: Any, worker: Any) -> None:
    """Let no worker outlive its master."""
    die_with_parent(server.pid)
