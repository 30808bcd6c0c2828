"""The demo's WSGI application: a slow computation whose results all workers share."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import lilcache

NAME_VARIABLE = "LILCACHE_DEMO_NAME"
"""Environment variable that names the segment."""

SIZE_MB = 16

ITERATIONS = 25_000
"""Some 5 to 10 ms of work on a processor of today."""


def compute(item: int) -> str:
    """Return the value of an item, slowly, and the same one every time."""
    return hashlib.pbkdf2_hmac("sha256", str(item).encode(), b"demo", ITERATIONS).hex()


def attach() -> None:
    """Attach this worker to the segment of the demo."""
    lilcache.init(size_mb=SIZE_MB, name=os.environ[NAME_VARIABLE])


def application(
    environ: dict[str, Any],
    start_response: Callable[[str, list[tuple[str, str]]], Any],
) -> Iterable[bytes]:
    """Answer ``/item/<number>`` with its value and the workers behind the answer."""
    prefix, _, number = environ["PATH_INFO"].rpartition("/")
    if prefix != "/item" or not number.isdecimal():
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    item = int(number)
    key = f"item:{item}"
    entry = lilcache.get(key)
    hit = entry is not None
    if entry is None:
        entry = {"value": compute(item), "computed_by": os.getpid()}
        lilcache.set(key, entry)
    body = json.dumps({**entry, "served_by": os.getpid(), "hit": hit}).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
    ]
    start_response("200 OK", headers)
    return [body]
