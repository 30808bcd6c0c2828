"""Compression: who reads what, what is worth it, and what damage may ask for."""

from __future__ import annotations

import os
import pickle
import random
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from backports import zstd as zstd_of_python
from hypothesis import given, settings
from hypothesis import strategies as st

import lilcache
from lilcache import (
    AlreadyInitializedError,
    ArgumentError,
    Cache,
    CorruptError,
    NotBytesError,
    SerializationError,
    ValueSizeError,
    is_copy,
)
from lilcache import _compression as compression
from lilcache._codec import SIGNED, TYPE_BYTES, TYPE_STR
from lilcache._compression import COMPRESSED, Compressor, expand
from lilcache._ffi import lib
from lilcache.cache import PlainCache
from lilcache.serializers import TYPE_PICKLE

from ..conftest import run_python

SECRET = b"0123456789abcdef"
LIMIT = 1 << 20
SET, TTL_NONE = lib.LILCACHE_SET, lib.LILCACHE_TTL_NONE
HEADER = struct.Struct("<BI")
NUMBERS = {"zstd": 1, "lz4": 2}
TEXT = "What is said often enough is said shorter. " * 100
RECORDS = [{"id": number, "name": "someone", "active": True} for number in range(600)]
NOISE = random.Random(1).randbytes(10_000)


@pytest.fixture(params=["zstandard", "Python's zstd", "lz4"])
def name(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An algorithm by each of the libraries that may have it.

    Python's own comes with 3.14; the same one for earlier versions stands in its place.
    """
    compression._library.cache_clear()
    if request.param == "Python's zstd":
        monkeypatch.setitem(sys.modules, "zstandard", None)
        monkeypatch.setitem(sys.modules, "compression", zstd_of_python)
        monkeypatch.setitem(sys.modules, "compression.zstd", zstd_of_python)
    yield "lz4" if request.param == "lz4" else "zstd"
    compression._library.cache_clear()


def stored(cache: PlainCache, key: str) -> tuple[bytes, int]:
    """Payload and value type as they lie in the segment."""
    found = cache._raw.get(key.encode(), 1)
    assert found is not None
    return found


WRITES: dict[str, Callable[[PlainCache, str, Any], object]] = {
    "set": lambda cache, key, value: cache.set(key, value),
    "set with a ttl": lambda cache, key, value: cache.set(key, value, ttl=100),
    "add": lambda cache, key, value: cache.delete(key) and cache.add(key, value),
    "replace": lambda cache, key, value: cache.replace(key, value),
    "cas": lambda cache, key, value: cache.cas(key, value, cache.gets(key)[1]),
    "set_many": lambda cache, key, value: cache.set_many({key: value, "other": 1}),
    "[]": lambda cache, key, value: cache.__setitem__(key, value),
}


# --- what is compressed -------------------------------------------------------------


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("kind", [Cache, PlainCache])
def test_whatever_verb_stores_compresses(
    make_cache: Any, name: str, kind: type, write: Any
) -> None:
    cache = make_cache(kind, compression=name, compression_threshold=4000)
    reader = Cache(cache.name)
    for value, value_type in (
        (TEXT, TYPE_STR),
        (TEXT.encode(), TYPE_BYTES),
        (RECORDS, TYPE_PICKLE),
    ):
        cache.set("key", "before")
        write(cache, "key", value)
        payload, found_type = stored(cache, "key")
        length = len(pickle.dumps(value, 5)) if value is RECORDS else len(value)
        assert found_type == value_type | COMPRESSED
        assert HEADER.unpack_from(payload) == (NUMBERS[name], length)
        assert len(payload) < length / 2
        for read in (cache, reader):
            assert read.get("key") == value
            assert read.get_many(["key", "absent"]) == {"key": value}
            assert read.gets("key")[0] == value
            assert type(read["key"]) is type(value)
        assert cache.pop("key") == value
    reader.close()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("kind", [Cache, PlainCache])
def test_only_from_the_threshold_on(
    make_cache: Any, name: str, kind: type, write: Any
) -> None:
    cache = make_cache(kind, compression=name, compression_threshold=1000)
    records = {"x": "y" * 900}
    length = len(pickle.dumps(records, 5))
    for more in (-1, 0, 1):
        for value in (
            "x" * (1000 + more),
            b"x" * (1000 + more),
            {"x": "y" * (1900 - length + more)},
        ):
            cache.set("key", "before")
            write(cache, "key", value)
            assert bool(stored(cache, "key")[1] & COMPRESSED) is (more >= 0), more
            assert cache.get("key") == value


def test_by_default_nothing_is(make_cache: Any) -> None:
    for kind in (Cache, PlainCache):
        cache = make_cache(kind)
        for value in (TEXT, TEXT.encode(), RECORDS):
            cache.set("key", value)
            assert not stored(cache, "key")[1] & COMPRESSED


def test_only_what_saves_an_eighth(name: str) -> None:
    compressor = Compressor(name, 0)
    assert compressor.shrink(NOISE, LIMIT) is None
    kept = [
        (zeros, compressor.shrink(NOISE[zeros:] + b"\0" * zeros, LIMIT))
        for zeros in range(0, 2500, 50)
    ]
    smaller = [zeros for zeros, payload in kept if payload is not None]
    assert 1250 <= smaller[0] <= 1350
    assert smaller == list(range(smaller[0], 2500, 50))
    assert all(len(payload) <= 8750 for _, payload in kept if payload is not None)


@pytest.mark.parametrize("value", [0, 2**63 - 1, 1.5, None, True, "", b""])
def test_what_has_no_length_is_as_it_is(
    make_cache: Any, name: str, value: object
) -> None:
    for kind in (Cache, PlainCache):
        cache = make_cache(kind, compression=name, compression_threshold=0)
        cache.set("key", value)
        assert not stored(cache, "key")[1] & COMPRESSED
        assert cache.get("key") == value


def test_counters_count(make_cache: Any, name: str) -> None:
    for kind in (Cache, PlainCache):
        cache = make_cache(kind, compression=name, compression_threshold=0)
        cache.set("n", 5)
        assert cache.incr("n") == 6
        assert cache.decr("n", 10) == -4
        cache.set("text", TEXT)
        with pytest.raises(TypeError, match="incr"):
            cache.incr("text")


def test_ttl_stays(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name)
    for write in (cache.set, cache.add, cache.replace):
        cache.delete("key") if write == cache.add else cache.set("key", 1)
        write("key", TEXT, ttl=100)
        assert 90 < cache.ttl("key") <= 100
    cache.set_many({"key": TEXT}, ttl=50)
    assert 40 < cache.ttl("key") <= 50


# --- who reads it -------------------------------------------------------------------

READ = """
    import sys
    for module in sys.argv[3:]:
        sys.modules[module] = None
    import lilcache
    with lilcache.Cache(sys.argv[1]) as cache:
        many = lambda key: cache.get_many([key])
        for read in (cache.get, cache.gets, cache.view, many):
            try:
                print(read("key"))
            except lilcache.SerializationError as error:
                print(type(error).__name__, error)
        print(cache.get("short"))
    try:
        lilcache.Cache(sys.argv[1], compression=sys.argv[2])
    except lilcache.ArgumentError as error:
        print(error)
"""


@pytest.mark.parametrize("algorithm", NUMBERS)
def test_without_the_library(make_cache: Any, algorithm: str) -> None:
    cache = make_cache(compression=algorithm)
    cache.set("key", TEXT.encode())
    cache.set("short", "as it is")
    absent = ("zstandard", "compression.zstd") if algorithm == "zstd" else ("lz4",)
    *reads, short, opened = run_python(
        READ, cache.name, algorithm, *absent
    ).splitlines()
    assert len(reads) == 4
    for text in reads:
        assert text.startswith("SerializationError the value of 'key' is compressed")
        assert f"pip install 'lilcache[{algorithm}]'" in text
    assert short == "as it is"
    assert opened.startswith(f"compression='{algorithm}' needs ")
    assert opened.endswith(f"pip install 'lilcache[{algorithm}]'")
    assert len(cache.get("key")) == len(TEXT)


def test_each_reads_what_others_write(make_cache: Any) -> None:
    first = make_cache()
    caches = [
        Cache(first.name, compression=algorithm) for algorithm in (None, *NUMBERS)
    ]
    for number, writer in enumerate(caches):
        writer.set("key", TEXT)
        if number:
            assert stored(first, "key")[0][0] == number
        assert [reader.get("key") for reader in caches] == [TEXT] * 3
    for cache in caches:
        cache.close()


def test_a_forked_child_and_threads(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name)
    failures: list[str] = []

    def work(own: int) -> None:
        for number in range(200):
            text = f"{own} {number} " * 300
            cache.set(f"key {own}", text)
            if cache.get(f"key {own}") != text:
                failures.append(text)

    threads = [threading.Thread(target=work, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    child = os.fork()
    if not child:
        work(9)
        os._exit(len(failures))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for thread in threads:
        thread.join()
    assert not failures
    assert cache.get("key 9") == "9 199 " * 300


def test_kept_objects_are_current(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name, local=100)
    with Cache(cache.name, compression=name) as other:
        for text in (TEXT, TEXT * 10):
            other.set("key", text)
            first = cache.get("key")
            assert first == text
            assert cache.get("key") is first


# --- views --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [TEXT, TEXT.encode(), "é" * 5000])
def test_a_view_is_of_what_was_stored(make_cache: Any, name: str, value: Any) -> None:
    cache = make_cache(compression=name)
    cache.set("key", value)
    view = cache.view("key")
    assert is_copy(view)
    assert view.readonly
    assert cache.stats().pins == 0
    cache.set("key", "other")
    assert bytes(view) == (value if type(value) is bytes else value.encode())


def test_no_view_of_a_compressed_object(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name)
    cache.set("key", RECORDS)
    with pytest.raises(NotBytesError, match="key"):
        cache.view("key")


# --- how large ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Cache, PlainCache])
def test_what_is_stored_counts(make_cache: Any, name: str, kind: type) -> None:
    cache = make_cache(kind, size_mb=4, max_value_mb=1, compression=name)
    for value in (b"x" * (8 << 20), "x" * (3 << 20), ["x" * (2 << 20)]):
        assert cache.set("key", value)
        assert cache.get("key") == value
        assert cache.gets("key")[0] == value
        assert cache.set_many({"key": value, "more": 1}) == []
        assert cache.get_many(["key"]) == {"key": value}
        assert cache.pop("key") == value
    cache.set("key", "before")
    for value in (b"x" * ((8 << 20) + 1), random.Random(1).randbytes((1 << 20) + 1)):
        with pytest.raises(ValueSizeError, match=f"{len(value)} bytes"):
            cache.set("key", value)
        with pytest.raises(ValueSizeError):
            cache.set_many({"key": value})
    assert cache.get("key") == "before"


# --- signed -------------------------------------------------------------------------


def test_signed_values_are_compressed_first(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name, signing_key=SECRET)
    for value in (TEXT, RECORDS):
        cache.set("key", value)
        payload, value_type = stored(cache, "key")
        assert value_type & COMPRESSED
        assert value_type & SIGNED
        assert len(payload) < 3000
        assert cache.get("key") == value
    cache.set("key", TEXT)
    assert bytes(cache.view("key")) == TEXT.encode()
    payload, value_type = stored(cache, "key")
    for changed, changed_type in (
        (payload[:-1] + b"\0\0", value_type),
        (payload, value_type ^ COMPRESSED),
    ):
        cache._raw.set(b"key", 1, (changed, changed_type), TTL_NONE, SET)
        with pytest.raises(CorruptError, match="signature"):
            cache.get("key")


def test_one_without_the_key_does_not_read_it(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name, signing_key=SECRET)
    with Cache(cache.name) as other:
        cache.set("key", TEXT)
        with pytest.raises(SerializationError, match="signed"):
            other.get("key")
        other.set("key", TEXT)
        with pytest.raises(CorruptError, match="not signed"):
            cache.get("key")


# --- damage -------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
@pytest.mark.parametrize("library", ["_zstandard", "_lz4", "_zstd_of_python"])
def test_damaged_bytes_are_told(library: str, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "compression.zstd", zstd_of_python)
        patch.setitem(sys.modules, "compression", zstd_of_python)
        made = getattr(compression, library)()
        patch.setattr(compression, "_library", lambda _: made)
        name = "lz4" if library == "_lz4" else "zstd"
        payload = Compressor(name, 0).shrink(TEXT.encode(), LIMIT)
        assert payload is not None
        assert expand(payload, LIMIT, lambda: "it") == TEXT.encode()
        damaged = bytearray(payload)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(payload) - 1))
            damaged[at] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(0, len(payload)))
        cut = data.draw(st.sampled_from([len(payload), end]))
        more = data.draw(st.binary(max_size=3))
        try:
            found = expand(bytes(damaged[:cut]) + more, LIMIT, lambda: "it")
        except CorruptError as error:
            assert str(error).startswith("it ")
        else:
            assert len(found) == int.from_bytes(damaged[1:5], "little")


@settings(deadline=None)
@given(st.binary(max_size=100), st.integers(0, 2))
def test_noise_is_told(noise: bytes, number: int) -> None:
    with pytest.raises(CorruptError):
        expand(bytes([number, 200]) + b"\0\0\0" + noise, LIMIT, lambda: "it")


def test_damage_is_told_by_every_read(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name)
    cache.set("key", TEXT)
    payload, value_type = stored(cache, "key")
    for damaged in (payload[:-3], payload[:5], payload[:4], b"", b"\7" + payload[1:]):
        cache._raw.set(b"key", 1, (damaged, value_type), TTL_NONE, SET)
        for read in (
            cache.get,
            cache.gets,
            cache.view,
            lambda key: cache.get_many([key]),
        ):
            with pytest.raises(CorruptError, match="'key'"):
                read("key")


HUNGRY = """
    import resource
    import struct
    import sys
    resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
    import lilcache
    from lilcache import CorruptError
    from lilcache._compression import COMPRESSED
    from lilcache._ffi import lib
    SET, TTL_NONE = lib.LILCACHE_SET, lib.LILCACHE_TTL_NONE
    # zstd frames that say 2 GiB: in one segment, with a window so large, of one block
    # and no length, of 100 bytes with such a window and an end that lacks.
    frames = "a0 00000080 010000", "80a8 00000080 010000", "00a8 030010 78"
    zstd = [bytes.fromhex("28b52ffd" + f) for f in (*frames, "80a8 64000000 230300")]
    tried = [*((1, frame) for frame in zstd), (2, b"\\xff" * 50)]
    with lilcache.Cache(sys.argv[1]) as cache:
        for number, frame in tried:
            for length in (100, 1 << 31, (1 << 32) - 1):
                payload = struct.pack("<BI", number, length) + frame
                cache._raw.set(b"key", 1, (payload, COMPRESSED), TTL_NONE, SET)
                for read in (cache.get, cache.view):
                    try:
                        print(read("key"))
                    except CorruptError as error:
                        print("told")
"""


@pytest.mark.parametrize("without", [None, "zstandard"])
def test_hostile_bytes_do_not_get_memory(make_cache: Any, without: str | None) -> None:
    cache = make_cache()
    code = HUNGRY
    if without:
        stand_in = """
    import sys
    from backports import zstd
    sys.modules["zstandard"] = None
    sys.modules["compression"] = sys.modules["compression.zstd"] = zstd
"""
        code = stand_in + HUNGRY
    assert run_python(code, cache.name).split() == ["told"] * 30


# --- arguments ----------------------------------------------------------------------


@pytest.mark.parametrize("value", ["gzip", "", b"zstd", 1, True, [], "ZSTD"])
def test_what_is_no_compression(unique_name: Any, value: Any) -> None:
    with pytest.raises(ArgumentError, match="compression is None or one of 'zstd'"):
        Cache(unique_name(), compression=value)


@pytest.mark.parametrize("value", [-1, 1.5, True, None, "1024", 2**63])
def test_what_is_no_threshold(unique_name: Any, value: Any) -> None:
    with pytest.raises(ArgumentError, match="compression_threshold"):
        Cache(unique_name(), compression_threshold=value)


def test_pickling_keeps_it(make_cache: Any, name: str) -> None:
    cache = make_cache(compression=name, compression_threshold=500)
    with pickle.loads(pickle.dumps(cache)) as other:
        other.set("key", "x" * 500)
        assert stored(cache, "key")[1] & COMPRESSED
        other.set("key", "x" * 499)
        assert not stored(cache, "key")[1] & COMPRESSED


def test_of_the_default_cache(unique_name: Any, no_default_cache: None) -> None:
    arguments: dict[str, Any] = {"size_mb": 2, "compression": "lz4"}
    cache = lilcache.init(unique_name(), **arguments)
    lilcache.set("key", TEXT)
    assert stored(cache, "key")[1] & COMPRESSED
    assert lilcache.get("key") == TEXT
    with pytest.raises(AlreadyInitializedError):
        lilcache.init(cache.name, size_mb=2)
    assert lilcache.init(cache.name, **arguments) is cache
