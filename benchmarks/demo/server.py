"""A Gunicorn on an unused port of the loopback interface, started and stopped."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from types import TracebackType

from ..processes import (
    BenchmarkError,
    end_process,
    has_exited,
    poll_until,
    start_process,
)
from .app import NAME_VARIABLE
from .gunicorn_conf import LISTENER_VARIABLE, READY_VARIABLE, WORKERS

START_TIMEOUT_S = 30.0
BACKLOG = 256

IMPORT_ROOT = Path(__file__).resolve().parents[2]
"""Directory that holds the package ``benchmarks``."""


class GunicornServer:
    """The demo's application served by Gunicorn, as a context manager.

    Attributes:
        address: host and port.
    """

    def __init__(self, segment_name: str) -> None:
        self.address = ("127.0.0.1", 0)
        self._segment_name = segment_name
        self._announced: list[int] = []
        self._ready_fd = -1
        self._unread = b""
        self._process: Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> GunicornServer:
        self._directory = tempfile.TemporaryDirectory(prefix="lilcache-")
        try:
            self._start(Path(self._directory.name))
            self.wait_for_workers(WORKERS)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, directory: Path) -> None:
        # Bound and listening here, the port cannot be taken by somebody else before
        # Gunicorn has it, and no connection is refused while the workers start.
        with socket.create_server(self.address, backlog=BACKLOG) as listener:
            self.address = listener.getsockname()
            self._ready_fd, announce_fd = os.pipe()
            os.set_blocking(self._ready_fd, False)
            environment = os.environ | {
                NAME_VARIABLE: self._segment_name,
                LISTENER_VARIABLE: str(listener.fileno()),
                READY_VARIABLE: str(announce_fd),
                "TMPDIR": str(directory),
            }
            command = [sys.executable, "-m", "gunicorn"]
            command += ["--config", "python:benchmarks.demo.gunicorn_conf"]
            command += ["benchmarks.demo.app:application"]
            try:
                with self._log_path(directory).open("wb") as log:
                    self._process = start_process(
                        command,
                        log=log.fileno(),
                        pass_fds=(listener.fileno(), announce_fd),
                        env=environment,
                        cwd=str(IMPORT_ROOT),
                    )
            finally:
                os.close(announce_fd)

    @staticmethod
    def _log_path(directory: Path) -> Path:
        return directory / "gunicorn.log"

    def log(self) -> str:
        """Return the end of what Gunicorn has logged."""
        assert self._directory is not None
        path = self._log_path(Path(self._directory.name))
        return path.read_text(errors="replace").strip()[-2000:]

    def announced_workers(self) -> list[int]:
        """Return the pids of all workers that have begun to serve, oldest first."""
        with suppress(BlockingIOError):
            self._unread += os.read(self._ready_fd, 4096)
        *lines, self._unread = self._unread.split(b"\n")
        self._announced += map(int, lines)
        return list(self._announced)

    def wait_for_workers(self, count: int) -> list[int]:
        """Wait until so many workers have begun to serve, dead ones included.

        Returns:
            Their pids, oldest first.
        """

        def enough() -> bool:
            assert self._process is not None
            if has_exited(self._process):
                raise BenchmarkError(f"Gunicorn ended at once:\n{self.log()}")
            return len(self.announced_workers()) >= count

        try:
            poll_until(enough, START_TIMEOUT_S, f"start of {count} Gunicorn workers")
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}\n{self.log()}") from None
        return self.announced_workers()

    def kill_worker(self, pid: int) -> None:
        """End one worker with SIGKILL.

        Raises:
            BenchmarkError: the process is not a worker of this server.
        """
        assert self._process is not None
        status = Path(f"/proc/{pid}/stat").read_text()
        # The second field, the command in parentheses, may itself hold spaces.
        parent_pid = int(status.rpartition(")")[2].split()[1])
        if parent_pid != self._process.pid:
            raise BenchmarkError(f"process {pid} is not a worker of this Gunicorn")
        os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End Gunicorn and its workers; twice is harmless."""
        if self._process is not None:
            end_process(self._process)
            self._process = None
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
