"""Module-level functions: thin twins of Cache's methods on one default cache."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, Union, cast

from ._compression import DEFAULT_THRESHOLD
from ._keys import Key
from ._options import Account
from ._ttl import TTL
from ._verbs import Verbs, module_functions
from .cache import Cache
from .errors import AlreadyInitializedError, NotInitializedError
from .serializers import Serializer
from .stats import Stats


class _NoCache:
    """Stands where the default cache will be: every use says what is missing."""

    def __getattr__(self, verb: str) -> NoReturn:
        raise NotInitializedError(
            "there is no default cache in this process: call lilcache.init() once,"
            " before or after fork"
        )


_cache = cast(Cache, _NoCache())
_hot = Verbs()
_arguments: dict[str, Any] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    """In a forked child: the thread that held the lock may not be there."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def init(
    name: str | None = None,
    *,
    size_mb: float | None = None,
    max_value_mb: float | None = None,
    anonymous: bool = False,
    recreate: bool = False,
    checksums: bool = False,
    favor: str = "objects",
    huge_pages: bool = False,
    max_processes: int | None = None,
    owner: Account = None,
    group: Account = None,
    guard: bool | None = None,
    local: int = 0,
    local_shared: bool = False,
    compression: str | None = None,
    compression_threshold: int = DEFAULT_THRESHOLD,
    serializer: Union[str, Serializer] = "auto",
    signing_key: bytes | None = None,
    lock_timeout: float = 1.0,
) -> Cache:
    """Open the default cache, which the module-level functions use, and return it.

    Call it once per process, before or after fork: a child inherits it. Called again
    with the same arguments, or with none, it returns the cache that is open.

    Args:
        As Cache.

    Raises:
        AlreadyInitializedError: It is open with other arguments.
        LilcacheError: As Cache.
    """
    global _arguments
    arguments: dict[str, Any] = {
        "name": name,
        "size_mb": size_mb,
        "max_value_mb": max_value_mb,
        "anonymous": anonymous,
        "recreate": recreate,
        "checksums": checksums,
        "favor": favor,
        "huge_pages": huge_pages,
        "max_processes": max_processes,
        "owner": owner,
        "group": group,
        "guard": guard,
        "local": local,
        "local_shared": local_shared,
        "compression": compression,
        "compression_threshold": compression_threshold,
        "serializer": serializer,
        "signing_key": signing_key,
        "lock_timeout": lock_timeout,
    }
    with _lock:
        if _is_open():
            if arguments not in (_arguments, _DEFAULTS):
                raise AlreadyInitializedError(
                    f"the default cache {_cache.name!r} is open with other arguments:"
                    " call lilcache.close() first, or make a Cache of your own"
                )
        else:
            _use(Cache(**arguments))
            _arguments = arguments
        return _cache


_DEFAULTS: dict[str, Any] = {"name": None, **(init.__kwdefaults__ or {})}


def _use(cache: Cache) -> None:
    global _cache
    _cache = cache
    port = cache._handle.port if isinstance(cache, Cache) else None
    _hot._plug(port, cache)


def _is_open() -> bool:
    return isinstance(_cache, Cache) and not _cache.closed


def get(key: Key, default: Any = None) -> Any:
    """Cache.get on the default cache."""
    return _cache.get(key, default)


def set(key: Key, value: Any, ttl: TTL = None) -> bool:
    """Cache.set on the default cache."""
    return _cache.set(key, value, ttl)


def add(key: Key, value: Any, ttl: TTL = None) -> bool:
    """Cache.add on the default cache."""
    return _cache.add(key, value, ttl)


def replace(key: Key, value: Any, ttl: TTL = None) -> bool:
    """Cache.replace on the default cache."""
    return _cache.replace(key, value, ttl)


def delete(key: Key) -> bool:
    """Cache.delete on the default cache."""
    return _cache.delete(key)


def pop(key: Key, default: Any = None) -> Any:
    """Cache.pop on the default cache."""
    return _cache.pop(key, default)


def touch(key: Key, ttl: TTL) -> bool:
    """Cache.touch on the default cache."""
    return _cache.touch(key, ttl)


def ttl(key: Key, default: Any = 0.0) -> Any:
    """Cache.ttl on the default cache."""
    return _cache.ttl(key, default)


def incr(
    key: Key, delta: int = 1, initial: int | None = None, ttl: TTL = None
) -> int | None:
    """Cache.incr on the default cache."""
    return _cache.incr(key, delta, initial, ttl)


def decr(
    key: Key, delta: int = 1, initial: int | None = None, ttl: TTL = None
) -> int | None:
    """Cache.decr on the default cache."""
    return _cache.decr(key, delta, initial, ttl)


def gets(key: Key, default: Any = None) -> tuple[Any, int | None]:
    """Cache.gets on the default cache."""
    return _cache.gets(key, default)


def cas(key: Key, value: Any, stamp: int | None, ttl: TTL = None) -> bool:
    """Cache.cas on the default cache."""
    return _cache.cas(key, value, stamp, ttl)


def get_many(keys: Iterable[Key]) -> dict[Key, Any]:
    """Cache.get_many on the default cache."""
    return _cache.get_many(keys)


def set_many(mapping: Mapping[Key, Any], ttl: TTL = None) -> list[Key]:
    """Cache.set_many on the default cache."""
    return _cache.set_many(mapping, ttl)


def delete_many(keys: Iterable[Key]) -> int:
    """Cache.delete_many on the default cache."""
    return _cache.delete_many(keys)


def clear() -> None:
    """Cache.clear on the default cache."""
    _cache.clear()


def scan() -> Iterator[Key]:
    """Cache.scan on the default cache."""
    return _cache.scan()


def view(key: Key, default: Any = None) -> Any:
    """Cache.view on the default cache."""
    return _cache.view(key, default)


def stats() -> Stats:
    """Cache.stats on the default cache."""
    return _cache.stats()


def check() -> list[str]:
    """Cache.check on the default cache."""
    return _cache.check()


def close() -> None:
    """Cache.close on the default cache; nothing happens if there is none."""
    if _is_open():
        _cache.close()


def destroy() -> None:
    """Cache.destroy on the default cache."""
    _cache.destroy()


_use(_cache)
globals().update(module_functions(_hot))
