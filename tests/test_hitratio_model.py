"""Unit tests of the models of S3-FIFO and GDSF: sequences worked by hand.

S3-FIFO: with a capacity of 20 bytes and items of one byte, the small queue holds 2
items, the main queue 18 and the ghost queue 18 keys. Keys 0 and 1 then fill the small
queue and 2 to 19 the main queue, before anything is evicted.
"""

from __future__ import annotations

import random

import pytest

from benchmarks.hitratio.model import (
    GDSF,
    ITEM_OVERHEAD,
    S3FIFO,
    capacity_of,
    count_hits,
    count_objects_and_bytes,
    item_bytes,
    max_value_bytes,
)

CAPACITY = 20


def access_all(cache: S3FIFO, *keys: int | str) -> list[bool]:
    """Request one-byte items in turn and return which were hits."""
    return [cache.access(str(key), 1) for key in keys]


def resident(cache: S3FIFO, *keys: int | str) -> list[bool]:
    """Return which keys are cached."""
    return [str(key) in cache for key in keys]


@pytest.fixture
def full() -> S3FIFO:
    """A full cache that has not evicted yet."""
    cache = S3FIFO(CAPACITY)
    assert not any(access_all(cache, *range(CAPACITY)))
    return cache


def test_miss_then_hit() -> None:
    hits = access_all(S3FIFO(CAPACITY), "a", "a", "b", "a")
    assert hits == [False, True, False, True]


def test_full_cache_holds_everything(full: S3FIFO) -> None:
    assert all(resident(full, *range(CAPACITY)))


def test_small_evicts_in_insertion_order(full: S3FIFO) -> None:
    access_all(full, "a", "b", "c")
    assert resident(full, 0, 1, "a", "b", "c") == [False, False, False, True, True]
    assert all(resident(full, *range(2, CAPACITY)))


def test_one_hit_moves_from_small_to_main(full: S3FIFO) -> None:
    access_all(full, 0, "a")
    assert resident(full, 0, 1, "a") == [True, False, True]


def test_main_over_its_share_evicts_first(full: S3FIFO) -> None:
    # Key 0 moves to main, which then holds 19, so "b" evicts main's oldest.
    access_all(full, 0, "a", "b")
    assert resident(full, 0, 2, "a", "b") == [True, False, True, True]


def test_move_to_main_clears_the_counter(full: S3FIFO) -> None:
    access_all(full, 0, 0, 0, 0, 1, "a")
    # Both hit keys moved to main, and main evicted 2: its order is 3 to 19, 0, 1.
    assert resident(full, 0, 1, 2) == [True, True, False]
    # With one hit on 3 to 19, keys 0 and 1 are the only ones without any.
    access_all(full, *range(3, CAPACITY), "b")
    assert resident(full, 0, 1, "a", "b") == [False, True, True, True]


def test_ghost_enters_main(full: S3FIFO) -> None:
    access_all(full, "a", 0, "b", "c", "d")
    assert resident(full, 0, "a", "b") == [True, False, False]


def test_ghost_is_no_hit(full: S3FIFO) -> None:
    assert access_all(full, "a", 0) == [False, False]


def test_main_reinserts_a_key_that_was_hit(full: S3FIFO) -> None:
    access_all(full, 2, 0, "a", "b")
    assert resident(full, 2, 3) == [True, False]


def test_main_reinserts_at_one_hit_less(full: S3FIFO) -> None:
    # One round over main leaves key 2 with a hit and the others with none.
    access_all(full, 2, *range(2, CAPACITY), 0, "a", "b")
    # Key 0, last in main and without hits, is reached in that first round.
    assert resident(full, 0, 2, 3) == [False, True, True]
    # The ghost "b" puts main over its share once more.
    access_all(full, "c", "d", "b", "e")
    assert resident(full, 2, 3) == [True, False]


@pytest.mark.parametrize(("hits", "hits_of_others", "evicted"), [(9, 3, 2), (3, 2, 3)])
def test_counter_saturates_at_three(
    full: S3FIFO, hits: int, hits_of_others: int, evicted: int
) -> None:
    access_all(full, *[2] * hits, *list(range(3, CAPACITY)) * hits_of_others)
    number = 0
    while all(resident(full, *range(2, CAPACITY))):
        # A hit in small sends the key to main, whose evictions use up the hits.
        access_all(full, *[f"new{number}"] * 2)
        number += 1
    assert [key for key in range(2, CAPACITY) if str(key) not in full] == [evicted]


@pytest.mark.parametrize(("misses", "kept"), [(18, True), (19, False)])
def test_ghost_is_limited_by_evicted_bytes(
    full: S3FIFO, misses: int, kept: bool
) -> None:
    access_all(full, *(f"new{number}" for number in range(misses)))
    # A remembered key enters main; a forgotten one is evicted from small again.
    access_all(full, 0, "a", "b", "c")
    assert resident(full, 0) == [kept]


def test_used_ghost_frees_its_bytes(full: S3FIFO) -> None:
    # Key 0 is a ghost no more; "b" evicts from main; 17 keys join the ghost 1.
    access_all(full, "a", 0, "b", *(f"new{number}" for number in range(17)))
    access_all(full, 1, "c", "d", "e")
    assert resident(full, 1) == [True]


def test_small_overflows_into_main_only_before_the_first_eviction() -> None:
    cache = S3FIFO(30)
    for number in range(15):
        cache.access(str(number), 2)
    # Small holds 0 and 1, 4 bytes of its 3; key 0 moves to main and 1 is evicted.
    cache.access("0", 2)
    cache.access("a", 2)
    # Key 2 leaves main at 26 bytes; small is at 3 with one byte free for "late".
    access_all(cache, "b", "late")
    assert resident(cache, 1, 2, "a", "b", "late") == [False, False, True, True, True]
    access_all(cache, "c", "d", "e", "f")
    assert "late" not in cache


def test_item_as_large_as_small_is_never_cached(full: S3FIFO) -> None:
    assert [full.access("large", 2) for _ in range(3)] == [False] * 3
    assert all(resident(full, *range(CAPACITY)))


def test_bytes_never_exceed_the_capacity() -> None:
    draw = random.Random(0)
    sizes = {str(key): draw.randint(1, 150) for key in range(200)}
    cache = S3FIFO(1000)
    for key in draw.choices(list(sizes), k=5000):
        assert cache.access(key, sizes[key]) <= (key in cache)
        assert sum(size for key, size in sizes.items() if key in cache) <= 1000


def test_loop_keeps_what_main_holds() -> None:
    cache = S3FIFO(CAPACITY)
    access_all(cache, *range(40))
    assert sum(access_all(cache, *range(40))) == 18


def test_accounting() -> None:
    assert item_bytes("é", 5) == 7 + ITEM_OVERHEAD
    assert capacity_of(1000) == 940
    assert max_value_bytes(2 << 20) == 512 << 10
    assert max_value_bytes(64 << 20) == max_value_bytes(1 << 30) == 16 << 20


def test_count_hits_skips_values_above_the_limit() -> None:
    seen: list[tuple[str, int]] = []

    def access(key: str, size: int) -> bool:
        seen.append((key, size))
        return True

    requests = [("a", 250), ("b", 251), ("a", 250)]
    assert count_hits(access, requests, 1000) == 2
    assert seen == [("a", 251 + ITEM_OVERHEAD)] * 2


def test_count_objects_and_bytes_counts_values_that_hit() -> None:
    requests = [("a", 100), ("b", 50), ("a", 100), ("a", 100), ("c", 251)]
    cache = S3FIFO(10_000)
    assert count_objects_and_bytes(cache.access, requests, 1000) == (2, 200)


def test_gdsf_evicts_the_largest_of_what_was_requested_as_often() -> None:
    cache = GDSF(100)
    assert not any(cache.access(*item) for item in [("a", 40), ("b", 50), ("c", 10)])
    cache.access("d", 10)
    assert [key in cache for key in "abcd"] == [True, False, True, True]


def test_gdsf_weighs_requests_against_size() -> None:
    cache = GDSF(100)
    for key, size in [("large", 60), ("small", 40), ("large", 60), ("x", 40)]:
        cache.access(key, size)
    # 2/60 for the large one is more than 1/40 for the small one.
    assert [key in cache for key in ("large", "small", "x")] == [True, False, True]


def test_gdsf_lets_what_is_not_requested_grow_old() -> None:
    cache = GDSF(100)
    for _ in range(5):
        cache.access("old", 50)
    # 5/50; each eviction of a key of 50 bytes adds 1/50 to what comes after it.
    for number in range(5):
        cache.access(str(number), 50)
        assert "old" in cache
    cache.access("5", 50)
    cache.access("6", 50)
    assert "old" not in cache


def test_gdsf_never_exceeds_its_capacity() -> None:
    draw = random.Random(0)
    sizes = {str(key): draw.randint(1, 150) for key in range(200)}
    cache = GDSF(1000)
    for key in draw.choices(list(sizes), k=5000):
        cache.access(key, sizes[key])
        assert key in cache
        assert sum(size for key, size in sizes.items() if key in cache) <= 1000


def test_gdsf_never_caches_what_is_larger_than_it() -> None:
    cache = GDSF(100)
    cache.access("a", 100)
    assert [cache.access("large", 101) for _ in range(2)] == [False, False]
    assert "a" in cache
