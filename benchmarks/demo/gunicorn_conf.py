"""Gunicorn's settings for the demo; ``server.py`` passes them by name."""

from __future__ import annotations

import os
from typing import Any

from ..processes import die_with_parent
from . import app

LISTENER_VARIABLE = "LILCACHE_DEMO_LISTENER_FD"
READY_VARIABLE = "LILCACHE_DEMO_READY_FD"
WORKERS = 4

bind = f"fd://{os.environ.get(LISTENER_VARIABLE, '')}"
workers = WORKERS
worker_class = "sync"
loglevel = "warning"
graceful_timeout = 2
# The control socket would be a file outside the directory of this run.
control_socket_disable = True


def post_fork(server: Any, worker: Any) -> None:
    """Let no worker outlive its master."""
    die_with_parent(server.pid)


def post_worker_init(worker: Any) -> None:
    """Attach to the cache, then tell the demo that this worker serves."""
    app.attach()
    os.write(int(os.environ[READY_VARIABLE]), f"{worker.pid}\n".encode())
