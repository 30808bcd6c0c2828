"""A real server on a unix socket, started, watched and ended."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen
from types import TracebackType

import psutil

from benchmarks.processes import (
    BenchmarkError,
    end_process,
    has_exited,
    poll_until,
    start_process,
)

from .kinds import ROOT, Kind
from .request import Lost, knock
from .settings import ANNOUNCE_VARIABLE, NAME_VARIABLE, SOCKET_VARIABLE, WORKERS

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0
LOG_BYTES = 4000


class Server:
    """One server over one segment, as a context manager.

    Attributes:
        socket: path of its unix socket.
    """

    def __init__(self, kind: Kind, segment_name: str) -> None:
        self.kind = kind
        self.socket = ""
        self._segment_name = segment_name
        self._announced: set[int] = set()
        self._unread = b""
        self._ready_fd = -1
        self._log = Path()
        self._process: Popen[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Server:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        # Short, because a unix socket in it has to have a short path.
        made = tempfile.TemporaryDirectory(prefix="lilcache-")
        directory = Path(stack.enter_context(made))
        self.socket = str(directory / "socket")
        self._log = directory / "log"
        self._ready_fd, announce_fd = os.pipe()
        stack.callback(os.close, self._ready_fd)
        os.set_blocking(self._ready_fd, False)
        environment = os.environ | {
            NAME_VARIABLE: self._segment_name,
            ANNOUNCE_VARIABLE: str(announce_fd),
            SOCKET_VARIABLE: self.socket,
            "TMPDIR": str(directory),
        }
        try:
            with self._log.open("wb") as log:
                process = start_process(
                    self.kind.command(self.socket),
                    log=log.fileno(),
                    pass_fds=(announce_fd,),
                    env=environment,
                    cwd=str(ROOT),
                )
        finally:
            os.close(announce_fd)
        self._process = process
        stack.callback(self._end)
        self.wait_for_workers(START_TIMEOUT_S, callers=2 * WORKERS)

    def _end(self) -> None:
        """End the master, which ends the workers, and see that none is left.

        Raises:
            BenchmarkError: a process has outlived its own SIGKILL.
        """
        assert self._process is not None
        tree = self.tree()
        end_process(self._process)
        _, alive = psutil.wait_procs(tree, END_TIMEOUT_S)
        if alive:
            raise BenchmarkError(f"{self.kind.name} left {alive}")

    def log(self) -> str:
        """Return the end of what it has logged."""
        return self._log.read_text(errors="replace").strip()[-LOG_BYTES:]

    def tree(self) -> list[psutil.Process]:
        """Return the master and all processes that it has started."""
        assert self._process is not None
        master = psutil.Process(self._process.pid)
        return [master, *master.children(recursive=True)]

    def workers(self) -> list[int]:
        """Return the pids of the live workers that have served a request."""
        with suppress(BlockingIOError):
            self._unread += os.read(self._ready_fd, 4096)
        *lines, self._unread = self._unread.split(b"\n")
        self._announced.update(map(int, lines))
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()
        alive = {child.pid for child in children if _is_alive(child)}
        self._announced &= alive
        return sorted(self._announced)

    def wait_for_workers(self, timeout_s: float, callers: int = 0) -> None:
        """Wait until as many workers serve as there should be.

        Args:
            timeout_s: seconds to wait at most.
            callers: how many requests to send at once, when nobody else sends any.
        """

        def complete() -> bool:
            assert self._process is not None
            if has_exited(self._process):
                status = self._process.wait()
                raise BenchmarkError(f"{self.kind.name} has ended: status {status}")
            if callers:
                with suppress(Lost):
                    knock(self.socket, callers)
            return len(self.workers()) == WORKERS

        try:
            poll_until(complete, timeout_s, f"{WORKERS} workers of {self.kind.name}")
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}\n{self.log()}") from None


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
