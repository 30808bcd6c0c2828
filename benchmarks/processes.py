"""Child processes that never outlive their parent, and signals that stop a run.

A signal only leaves a note, which ``check_stop`` turns into ``StoppedError`` where the
run waits. An exception raised by the handler itself could strike inside a ``finally``
block and leave a process or a segment behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from types import FrameType

POLL_S = 0.01
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_noted: list[int] = []


class BenchmarkError(Exception):
    """A run could not be carried out; the message says what to do."""


class StoppedError(Exception):
    """A signal asked the run to stop.

    Attributes:
        signum: number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


def _note(signum: int, _frame: FrameType | None) -> None:
    _noted.append(signum)


def catch_stop_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end the run at its next ``check_stop``."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, _note)


def check_stop() -> None:
    """Raise ``StoppedError`` if a signal has asked the run to stop."""
    if _noted:
        raise StoppedError(_noted[0])


def poll_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait until a condition holds.

    Args:
        condition: called every few milliseconds.
        timeout_s: seconds to wait at most.
        what: what is waited for, for the error.

    Raises:
        BenchmarkError: the condition did not hold in time.
        StoppedError: a signal asked the run to stop.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        check_stop()
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process as soon as its parent is gone.

    Args:
        parent_pid: the parent as it was before the fork; if it has died since then,
            the kernel would send nothing, so this process ends at once.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        os._exit(1)


def start_process(
    command: list[str],
    *,
    log: int,
    pass_fds: tuple[int, ...] = (),
    env: dict[str, str] | None = None,
    cwd: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that a Ctrl-C is for the parent only.

    Args:
        command: program and arguments.
        log: file descriptor for its standard output and standard error.
        pass_fds: descriptors it inherits.
        env: its environment; None is the parent's.
        cwd: its working directory; None is the parent's.
    """
    # Python code between fork and exec is sound here: the parent has no other thread.
    parent_pid = os.getpid()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=pass_fds,
        env=env,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(parent_pid),
    )


def has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a program has ended, without collecting its exit status."""
    if process.returncode is not None:
        return True
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


def end_process(process: subprocess.Popen[bytes], grace_s: float = 5.0) -> None:
    """End a program that ``start_process`` started, and all it started itself.

    Args:
        process: the program, running or not.
        grace_s: seconds between SIGTERM and SIGKILL.
    """
    if process.returncode is not None:
        return
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while not has_exited(process) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    # The group bears the program's pid, which cannot be reused before the wait.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
