"""memcached on a unix socket, with pylibmc."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pylibmc

from ..processes import BenchmarkError, end_process, poll_until, start_process
from . import Verbs

START_TIMEOUT_S = 20.0
SOCKET = "memcached.sock"


def item_max(size_mb: int) -> int:
    """Return bytes of the largest item: memcached allows half of its memory."""
    return min(16 << 20, size_mb << 19)


@contextmanager
def joined(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the methods of a client of the server that is there."""
    client = pylibmc.Client([str(folder / SOCKET)], binary=True)
    try:
        value_max = item_max(size_mb) - 1024
        yield Verbs(
            client.get,
            client.set,
            client.delete,
            value_max=value_max,
            get_many=client.get_multi,
            set_many=client.set_multi,
        )
    finally:
        client.disconnect_all()


@contextmanager
def server(size_mb: int, folder: Path, *options: str) -> Iterator[int]:
    """Give the process id of a server, with more options, that listens in a folder."""
    program = shutil.which("memcached")
    if program is None:
        raise BenchmarkError("no memcached found: install it (make peers does)")
    socket = folder / SOCKET
    command = [program, "-s", str(socket), "-m", str(size_mb)]
    command += ["-I", str(item_max(size_mb)), *options]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    with (folder / "memcached.log").open("wb") as log:
        process = start_process(command, log=log.fileno())
    try:
        poll_until(socket.exists, START_TIMEOUT_S, f"start of {program}")
        yield process.pid
    finally:
        end_process(process)


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the client's own methods."""
    with server(size_mb, folder), joined(size_mb, folder) as verbs:
        yield verbs
