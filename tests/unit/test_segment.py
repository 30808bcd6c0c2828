"""What a segment is to the outside: an object with a mode, bytes, and a life."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from lilcache import Cache, SerializationError

from ..conftest import RUN, run_python

VALUE = b"a value that is found nowhere else " * 20


def object_of(cache: Cache) -> Path:
    [path] = Path("/dev/shm").glob(f"lilcache-{cache.name}.*")
    return path


def damage(cache: Cache, value: bytes) -> None:
    """Flip a bit of the value where it lies in the segment."""
    path = object_of(cache)
    at = path.read_bytes().index(value) + len(value) // 2
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_the_object_is_private_and_named_for_people(make_cache: Any) -> None:
    cache = make_cache(size_mb=1)
    assert object_of(cache).stat().st_mode & 0o777 == 0o600
    assert object_of(cache).name.startswith(f"lilcache-{RUN}")
    assert object_of(cache).stat().st_size == cache.size_bytes


def test_an_anonymous_cache_leaves_no_trace() -> None:
    before = set(Path("/dev/shm").iterdir())
    with Cache(anonymous=True, size_mb=1) as cache:
        cache.set("key", "value")
        assert set(Path("/dev/shm").iterdir()) <= before


def test_checksums_turn_damage_into_a_miss(make_cache: Any) -> None:
    cache = make_cache(size_mb=2, checksums=True)
    cache.set("key", VALUE)
    assert cache.get("key") == VALUE
    damage(cache, VALUE)
    assert cache.get("key") is None
    assert cache.gets("key") == (None, None)
    assert cache.get_many(["key"]) == {}
    assert cache.pop("key") is None
    assert cache.stats().corrupt_reads >= 3


def test_checksums_hold_for_large_values_and_views(make_cache: Any) -> None:
    """These are pinned where they lie instead of copied by the core."""
    cache = make_cache(size_mb=2, checksums=True)
    large = VALUE * 100
    cache.set("key", large)
    assert cache.get("key") == large
    assert cache.view("key") == large
    damage(cache, large)
    assert cache.view("key") is None
    assert cache.get("key") is None
    assert cache.gets("key") == (None, None)


def test_without_checksums_damage_shows(make_cache: Any) -> None:
    """The control of the test above: the damage is real."""
    cache = make_cache(size_mb=2)
    cache.set("key", VALUE)
    damage(cache, VALUE)
    assert cache.get("key") != VALUE


def test_pickle_stops_as_soon_as_others_may_write(make_cache: Any) -> None:
    cache = make_cache(size_mb=1)
    cache.set("key", ["pickled"])
    object_of(cache).chmod(0o602)
    for call in (lambda: cache.get("key"), lambda: cache.set("key", ["again"])):
        with pytest.raises(SerializationError, match="others can write"):
            call()
    object_of(cache).chmod(0o600)
    assert cache.get("key") == ["pickled"]


def test_a_dropped_cache_lets_go_of_its_segment(make_cache: Any) -> None:
    """At once, by reference count: no cycle keeps the mapping until a collection."""
    cache = make_cache(size_mb=1)
    gc.disable()
    try:
        with_views = Cache(cache.name)
        cache.set("key", b"value")
        view = with_views.view("key")
        dropped = weakref.ref(with_views)
        del with_views
        assert dropped() is None
        assert view == b"value"
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["Cache", "PlainCache"])
def test_finalisers_of_a_cycle_may_use_what_is_in_it(kind: str) -> None:
    """Which of them the collector calls first is arbitrary: any order must do.

    Each has a segment of its own, so that one closed too early is not mapped any more.
    """
    out = run_python(
        """
        import gc
        import sys
        import lilcache.cache

        kind = getattr(lilcache.cache, sys.argv[1])

        wrong = []
        kept = []

        class Session:
            def __init__(self, number):
                self.number = number
                self.value = b"value %d" % number
                parts = [kind(anonymous=True, size_mb=1)]
                parts[0].set("key", self.value)
                if number % 3:
                    parts.append(memoryview(parts[0].view("key")))
                if number % 4 == 0:
                    parts[0].close()
                if number % 5:
                    parts.reverse()
                self.parts = parts
                self.cycle = self

            def look(self):
                for part in self.parts:
                    if isinstance(part, kind):
                        if not part.closed and part.get("key") != self.value:
                            wrong.append(self.number)
                    elif part != self.value:
                        wrong.append(self.number)

            def __del__(self):
                self.look()
                if self.number % 7 == 0:
                    kept.append(self)

        for number in range(70):
            Session(number)
            if number % 6 == 0:
                gc.collect()
        gc.collect()
        assert len(kept) == 10
        for session in kept:
            session.look()
        del session
        kept.clear()
        gc.collect()
        print(wrong)
        """,
        kind,
    )
    assert out == "[]\n"


@pytest.mark.parametrize(
    "ending", ["", "cache.close()", "cache.destroy()", "del cache"]
)
def test_shutdown_with_live_views_is_silent(unique_name: Any, ending: str) -> None:
    out = run_python(
        f"""
        import sys
        import threading
        import lilcache
        cache = lilcache.Cache(sys.argv[1], size_mb=1)
        lilcache.init(sys.argv[1])
        cache.set("key", b"value")
        views = [cache.view("key"), lilcache.view("key")]
        cycle = [cache, views]
        cycle.append(cycle)
        def read():
            while True:
                lilcache.get("key")
        threading.Thread(target=read, daemon=True).start()
        {ending}
        print(bytes(views[0]))
        """,
        unique_name(),
    )
    assert out == "b'value'\n"
