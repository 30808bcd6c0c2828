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
VALUE_MAX = 16 << 20
SOCKET = "memcached.sock"


@contextmanager
def joined(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the methods of a client of the server that is there."""
    client = pylibmc.Client([str(folder / SOCKET)], binary=True)
    try:
        yield Verbs(client.get, client.set, client.delete, value_max=VALUE_MAX - 1024)
    finally:
        client.disconnect_all()


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the client's own methods."""
    program = shutil.which("memcached")
    if program is None:
        raise BenchmarkError("no memcached found: install it (make peers does)")
    socket = folder / SOCKET
    command = [program, "-s", str(socket), "-m", str(size_mb), "-I", str(VALUE_MAX)]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    with (folder / "memcached.log").open("wb") as log:
        server = start_process(command, log=log.fileno())
    try:
        poll_until(socket.exists, START_TIMEOUT_S, f"start of {program}")
        with joined(size_mb, folder) as verbs:
            yield verbs
    finally:
        end_process(server)
