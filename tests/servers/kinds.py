"""The kinds of servers, by their command lines."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from .settings import WORKERS

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = "tests.servers.app:application"


@dataclass(frozen=True)
class Kind:
    """One way to serve the application.

    Attributes:
        name: what the report calls it.
        size_mb: MiB of its segment. In a small one values are evicted, and a miss is no
            violation.
        options: words of the command line besides the common ones.
        uwsgi: whether it is a uWSGI instead of a Gunicorn.
        keep_alive: whether clients send several requests over one connection.
        at_once: requests that one worker may have in its hands.
        callers: how many callers keep all its workers busy.
    """

    name: str
    size_mb: int
    options: tuple[str, ...] = field(default=())
    uwsgi: bool = False
    keep_alive: bool = False
    at_once: int = 1
    callers: int = 8

    @property
    def evicts(self) -> bool:
        """Whether the segment is too small for what is stored in it."""
        return self.size_mb < 16

    def command(self, socket: str) -> list[str]:
        """Return the command line of a server on this unix socket."""
        if not self.uwsgi:
            command = [sys.executable, "-m", "gunicorn"]
            command += ["--config", "python:tests.servers.gunicorn_conf"]
            return [*command, *self.options, APPLICATION]
        command = [str(Path(sys.executable).with_name("uwsgi"))]
        command += ["--virtualenv", sys.prefix, "--pythonpath", str(ROOT)]
        command += ["--module", APPLICATION, "--need-app", "--http-socket", socket]
        command += ["--master", "--processes", str(WORKERS), "--enable-threads"]
        # Its pause after two deaths within a second would only prolong the test.
        command += ["--forkbomb-delay", "0", "--die-on-term", "--no-orphans"]
        return [*command, "--disable-logging", *self.options]


SYNC = ("--worker-class", "sync")
# With many connections one worker would accept what others could answer, and throughput
# would swing with how the connections happen to be spread.
GTHREAD = ("--worker-class", "gthread", "--threads", "2", "--worker-connections", "3")
GEVENT = ("--worker-class", "gevent")
FORK_HOOKS = ("--py-call-osafterfork", "--py-call-uwsgi-fork-hooks")

# A segment is small only where workers inherit the standing view from their master: one
# that attaches by itself might find that value evicted.
KINDS = (
    Kind("gunicorn sync", 64, SYNC),
    Kind("gunicorn gthread preload", 64, (*GTHREAD, "--preload"), False, True, 3, 12),
    Kind("uwsgi", 64, (), True),
    Kind("uwsgi fork hooks", 2, FORK_HOOKS, True),
    Kind("uwsgi lazy apps", 64, ("--lazy-apps",), True),
    Kind("gunicorn sync preload", 2, (*SYNC, "--preload")),
    Kind("gunicorn gthread", 64, GTHREAD, False, True, 3, 12),
    Kind("gunicorn gevent", 64, GEVENT, False, True, 8),
)
