"""Run a module inside a uWSGI process, where uWSGI's own cache can be called."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen

from .peers.uwsgi_cache import option
from .processes import (
    POLL_S,
    BenchmarkError,
    StoppedError,
    end_process,
    has_exited,
    poll_until,
    start_process,
)

LIMIT_S = 3600.0
ARGUMENTS = "LILCACHE_BENCH_ARGUMENTS"
SEPARATOR = "\x1f"
STOP_S = 10.0
SAID_BYTES = 4000


def is_inside() -> bool:
    """Return whether this process is one of uWSGI's."""
    return "uwsgi" in sys.modules


def program() -> str:
    """Return the path of uwsgi, beside the running interpreter or in PATH.

    Raises:
        BenchmarkError: there is none.
    """
    beside = str(Path(sys.executable).parent)
    search = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    found = shutil.which("uwsgi", path=search)
    if found is None:
        raise BenchmarkError("no uwsgi found: `make peers` installs it")
    return found


def ask_to_stop(server: Popen[bytes], worker: Path) -> None:
    """Send the signal to the module's own process, so that it can clean up."""
    if worker.exists():
        os.kill(int(worker.read_text()), signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while not has_exited(server) and time.monotonic() < deadline:
            time.sleep(POLL_S)


def run(module: str, arguments: Sequence[str], size_mb: int) -> None:
    """Run a module's ``main(arguments)`` inside uWSGI, and return when it has ended.

    Args:
        module: full name.
        arguments: none with a unit separator in it.
        size_mb: MiB of uWSGI's cache.

    Raises:
        BenchmarkError: it could not be started, or did not return 0.
        StoppedError: a signal asked the run to stop.
    """
    with tempfile.TemporaryDirectory(prefix="lc-") as folder:
        log = Path(folder, "log")
        done = Path(folder, "done")
        command = [
            *(program(), "--master", "--enable-threads", "--die-on-term"),
            *("--socket", str(Path(folder, "socket")), "--cache2", option(size_mb)),
            *("--virtualenv", sys.prefix, "--pythonpath", os.getcwd()),
            *("--pyrun", str(Path(__file__).with_name("uwsgi_script.py"))),
        ]
        environment = os.environ | {
            ARGUMENTS: SEPARATOR.join([module, folder, *arguments])
        }
        with log.open("wb") as to:
            server = start_process(command, log=to.fileno(), env=environment)
        try:
            poll_until(lambda: has_exited(server), LIMIT_S, f"{module} inside uwsgi")
        except StoppedError:
            ask_to_stop(server, Path(folder, "worker"))
            raise
        finally:
            end_process(server)
        if not done.exists():
            said = log.read_text(errors="replace")[-SAID_BYTES:]
            raise BenchmarkError(f"{module} failed inside uwsgi: {said}")
