"""How many items 64 MiB hold, each of them read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..peers import Verbs, peer
from ..processes import check_stop

TITLE = "Items in 64 MiB by the size of the value, keys of 16 bytes"
NOTE = (
    "More are set than fit, 16 KiB in a call, then those are counted whose value comes "
    "back. To servers 64 MiB is what they are told (`-m 64`, `maxmemory 64mb`); what "
    "their processes take beside that is not counted. Used: the share of the 64 MiB "
    "that is keys and values."
)
PEERS = {"lilcache": "lilcache", "memcached": "memcached", "redis": "Redis"}
COLUMNS = {"value": "{value}"}
for _peer, _title in PEERS.items():
    COLUMNS[_title] = f"{{{_peer}_items:,}}"
    COLUMNS[f"{_title}, used"] = f"{{{_peer}_share:.1%}}"
SIZE_MB = 64
SIZES = {"64 B": 64, "100 B": 100, "1 KiB": 1024, "4 KiB": 4096, "64 KiB": 65_536}
KEY_BYTES = 16
BATCH_BYTES = 16_384
"""Of keys and values in one call: a server may go beyond its limit by so much."""


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield value, and for each peer items and the share of the bytes they are."""
    for title, size in SIZES.items():
        row: dict[str, Any] = {"value": title, "value_bytes": size}
        for name in PEERS:
            check_stop()
            own = folder / f"{name}-{size}"
            own.mkdir()
            with peer(name).opened(SIZE_MB, own) as verbs:
                items = held(verbs, size)
            share = items * (KEY_BYTES + size) / (SIZE_MB << 20)
            row |= {f"{name}_items": items, f"{name}_share": share}
        yield row


def held(verbs: Verbs, size: int) -> int:
    """Set a few more items than can be there; return how many come back.

    In batches: a call for each of a million items takes a server minutes.
    """
    assert verbs.set_many is not None
    assert verbs.get_many is not None
    count = int((SIZE_MB << 20) / (KEY_BYTES + size) * 1.02)
    value = b"x" * size
    came_back = 0
    keys = [f"k{number:0{KEY_BYTES - 1}d}" for number in range(count)]
    step = max(1, BATCH_BYTES // (KEY_BYTES + size))
    batches = [keys[at : at + step] for at in range(0, count, step)]
    for batch in batches:
        check_stop()
        verbs.set_many(dict.fromkeys(batch, value))
    for batch in batches:
        check_stop()
        found = verbs.get_many(batch)
        came_back += sum(found.get(key) == value for key in batch)
    return came_back
