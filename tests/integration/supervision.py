"""A program run as a user would, watched for what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK_VARIABLE = "LILCACHE_TEST_RUN"
POLL_S = 0.02
DEADLINE_S = 40.0
EXIT_DEADLINE_S = 10.0


class SupervisedRun:
    """``python -m <module>`` in a process group of its own, as a context manager.

    Its processes bear a mark in their environment, and its temporary files go to one
    directory. The shared memory objects that they map are noted while it runs.

    Attributes:
        segments: paths of the shared memory objects seen so far.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self.segments: set[Path] = set()
        self._mark = f"{MARK_VARIABLE}={uuid.uuid4()}"
        # Short, because a unix socket in it has to have a short path.
        self._directory = tempfile.TemporaryDirectory(prefix="run-")
        self._log = Path(self._directory.name, "log")
        self._files = Path(self._directory.name, "tmp")
        self._files.mkdir()
        name, _, value = self._mark.partition("=")
        search_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            name: value,
            "TMPDIR": str(self._files),
            "PYTHONPATH": os.pathsep.join(search_path),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,
            )

    def __enter__(self) -> SupervisedRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        for segment in self.segments:
            segment.unlink(missing_ok=True)
        self._directory.cleanup()

    @property
    def process_id(self) -> int:
        """The pid of the program itself."""
        return self._process.pid

    def processes(self) -> list[int]:
        """Return the pids of all processes of the run that are alive."""
        entries = (path for path in Path("/proc").iterdir() if path.name.isdecimal())
        return [int(entry.name) for entry in entries if self._owns(entry)]

    def _owns(self, process: Path) -> bool:
        try:
            environment = (process / "environ").read_bytes()
            working_directory = os.readlink(process / "cwd")
        except OSError:
            return False
        # Redis writes its title over its environment, but works in our directory.
        marked = self._mark.encode() in environment.split(b"\0")
        return marked or working_directory.startswith(self._directory.name)

    def programs(self) -> list[str]:
        """Return the command lines of all processes of the run that are alive."""
        commands = []
        for pid in self.processes():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            commands.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return commands

    def output(self) -> str:
        """Return what the run has printed."""
        return self._log.read_text(errors="replace")

    def _note_segments(self) -> None:
        for pid in self.processes():
            try:
                maps = Path(f"/proc/{pid}/maps").read_text()
            except OSError:
                continue
            for line in maps.splitlines():
                path = line.partition("/dev/shm/")[2]
                if path:
                    self.segments.add(Path("/dev/shm", path.removesuffix(" (deleted)")))

    def wait_until(self, condition: Callable[[SupervisedRun], bool]) -> None:
        """Wait until the run is in some state; fail if it ends before that."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(self):
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"state not reached; the run printed:\n{self.output()}")
            self._note_segments()
            time.sleep(POLL_S)

    def interrupt(self, signum: int = signal.SIGINT) -> None:
        """Send a signal to the process group, as a terminal does on Ctrl-C."""
        os.killpg(self._process.pid, signum)

    def terminate(self) -> None:
        """Send SIGTERM to the program alone, as a supervisor does."""
        os.kill(self._process.pid, signal.SIGTERM)

    def finish(self) -> int:
        """Wait for the end of the run and return its exit status."""
        deadline = time.monotonic() + DEADLINE_S
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                pytest.fail(f"the run did not end; it printed:\n{self.output()}")
            self._note_segments()
            time.sleep(POLL_S)
        return self._process.returncode

    def leftovers(self) -> list[str]:
        """Return the processes, segments and files that outlived the run."""
        deadline = time.monotonic() + EXIT_DEADLINE_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        files = self._files.iterdir()
        segments = (path for path in self.segments if path.exists())
        return [*self.programs(), *map(str, files), *map(str, segments)]
