"""The users and namespaces of these tests are real, so they take root."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lilcache
from lilcache import Cache

from ..conftest import SHM
from .neighbours import kill, object_path, start_as

CREATION_BYTE = 1 << 40


@pytest.fixture(autouse=True, scope="session")
def _root() -> None:
    assert os.geteuid() == 0, "run it as root: it becomes other users"


@pytest.fixture
def name(unique_name: Callable[[], str]) -> Iterator[str]:
    """A name whose object is removed after the test, whatever it is."""
    chosen = unique_name()
    yield chosen
    for path in SHM.glob(f"*{chosen}*"):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


class Stuck:
    """A segment that a creator has begun, and processes that wait for it."""

    def __init__(self) -> None:
        self.name = f"hostile-stuck-{os.getpid()}"
        self.path = object_path(self.name)
        self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        self._lock(fcntl.F_WRLCK)
        self.openers = [
            start_as(0, lambda o=options: self._open(**o))
            for options in ({}, {}, {"recreate": True})
        ]

    def resume(self) -> None:
        """Let go of the creation byte, as the creator does in its last step."""
        self._lock(fcntl.F_UNLCK)

    def end(self) -> None:
        for opener in self.openers:
            kill(opener)
        os.close(self._file)
        self.path.unlink(missing_ok=True)

    def _lock(self, kind: int) -> None:
        byte = struct.pack("hhqqi", kind, os.SEEK_SET, CREATION_BYTE, 1, 0)
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, byte)

    def _open(self, **options: Any) -> tuple[str, str, float]:
        started = time.monotonic()
        try:
            with Cache(self.name, size_mb=1, **options):
                return "opened", "", 0.0
        except lilcache.LilcacheError as error:
            return type(error).__name__, str(error), time.monotonic() - started


@pytest.fixture(autouse=True, scope="session")
def stuck(_root: None) -> Iterator[Stuck]:
    begun = Stuck()
    yield begun
    begun.end()
