"""A memory cgroup of version 1 with a limit, removed when it is no longer needed."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from benchmarks.processes import POLL_S, BenchmarkError

CONTROLLER = Path("/sys/fs/cgroup/memory")
LIMIT_BYTES = 16 << 20
"""What its processes may allocate after they were moved in; what they have stays."""

REMOVAL_S = 10.0


def _own() -> Path:
    """Return this process's own group, whose limits a new one inside inherits."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            own = CONTROLLER / path.lstrip("/")
            # In a container the path may be that of the host.
            return own if own.is_dir() else CONTROLLER
    raise BenchmarkError(
        "the memory controller of cgroup version 1 is not there: deaths out of memory"
        f" need it at {CONTROLLER}"
    )


class MemoryGroup:
    """As a context manager: a group that exists until all its processes are gone."""

    def __init__(self) -> None:
        self._path = _own() / f"lilcache-servers-{os.getpid()}-{secrets.token_hex(4)}"

    def __enter__(self) -> MemoryGroup:
        try:
            self._path.mkdir()
            (self._path / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
        except OSError as error:
            raise BenchmarkError(
                f"no memory cgroup can be made, which takes root: {error}"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not poll_until, which a signal ends early: the group has to go all the same.
        deadline = time.monotonic() + REMOVAL_S
        while not self._removed():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self._path} cannot be removed")
            time.sleep(POLL_S)

    def _removed(self) -> bool:
        try:
            self._path.rmdir()
        except OSError:
            return False
        return True

    def add(self, pids: Iterable[int]) -> None:
        """Move processes into the group."""
        for pid in pids:
            (self._path / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        """Return how many processes the kernel has killed for want of memory."""
        for line in (self._path / "memory.oom_control").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
        raise BenchmarkError("memory.oom_control does not count kills: kernel too old")
