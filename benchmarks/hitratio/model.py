"""Ideal, byte-accounted S3-FIFO and GDSF, the yardsticks for lilcache's hit ratio.

S3-FIFO: J. Yang, Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi, "FIFO queues are all you
need for cache eviction", SOSP 2023, https://doi.org/10.1145/3600006.3613147.
Choices the paper leaves open follow the S3FIFO policy of libCacheSim, the authors'
simulator, with small_size_ratio=0.1, ghost_size_ratio=0.9 and
move_to_main_threshold=1.

GDSF: L. Cherkasova, "Improving WWW proxies performance with Greedy-Dual-Size-
Frequency caching policy", HP Laboratories technical report HPL-98-69R1, 1998, with
the cost of every miss 1, which favours object hits.

``check_model.py`` compares both with libCacheSim's.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable

SMALL_RATIO, GHOST_RATIO = 0.1, 0.9
MAX_HITS = 3

USABLE_SHARE = 0.94
"""Share of a segment's bytes taken as room for items."""

ITEM_OVERHEAD = 30
"""Bytes charged for one item besides its key and value."""


def capacity_of(segment_bytes: int) -> int:
    """Return the model capacity, in bytes, that stands for a segment."""
    return int(segment_bytes * USABLE_SHARE)


def item_bytes(key: str, value_bytes: int) -> int:
    """Return the bytes charged for an item: key, value and overhead."""
    return len(key.encode()) + value_bytes + ITEM_OVERHEAD


def max_value_bytes(segment_bytes: int) -> int:
    """Return the largest value, in bytes, that lilcache stores in a segment."""
    return min(segment_bytes // 4, 16 << 20)


def count_hits(
    access: Callable[[str, int], bool],
    requests: Iterable[tuple[str, int]],
    segment_bytes: int,
) -> int:
    """Replay requests on a cache model and return the number of hits.

    Args and skipped values are those of ``count_objects_and_bytes``.
    """
    return count_objects_and_bytes(access, requests, segment_bytes)[0]


def count_objects_and_bytes(
    access: Callable[[str, int], bool],
    requests: Iterable[tuple[str, int]],
    segment_bytes: int,
) -> tuple[int, int]:
    """Replay requests on a cache model and return its hits and their value bytes.

    Args:
        access: takes a key and its item's bytes, caches it on a miss and returns
            whether it was a hit.
        requests: pairs of key and value size in bytes.
        segment_bytes: segment size in bytes; values above its ``max_value_bytes``
            miss without reaching ``access``, as lilcache refuses them.
    """
    limit = max_value_bytes(segment_bytes)
    hits = hit_bytes = 0
    for key, size in requests:
        if size <= limit and access(key, item_bytes(key, size)):
            hits += 1
            hit_bytes += size
    return hits, hit_bytes


class S3FIFO:
    """S3-FIFO over keys and byte sizes; it stores no values.

    New keys enter the small queue, 10 % of the capacity. On leaving it, a key that
    was hit moves to main with its counter cleared; any other is evicted and kept as
    a ghost, as long as the ghosts' evicted bytes are at most 90 % of the capacity.
    A miss on a ghost enters main. Main reinserts its oldest key, at one hit less,
    while that key's counter is positive, and evicts it otherwise.

    Args:
        capacity: bytes shared by the small and the main queue.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._small_capacity = int(capacity * SMALL_RATIO)
        self._main_capacity = capacity - self._small_capacity
        self._ghost_capacity = int(capacity * GHOST_RATIO)
        # Oldest key first. An entry of a resident key is [bytes, hits].
        self._small: OrderedDict[str, list[int]] = OrderedDict()
        self._main: OrderedDict[str, list[int]] = OrderedDict()
        self._ghost: OrderedDict[str, int] = OrderedDict()
        self._small_bytes = 0
        self._main_bytes = 0
        self._ghost_bytes = 0
        self._has_evicted = False

    def __contains__(self, key: str) -> bool:
        return key in self._small or key in self._main

    def access(self, key: str, size: int) -> bool:
        """Look up a key, cache it on a miss and return whether it was a hit.

        An item that would fill the small queue alone is never cached. ``size``
        counts only on a miss.
        """
        entry = self._small.get(key) or self._main.get(key)
        if entry is not None:
            entry[1] = min(entry[1] + 1, MAX_HITS)
            return True
        ghost_size = self._ghost.pop(key, None)
        if ghost_size is not None:
            self._ghost_bytes -= ghost_size
        if size >= self._small_capacity:
            return False
        while self._small_bytes + self._main_bytes + size > self.capacity:
            self._evict()
        # Until the first eviction the whole capacity is free, so a full small
        # queue overflows into the main queue instead of outgrowing its share.
        overflow = not self._has_evicted and self._small_bytes >= self._small_capacity
        if ghost_size is not None or overflow:
            self._push_main(key, [size, 0])
        else:
            self._small[key] = [size, 0]
            self._small_bytes += size
        return False

    def _evict(self) -> None:
        self._has_evicted = True
        if self._main_bytes > self._main_capacity or not self._small:
            self._evict_main()
        else:
            self._evict_small()

    def _evict_small(self) -> None:
        """Move keys that were hit to main until one that was not is evicted."""
        while self._small:
            key, (size, hits) = self._small.popitem(last=False)
            self._small_bytes -= size
            if not hits:
                self._push_ghost(key, size)
                return
            self._push_main(key, [size, 0])

    def _evict_main(self) -> None:
        hits = 1
        while hits:
            key, (size, hits) = self._main.popitem(last=False)
            self._main_bytes -= size
            if hits:
                self._push_main(key, [size, hits - 1])

    def _push_main(self, key: str, entry: list[int]) -> None:
        self._main[key] = entry
        self._main_bytes += entry[0]

    def _push_ghost(self, key: str, size: int) -> None:
        self._ghost[key] = size
        self._ghost_bytes += size
        while self._ghost_bytes > self._ghost_capacity:
            self._ghost_bytes -= self._ghost.popitem(last=False)[1]


class GDSF:
    """Greedy-Dual-Size-Frequency over keys and byte sizes; it stores no values.

    A resident key has the priority L + requests / bytes, worked out at its latest
    request; the lowest is evicted, and L becomes what it had. So a key that is not
    requested stays for a time that is inversely proportional to its size.

    Args:
        capacity: bytes of all keys together.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._bytes = 0
        self._inflation = 0.0
        # An entry of a resident key is its bytes, its requests, and the number of its
        # valid place in the heap; places of earlier requests are passed over.
        self._entries: dict[str, tuple[int, int, int]] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._places = 0

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def access(self, key: str, size: int) -> bool:
        """Look up a key, cache it on a miss and return whether it was a hit.

        An item larger than the capacity is never cached. ``size`` counts only on a
        miss.
        """
        entry = self._entries.get(key)
        if entry is not None:
            self._place(key, entry[0], entry[1] + 1)
            return True
        if size > self.capacity:
            return False
        while self._bytes + size > self.capacity:
            self._evict()
        self._bytes += size
        self._place(key, size, 1)
        return False

    def _place(self, key: str, size: int, requests: int) -> None:
        self._places += 1
        self._entries[key] = (size, requests, self._places)
        priority = self._inflation + requests / size
        heapq.heappush(self._heap, (priority, self._places, key))

    def _evict(self) -> None:
        while True:
            priority, place, key = heapq.heappop(self._heap)
            entry = self._entries.get(key)
            if entry is not None and entry[2] == place:
                break
        self._inflation = priority
        self._bytes -= entry[0]
        del self._entries[key]
