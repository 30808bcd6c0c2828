"""The WSGI application: one request for each thing that the cache can do.

A request is a path and a query; the header ``X-Reply`` of the answer is JSON, its body
the value that was read, byte for byte, so that the client does the checking.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import lilcache

from . import values
from .settings import (
    ANNOUNCE_VARIABLE,
    FAMINE_BYTES,
    NAME_VARIABLE,
    STANDING_KEY,
    STANDING_VALUE,
)

WORK_KEYS = 400
HELLO_S = 0.05
BUSY = "503 Service Unavailable"
FAILED = "500 Internal Server Error"

Answer = tuple[dict[str, Any], Iterable[bytes], int]

cache = lilcache.Cache(os.environ[NAME_VARIABLE])
# Held as long as the process lives, so that every death leaves a pin behind; workers
# that were forked with it inherit it.
standing = cache.view(STANDING_KEY)
_announced = 0


def _whole(reply: dict[str, Any], value: bytes | None = None) -> Answer:
    if value is None:
        return reply, [], 0
    return reply, [value], len(value)


def do_set(key: str, writer: str, serial: str, size: str, ttl: str = "") -> Answer:
    """Store a value that says what it is."""
    value = values.make(key, writer, int(serial), int(size))
    return _whole({"stored": cache.set(key, value, ttl=float(ttl) if ttl else None)})


def do_get(key: str) -> Answer:
    """Return the value, if there is one."""
    value = cache.get(key)
    return _whole({"hit": value is not None}, value)


def do_many(keys: str) -> Answer:
    """Return several values, one behind the other."""
    found = cache.get_many(keys.split(","))
    sizes = {key: len(value) for key, value in found.items()}
    return _whole({"sizes": sizes}, b"".join(found.values()))


def do_delete(key: str) -> Answer:
    """Forget a key."""
    return _whole({"was_there": cache.delete(key)})


def do_incr(key: str, times: str) -> Answer:
    """Count up, each time by one."""
    total = 0
    for _ in range(int(times)):
        total = cache.incr(key, initial=1) or 0
    return _whole({"total": total})


def do_cas(key: str, times: str, size: str) -> Answer:
    """Count up by compare-and-swap, the count being the serial number of a value."""
    done = 0
    while done < int(times):
        value, stamp = cache.gets(key)
        if value is None:
            done += cache.add(key, values.make(key, "cas", 1, int(size)))
            continue
        label = values.read(key, value)
        higher = values.make(key, "cas", label.serial + 1, int(size))
        done += cache.cas(key, higher, stamp)
    return _whole({"done": done})


def do_view(key: str, churn: str) -> Answer:
    """Send a view from where it lies while other values come and go."""
    view = cache.view(key)
    if view is None:
        return _whole({"hit": False})
    return {"hit": True}, _send_view(view, churn), len(view)


def _send_view(view: Any, churn: str) -> Iterator[bytes]:
    with view as memory:
        half = len(memory) // 2
        yield bytes(memory[:half])
        for serial in range(3):
            cache.set(churn, values.make(churn, "churn", serial, values.LARGE))
        yield bytes(memory[half:])
        cache.delete(churn)


def do_work(times: str) -> Answer:
    """Do a fixed mixture of calls, for measurements of throughput."""
    for i in range(int(times)):
        key = f"work{i * 7 % WORK_KEYS}"
        value = cache.get(key)
        if value is None or i % 5 == 0:
            cache.set(key, f"{key} ".encode() * 20)
        elif not value.startswith(key.encode()):
            raise values.WrongValueError(f"{key}: {value[:40]!r}")
    cache.incr("work", initial=1)
    return _whole({})


def do_famine(pid: str, key: str) -> Answer:
    """If this is the worker: allocate until the kernel kills it, and go on writing."""
    if int(pid) != os.getpid():
        return _whole({})
    allocation = threading.Thread(target=_allocate)
    allocation.start()
    serial = 0
    while allocation.is_alive():
        serial += 1
        cache.set(key, values.make(key, "famine", serial, values.LARGE))
    return _whole({"survived": serial})


def _allocate() -> None:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, FAMINE_BYTES, flags=flags)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1


def do_hello() -> Answer:
    """Do nothing for so long that the next one goes to another worker."""
    time.sleep(HELLO_S)
    return _whole({})


ACTIONS: dict[str, Callable[..., Answer]] = {
    "set": do_set,
    "get": do_get,
    "many": do_many,
    "delete": do_delete,
    "incr": do_incr,
    "cas": do_cas,
    "view": do_view,
    "work": do_work,
    "famine": do_famine,
    "hello": do_hello,
}


def _announce() -> None:
    """Tell the test, once for each process, that it serves."""
    global _announced
    if _announced != os.getpid():
        _announced = os.getpid()
        os.write(int(os.environ[ANNOUNCE_VARIABLE]), f"{_announced}\n".encode())


def application(
    environ: dict[str, Any],
    start_response: Callable[[str, list[tuple[str, str]]], Any],
) -> Iterable[bytes]:
    """Do what the path says; 503 for a lock timeout, 500 with a reason for the rest."""
    _announce()
    status = "200 OK"
    began = time.monotonic()
    body: Iterable[bytes]
    try:
        action = ACTIONS[environ["PATH_INFO"].strip("/")]
        reply, body, length = action(**dict(parse_qsl(environ["QUERY_STRING"])))
        if bytes(standing) != STANDING_VALUE:
            raise values.WrongValueError("the standing view has changed")
    except lilcache.LockTimeoutError as error:
        status, (reply, body, length) = BUSY, _whole({"error": str(error)})
    except Exception:
        reason = traceback.format_exc()
        status, (reply, body, length) = FAILED, _whole({"error": reason})
    reply |= {"pid": os.getpid(), "took": time.monotonic() - began}
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(length)),
        ("X-Reply", json.dumps(reply)),
    ]
    start_response(status, headers)
    return body
