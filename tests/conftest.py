"""What all tests share: unique segments that are removed, children, bounded waits.

Every segment a test makes is named with a prefix of this run. One that is left behind
fails the test that left it.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lilcache
from lilcache import Cache

ROOT = Path(__file__).resolve().parents[1]
SHM = Path("/dev/shm")
RUN = f"test-{os.getpid()}-{secrets.token_hex(3)}"


def short(value: object) -> str:
    """A test id for any parameter, the same in every process.

    Ints may be too long to be printed, and objects may print where they are.
    """
    if isinstance(value, int) and value.bit_length() > 100:
        return f"int of {value.bit_length()} bits"
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))[:40]


def leftovers() -> list[str]:
    """Names of this run's segments that exist now."""
    return sorted(path.name for path in SHM.glob(f"*{RUN}*"))


def wait_until(
    condition: Callable[[], Any], seconds: float = 10.0, interval: float = 0.001
) -> Any:
    """Return condition()'s first true value; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(interval)


def run_python(code: str, *arguments: str, timeout: float = 30.0) -> str:
    """Run code in a new interpreter, warnings as errors; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    # Finalisers that fail at shutdown only show as text.
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class Child:
    """A new interpreter that runs code; it and the test talk in lines."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().rstrip("\n")
        if not line:
            assert self.process.stderr is not None
            raise AssertionError("the child ended: " + self.process.stderr.read())
        return line

    def ask(self, line: str) -> str:
        self.send(line)
        return self.line()

    def end(self, timeout: float = 20.0) -> int:
        """Close its input, wait for its end and return its exit code."""
        try:
            self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Set up first and torn down last: fails the test that leaves a segment."""
    yield
    left = leftovers()
    for name in left:
        (SHM / name).unlink()
    assert not left, f"left in {SHM}: {left}"


@pytest.fixture
def unique_name(_nothing_left_behind: None) -> Iterator[Callable[[], str]]:
    """Return a function that gives a new name; what has that name is removed."""
    names: list[str] = []

    def new() -> str:
        names.append(f"{RUN}-{len(names)}")
        return names[-1]

    yield new
    for name in names:
        # By path, since a test may leave what Cache refuses to attach.
        for path in SHM.glob(f"lilcache-{name}.*"):
            path.unlink()


@pytest.fixture
def make_cache(unique_name: Callable[[], str]) -> Callable[..., Cache]:
    """Return a function that makes a named cache, removed after the test."""

    def make(kind: type = Cache, **options: Any) -> Any:
        options.setdefault("size_mb", 16)
        return kind(unique_name(), **options)

    return make


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Return a function that starts a Child; all are ended after the test."""
    children: list[Child] = []

    def start(code: str, *arguments: str) -> Child:
        children.append(Child(code, *arguments))
        return children[-1]

    yield start
    for started in children:
        started.kill()


@pytest.fixture
def too_large_mb() -> int:
    """MiB of a segment that no reservation begins to make room for.

    More than all of /dev/shm: the kernel refuses at once instead of filling it first.
    """
    space = os.statvfs(SHM)
    return 2 * space.f_blocks * space.f_frsize // 2**20


@pytest.fixture
def no_default_cache() -> Iterator[None]:
    """The module-level functions have no open cache before and after the test."""
    lilcache.close()
    yield
    lilcache.close()
