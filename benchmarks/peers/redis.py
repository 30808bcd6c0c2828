"""Redis on a unix socket, with hiredis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from ..redis_server import RedisServer, find_redis_server
from . import Verbs

SOCKET = "redis.sock"
"""A link: the server chooses a folder of its own."""


@contextmanager
def joined(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the methods of a client of the server that is there."""
    with redis.Redis(unix_socket_path=str(folder / SOCKET)) as client:
        yield Verbs(client.get, client.set, client.delete, takes_str=False)


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the client's own methods."""
    with RedisServer(find_redis_server()) as server:
        (folder / SOCKET).symlink_to(server.socket_path)
        with redis.Redis(unix_socket_path=server.socket_path) as client:
            client.config_set("maxmemory", f"{size_mb}mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
        with joined(size_mb, folder) as verbs:
            yield verbs
