"""Commands with a time limit that leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SHM = Path("/dev/shm")
LAST_BYTES = 60_000


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        status: exit status; negative: the signal; None: the time limit.
        output: the last of what it printed, both streams.
        seconds: how long it took.
    """

    status: int | None
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        return self.status == 0


def session_members(session: int) -> dict[int, int]:
    """Return the process group of every process of this session that runs, by pid."""
    members = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if fields[0] != "Z" and int(fields[3]) == session:
                members[int(entry.name)] = int(fields[2])
    return members


def end_session(session: int) -> None:
    """Kill what a command left behind: processes, and segments of its tests.

    Tests put themselves into process groups of their own and name segments by them, so
    the group of the command is not enough.
    """
    groups = set()
    while members := session_members(session):
        groups |= set(members.values())
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)
    for group in groups:
        for left in SHM.glob(f"lct-{group}-*"):
            left.unlink(missing_ok=True)


def run_limited(
    command: Sequence[str | Path],
    cwd: Path,
    limit: float,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a command in a session of its own for at most `limit` seconds."""
    started = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    ) as child:
        try:
            printed, _ = child.communicate(timeout=limit)
            status: int | None = child.returncode
        except subprocess.TimeoutExpired:
            status = None
            end_session(child.pid)
            printed, _ = child.communicate()
        end_session(child.pid)
    text = printed[-LAST_BYTES:].decode(errors="replace")
    return Outcome(status, text, time.monotonic() - started)
