"""Redis on a unix socket, with hiredis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from ..redis_server import RedisServer, find_redis_server
from . import Verbs

SOCKET = "redis.sock"
"""A link: the server chooses a folder of its own."""


@contextmanager
def joined(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the methods of a client of the server that is there."""
    with redis.Redis(unix_socket_path=str(folder / SOCKET)) as client:

        def get_many(keys: Sequence[str]) -> dict[str, Any]:
            values = client.mget(keys)
            return {k: v for k, v in zip(keys, values, strict=True) if v is not None}

        yield Verbs(
            client.get,
            client.set,
            client.delete,
            takes_str=False,
            get_many=get_many,
            set_many=client.mset,
        )


@contextmanager
def server(maxmemory: int, policy: str, folder: Path) -> Iterator[int]:
    """Give the process id of a server that is found from a folder.

    Args:
        maxmemory: bytes that it counts itself.
        policy: what it evicts, a value of maxmemory-policy.
        folder: where clients look for it.
    """
    with RedisServer(find_redis_server()) as running:
        (folder / SOCKET).symlink_to(running.socket_path)
        with redis.Redis(unix_socket_path=running.socket_path) as client:
            client.config_set("maxmemory", maxmemory)
            client.config_set("maxmemory-policy", policy)
        yield running.pid


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the client's own methods."""
    with (
        server(size_mb << 20, "allkeys-lru", folder),
        joined(size_mb, folder) as verbs,
    ):
        yield verbs
