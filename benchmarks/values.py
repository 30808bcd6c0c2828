"""Values such as programs cache, the same ones in every run."""

from __future__ import annotations

import json
import pickle
import pydoc
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from random import Random
from typing import Any
from uuid import UUID

VARIANTS = 16
"""Different values of each kind and length."""

MODULES = "argparse asyncio collections decimal email inspect json logging os pathlib"
FIRST = "Ada Alan Barbara Dennis Donald Edsger Frances Grace Guido Ken Linus".split()
LAST = "Allen Dijkstra Hamilton Hopper Kernighan Knuth Liskov Ritchie Turing".split()
TAGS = "admin beta customer editor internal newsletter partner premium trial".split()


def _records(random: Random, count: int) -> list[dict[str, Any]]:
    """Return objects such as a database gives."""
    start = datetime(2026, 1, 1)
    return [
        {
            "id": number,
            "uuid": UUID(int=random.getrandbits(128)),
            "name": f"{random.choice(FIRST)} {random.choice(LAST)}",
            "email": f"{random.choice(LAST)}{random.randrange(9999)}@example.com",
            "active": random.random() < 0.8,
            "balance": Decimal(random.randrange(10**7)) / 100,
            "created": start + timedelta(seconds=random.randrange(10**7)),
            "tags": random.sample(TAGS, random.randrange(4)),
        }
        for number in range(count)
    ]


def _json_texts(size: int) -> list[str]:
    """Return answers of an API, cut to the length."""
    return [
        json.dumps(_records(Random(seed), size // 100 + 1), default=str)[:size]
        for seed in range(VARIANTS)
    ]


def _html_texts(size: int) -> list[str]:
    """Return parts of the documentation that Python makes of its own library."""
    page = "".join(
        pydoc.html.document(import_module(name), name) for name in MODULES.split()
    )
    page = page.encode("ascii", "replace").decode()
    step = (len(page) - size) // VARIANTS
    return [page[step * number :][:size] for number in range(VARIANTS)]


def _record_lists(size: int) -> list[list[dict[str, Any]]]:
    """Return lists of records whose pickles are about so long."""
    lists = []
    for seed in range(VARIANTS):
        made = _records(Random(seed), size // 100 + 1)
        each = len(pickle.dumps(made, 5)) / len(made)
        lists.append(made[: max(1, round(size / each))])
    return lists


def _noises(size: int) -> list[bytes]:
    """Return what nothing compresses."""
    return [Random(seed).randbytes(size) for seed in range(VARIANTS)]


VALUES: dict[str, Callable[[int], list[Any]]] = {
    "JSON": _json_texts,
    "records": _record_lists,
    "HTML": _html_texts,
    "noise": _noises,
}
"""By kind, what returns VARIANTS values of about so many bytes when encoded."""
