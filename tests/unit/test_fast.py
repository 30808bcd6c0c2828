"""The hot verbs in C: they do the usual case, and leave all else to Python."""

from __future__ import annotations

import gc
import inspect
import pickle
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lilcache
from lilcache import Cache, _scratch
from lilcache._ffi import fast, ffi, lib
from lilcache.cache import PlainCache

from ..conftest import run_python

KEYS = ("key", "schlüssel", "", b"key", b"\0\xff", b"")
VALUES: tuple[Any, ...] = (
    "",
    "text",
    "vä\0lue",
    b"",
    b"\xff" * 300,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**200,
    1.5,
    float("inf"),
    True,
    False,
    None,
    "\ud800",
    {"a": [1]},
    "x" * _scratch.SCRATCH_BYTES,
    b"x" * (_scratch.SCRATCH_BYTES + 1),
    b"x" * 100_000,
)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, with its type, or what it raises."""
    try:
        result = call()
    except Exception as error:
        return type(error), str(error)
    return type(result), result


def test_cache_has_them() -> None:
    assert set(fast.VERBS) >= {"get", "set", "delete", "__contains__"}
    for name in fast.VERBS:
        assert getattr(Cache, name) is fast.Verbs.__dict__[name]
        assert inspect.isfunction(getattr(PlainCache, name))


@pytest.mark.parametrize("name", fast.VERBS)
def test_they_describe_themselves_as_the_whole_methods(name: str) -> None:
    hot, whole = getattr(Cache, name), getattr(PlainCache, name)
    assert inspect.getdoc(hot) == inspect.getdoc(whole)
    of_hot = inspect.signature(hot).parameters.values()
    of_whole = inspect.signature(whole).parameters.values()
    assert [(p.name, p.default) for p in of_hot] == [
        (p.name, p.default) for p in of_whole
    ]


def test_they_alone_do_the_usual_case(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    monkeypatch.setattr(cache, "_raw", None)
    for key in ("key", b"key"):
        for value in ("vä\0lue", b"\xff", 7, -1.5, None, True, False):
            assert cache.get(key) is None
            assert cache.get(key, 5) == 5
            assert key not in cache
            assert cache.set(key, value) is True
            assert outcome(lambda k=key: cache.get(k)) == (type(value), value)
            assert key in cache
            assert cache.get_many([key, "absent"]) == {key: value}
            assert cache.delete(key) is True
            assert cache.delete(key) is False
            assert cache.set_many({key: value, "second": value}) == []
            assert cache.get_many((key, "second")) == {key: value, "second": value}
            assert cache.delete(key)
            assert cache.delete("second")


@pytest.mark.parametrize("key", KEYS)
def test_all_values_as_the_whole_methods_have_them(make_cache: Any, key: Any) -> None:
    caches = make_cache(), make_cache(PlainCache)
    for value in VALUES:
        for use in (
            lambda c, v=value: c.set(key, v),
            lambda c: c.get(key),
            lambda c: key in c,
            lambda c: c.get_many([key]),
            lambda c: c.delete(key),
            lambda c, v=value: c.set_many({key: v}),
            lambda c: c.get(key, "default"),
            lambda c: c.get_many((key, "other")),
        ):
            hot, plain = (outcome(partial(use, cache)) for cache in caches)
            assert str(hot).replace(caches[0].name, caches[1].name) == str(plain)


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.get(),
        lambda c: c.get("a", "b", "c"),
        lambda c: c.get(key="a"),
        lambda c: c.get("a", default=3),
        lambda c: c.get("a", other=3),
        lambda c: c.get(1.5),
        lambda c: c.get(1),
        lambda c: c.get(("a", 1), 2),
        lambda c: c.get("\ud800"),
        lambda c: c.get("k" * 70_000),
        lambda c: c.set("a"),
        lambda c: c.set("a", 1, None),
        lambda c: c.set("a", 1, 10),
        lambda c: (c.set("a", 1, 0.0015), 1 <= c._raw.ttl(b"a", 1) <= 2),
        lambda c: (c.set("a", 1, ttl=1e6), 1e6 - 9 < c.ttl("a") <= 1e6),
        lambda c: c.set("a", 1, ttl=0),
        lambda c: c.set("a", 1, True),
        lambda c: c.set("a", 1, ttl=10**30),
        lambda c: c.set("a", 1, ttl=10**12),
        lambda c: c.set("a", 1, ttl=float("nan")),
        lambda c: c.set("a", 1, ttl=timedelta(seconds=5)),
        lambda c: c.set("a", 1, 2, 3),
        lambda c: c.set("a", 1, key="b"),
        lambda c: c.set("a", 1, tl=3),
        lambda c: (c.add("a", 1), c.add("a", 2), c.add("a", 2, ttl=5), c.get("a")),
        lambda c: (c.add("a", 1, 100), 99 < c.ttl("a") <= 100),
        lambda c: c.add("a", memoryview(b"")),
        lambda c: c.add("a"),
        lambda c: c.add(2, "x"),
        lambda c: (c.incr("a"), c.incr("a", 1, 5), c.incr("a"), c.incr("a", -7)),
        lambda c: (c.incr("a", initial=3, ttl=100), 99 < c.ttl("a") <= 100),
        lambda c: c.incr("a", initial=True),
        lambda c: c.incr("a", True),
        lambda c: c.incr("a", 2**63),
        lambda c: (c.incr("a", initial=-(2**63)), c.incr("a", -1)),
        lambda c: (c.set("a", "text"), c.incr("a")),
        lambda c: (c.set("a", 2**70), c.incr("a")),
        lambda c: (c.incr(5, initial=1), c.incr(5)),
        lambda c: (c.incr("a", delta=3, initial=1), c.incr(key="a", delta=3)),
        lambda c: c.incr("a", 1, 2, 3, 4),
        lambda c: c.incr(),
        lambda c: c.incr("a", delta=1.5),
        lambda c: c.set("a", 1, ttl=-1),
        lambda c: c.set(value=1, key="a"),
        lambda c: c.set("a", memoryview(b"")),
        lambda c: c.set("a", b"x" * (5 << 20)),
        lambda c: c.set([], 1),
        lambda c: c.delete(),
        lambda c: c.delete("a", "b"),
        lambda c: c.delete(key="a"),
        lambda c: c.delete(7),
        lambda c: 7 in c,
        lambda c: [] in c,
        lambda c: c.get_many("abc"),
        lambda c: c.get_many(["a", 1, ("b", 2)]),
        lambda c: c.get_many(iter(["a"])),
        lambda c: c.get_many(["a", []]),
        lambda c: c.get_many(),
        lambda c: c.get_many([]),
        lambda c: c.set_many({"a": 1, 2: 3}),
        lambda c: c.set_many({"a": 1, "b": memoryview(b"")}),
        lambda c: c.set_many({"a": 1, "": 2}),
        lambda c: c.set_many({"a": 1, "b": b"x" * (5 << 20)}),
        lambda c: c.set_many({"a": b"x" * 70_000, "b": b"x" * 70_000}),
        lambda c: c.set_many({"a": 1}, 10),
        lambda c: c.set_many({"a": 1}, ttl=-1),
        lambda c: c.set_many([("a", 1)]),
        lambda c: c.set_many({}),
    ],
)
def test_unusual_calls_end_as_the_whole_methods(make_cache: Any, use: Any) -> None:
    def seen(cache: Any) -> str:
        cache.set(1, "one")
        cache.set(("a", 1), "two")
        ended = outcome(lambda: use(cache))
        text = str((ended, cache.get_many(["a", "b", 2]), cache.ttl("a") is None))
        return text.replace(cache.name, "NAME")

    assert seen(make_cache()) == seen(make_cache(PlainCache))


def test_a_missing_argument_is_one_of_the_class_that_was_used(make_cache: Any) -> None:
    with pytest.raises(TypeError, match=r"^Cache\.get\(\) missing"):
        make_cache().get()


def test_a_held_lock_is_waited_for_without_the_gil(make_cache: Any) -> None:
    cache = make_cache(lock_timeout=20)
    cache.set_many({f"filling{n}": n for n in range(20_000)})
    waits = cache.stats().lock_waits
    go_on = threading.Event()

    def check_for_ever() -> None:  # which holds the lock while it looks at everything
        while not go_on.is_set():
            assert cache.check() == []

    checker = threading.Thread(target=check_for_ever)
    checker.start()
    try:
        deadline = time.monotonic() + 30
        while cache.stats().lock_waits < waits + 20:
            assert time.monotonic() < deadline
            assert cache.set("key", "value")
            assert cache.get("key") == "value"
            assert cache.set_many({"key": 1, "other": 2}) == []
            assert cache.incr("count", initial=1)
            assert cache.delete("key")
    finally:
        go_on.set()
        checker.join()


def test_busy_is_left_to_python(make_cache: Any) -> None:
    """The second of three items meets a held lock; all are stored nevertheless."""
    cache = make_cache()
    addresses = [
        int(ffi.cast("uintptr_t", ffi.addressof(lib, f"lilcache_{name}")))
        for name in fast.CORE
    ]
    place = fast.CORE.index("try_set")
    calls: list[int] = []

    @ffi.callback(
        "int(struct lilcache *, void *, size_t, int, void *, size_t, int, int64_t, int)"
    )
    def try_set(*arguments: Any) -> int:
        calls.append(1)
        busy = len(calls) % 2 == 0
        return int(lib.LILCACHE_BUSY if busy else lib.lilcache_try_set(*arguments))

    replaced = addresses.copy()
    replaced[place] = int(ffi.cast("uintptr_t", try_set))
    fast.bind(*replaced)
    try:
        assert cache.set_many({"a": 1, "b": "two", "c": b"3"}) == []
        assert len(calls) == 2
        assert cache.set("d", 4)
        assert cache.set("e", 5)
    finally:
        fast.bind(*addresses)
    wanted = {"a": 1, "b": "two", "c": b"3", "d": 4, "e": 5}
    assert cache.get_many([*wanted, "f"]) == wanted


class Acting:
    """A serializer of bytes that does something else when it loads."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def dumps(self, value: Any) -> bytes:
        return bytes(value)

    def loads(self, payload: bytes) -> Any:
        self.act()
        return payload


def test_decoding_may_change_the_list(make_cache: Any) -> None:
    keys = ["a", "b", *(f"more:{number}" for number in range(100))]
    cache = make_cache(serializer=Acting(keys.clear))
    cache.set("a", [1, 2])
    cache.set("b", "text")
    assert cache.get_many(keys) == {"a": b"\1\2", "b": "text"}


def test_decoding_may_close_the_cache(make_cache: Any) -> None:
    cache = make_cache(serializer=Acting(lambda: cache.close()))
    cache.set("a", [1, 2])
    cache.set("b", "text")
    with pytest.raises(lilcache.ClosedError):
        cache.get_many(["a", "b"])
    with pytest.raises(lilcache.ClosedError):
        cache.get("b")


@pytest.mark.parametrize("length", [1, 31, 32, 33, 100])
def test_batches_of_every_size(make_cache: Any, length: int) -> None:
    """Values that a batch has room for and ones that it has not, keys of all kinds."""
    cache = make_cache()
    keys: list[Any] = [f"key:{number}" for number in range(length)]
    keys[3::11] = ["long" * 300 + key for key in keys[3::11]]
    keys[::7] = [key.encode() for key in keys[::7]]
    keys[5::13] = range(len(keys[5::13]))
    wanted = {key: b"v" * (number * 997 % 30_000) for number, key in enumerate(keys)}
    for key, value in wanted.items():
        cache.set(key, value)
    absent = [f"absent:{number}" for number in range(length)]
    mixed = [key for pair in zip(keys, absent, strict=True) for key in pair]
    assert cache.get_many(mixed) == wanted
    assert list(cache.get_many(tuple(mixed))) == keys
    assert cache.stats().hits >= 2 * length


@pytest.mark.parametrize("length", [2047, 2048, 2049, 16_385, 262_144, 262_145])
def test_values_of_every_length(make_cache: Any, length: int) -> None:
    """They are copied by way of a buffer, to where they stay, or out of a pin."""
    cache = make_cache(size_mb=4)
    values = {
        "bytes": bytes(range(256)) * (length // 256) + b"x" * (length % 256),
        "ascii": "a" * length,
        "others": "\N{SNOWMAN}" * (length // 3),
        "surrogate": "\ud800" * (length // 3),
        "pickled": list(range(length // 4)),
    }
    for key, value in values.items():
        cache.set(key, value)
        assert cache.get(key) == value
    assert cache.get_many(list(values)) == values
    assert cache.stats().hits == 2 * len(values)


@pytest.mark.parametrize("later", [b"l" * 3000, b"l" * 9000, b"l" * 10, "text", None])
def test_a_value_that_changes_between_two_looks(make_cache: Any, later: Any) -> None:
    """The first look says how long the value is, the second one meets another."""
    cache = make_cache()
    other = Cache(cache.name)
    addresses = [
        int(ffi.cast("uintptr_t", ffi.addressof(lib, f"lilcache_{name}")))
        for name in fast.CORE
    ]
    looks: list[int] = []

    @ffi.callback("int64_t(struct lilcache *, void *, size_t, int, void *, size_t)")
    def get(*arguments: Any) -> int:
        looks.append(1)
        if len(looks) == 2:
            other.delete("key") if later is None else other.set("key", later)
        return int(lib.lilcache_get(*arguments))

    cache.set("key", b"e" * 5000)
    replaced = addresses.copy()
    replaced[fast.CORE.index("get")] = int(ffi.cast("uintptr_t", get))
    fast.bind(*replaced)
    try:
        assert cache.get("key") == later
    finally:
        fast.bind(*addresses)
        other.close()
    assert len(looks) >= 2


class Counting:
    """A serializer that counts its calls, and fails as it is told."""

    def __init__(self) -> None:
        self.dumped = 0
        self.loaded = 0
        self.error: BaseException | None = None

    def dumps(self, value: Any) -> bytes:
        self.dumped += 1
        if self.error:
            raise self.error
        return bytes(value)

    def loads(self, payload: bytes) -> Any:
        self.loaded += 1
        if self.error:
            raise self.error
        return list(payload)


@pytest.mark.parametrize("size", [1, 100, 20_000, 1_000_000])
def test_a_value_is_serialized_once(make_cache: Any, size: int) -> None:
    serializer = Counting()
    cache = make_cache(serializer=serializer)
    assert cache.set("a", [7] * size)
    assert cache.add("b", [8] * size)
    assert not cache.add("b", [9] * size)
    assert serializer.dumped == 3
    assert cache.get("a") == [7] * size
    assert cache.get_many(["b"]) == {"b": [8] * size}
    assert serializer.loaded == 2


def test_a_serializer_that_fails_is_told_as_the_whole_methods_do(
    make_cache: Any,
) -> None:
    for kind in (Cache, PlainCache):
        serializer = Counting()
        cache = make_cache(kind, serializer=serializer)
        cache.set("a", [1])
        serializer.error = ValueError("no")
        for use in (lambda c: c.get("a"), lambda c: c.set("a", [2])):
            with pytest.raises(lilcache.SerializationError, match="no") as caught:
                use(cache)
            assert caught.value.__cause__ is serializer.error
        serializer.error = KeyboardInterrupt()
        for use in (lambda c: c.get("a"), lambda c: c.set("a", [2])):
            with pytest.raises(KeyboardInterrupt):
                use(cache)
        serializer.error = None
        assert cache.get("a") == [1]


@pytest.mark.parametrize("kind", [Cache, PlainCache])
def test_a_serializer_that_fails_is_not_called_again(
    make_cache: Any, kind: Any
) -> None:
    serializer = Counting()
    cache = make_cache(kind, serializer=serializer)
    cache.set("a", [1])
    serializer.error = ValueError("no")
    for number, use in enumerate(
        (
            lambda: cache.set("a", [2]),
            lambda: cache.set("a", [2], ttl=5),
            lambda: cache.add("b", [2]),
            lambda: cache.set_many({"c": [2]}),
        ),
        2,
    ):
        with pytest.raises(lilcache.SerializationError):
            use()
        assert serializer.dumped == number
    for number, use in enumerate(
        (lambda: cache.get("a"), lambda: cache.get_many(["a"])), 1
    ):
        with pytest.raises(lilcache.SerializationError):
            use()
        assert serializer.loaded == number


@pytest.mark.parametrize("kind", [Cache, PlainCache])
def test_what_can_be_iterated_once_is_dumped_once(make_cache: Any, kind: Any) -> None:
    class Joining(Counting):
        def dumps(self, value: Any) -> bytes:
            return b"".join(value)

    def parts() -> Any:
        yield b"1"
        raise RuntimeError("half")

    cache = make_cache(kind, serializer=Joining())
    for store in (cache.set, cache.add):
        with pytest.raises(lilcache.SerializationError, match="half"):
            store("a", parts())
        assert "a" not in cache


@pytest.mark.parametrize("kind", [Cache, PlainCache])
def test_dumps_that_returns_no_bytes_is_refused(make_cache: Any, kind: Any) -> None:
    class Textual(Counting):
        def dumps(self, value: Any) -> Any:
            self.dumped += 1
            return "text"

    serializer = Textual()
    cache = make_cache(kind, serializer=serializer)
    with pytest.raises(lilcache.SerializationError, match="returned str, not bytes"):
        cache.set("a", [1])
    assert serializer.dumped == 1
    assert "a" not in cache


@pytest.mark.parametrize("kind", [Cache, PlainCache])
def test_a_serializer_may_close_the_cache(make_cache: Any, kind: Any) -> None:
    class Closing(Counting):
        def dumps(self, value: Any) -> bytes:
            cache.close()
            return b"1"

    cache = make_cache(kind, serializer=Closing())
    with pytest.raises(lilcache.ClosedError):
        cache.set("a", [1])


def test_a_serializer_may_make_another_default(unique_name: Any) -> None:
    """What was dumped for one cache is not stored in another, which signs."""
    out = run_python(
        """
        import sys, lilcache

        class Switching:
            def __reduce__(self):
                lilcache.close()
                lilcache.init(sys.argv[2], size_mb=2, signing_key=b"secret" * 4)
                return (int, ())

        lilcache.init(sys.argv[1], size_mb=2)
        try:
            lilcache.set("a", Switching())
        except lilcache.ClosedError:
            print("closed", lilcache.get("a"))
        lilcache.destroy()
        """,
        unique_name(),
        unique_name(),
    )
    assert out.strip() == "closed None"


def test_a_copy_may_run_any_code(make_cache: Any) -> None:
    """As the garbage collector does before Python 3.12, in the middle of a copy."""

    class Closing:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            cache.close()

    cache = make_cache(local=64)
    cache.set("a", [str(number) for number in range(2000)])
    for _ in range(3):
        cache.get("a")
    before = gc.get_threshold()
    Closing()
    gc.set_threshold(1, 1, 1)
    try:
        with pytest.raises(lilcache.ClosedError):
            while True:
                assert len(cache.get("a")) == 2000
    finally:
        gc.set_threshold(*before)


def test_values_of_another_serializer_are_refused(make_cache: Any) -> None:
    one = make_cache(serializer=Counting())
    other = Cache(one.name)
    one.set("a", [1])
    other.set("b", [1])
    for cache, key in ((one, "b"), (other, "a")):
        with pytest.raises(lilcache.SerializationError, match="does not read"):
            cache.get(key)


def test_others_who_may_write_are_noticed_at_once(make_cache: Any) -> None:
    cache = make_cache()
    cache.set("a", [1])
    (path,) = Path("/dev/shm").glob(f"*{cache.name}*")
    for _ in range(2):
        assert cache.get("a") == [1]
        path.chmod(0o620)
        with pytest.raises(lilcache.SerializationError, match="others can write"):
            cache.get("a")
        with pytest.raises(lilcache.SerializationError, match="others can write"):
            cache.set("a", [2])
        path.chmod(0o600)


def test_nothing_is_leaked(make_cache: Any) -> None:
    cache = make_cache()
    key, value, default, keys = "key%", b"value" * 10, object(), ["key%", "absent"]
    mapping, part = {key: value}, "part"
    pickled = [part]
    watched = (key, value, default, keys, mapping, None, True, False, cache)
    watched += (part, pickled, pickle.loads)

    def use() -> None:
        for _ in range(2000):
            cache.set(key, pickled)
            assert cache.get(key) == pickled
            cache.set(key, value)
            cache.get(key)
            cache.get("absent", default)
            cache.get_many(keys)
            cache.set_many(mapping)
            cache.delete(key)
            cache.delete(key)
            assert key not in cache
            cache.get(key, default=default)
            with pytest.raises(TypeError):
                cache.get()

    use()
    gc.collect()
    before = [sys.getrefcount(item) for item in watched]
    use()
    gc.collect()
    after = [sys.getrefcount(item) for item in watched]
    assert all(abs(a - b) < 100 for a, b in zip(after, before, strict=True))


def test_a_cache_that_was_never_opened_does_not_crash() -> None:
    bare = Cache.__new__(Cache)
    for use in (lambda: bare.get("a"), lambda: bare.set("a", 1), lambda: "a" in bare):
        with pytest.raises(AttributeError):
            use()
    with pytest.raises(TypeError):
        bare._plug(7)


def test_without_the_extension_all_is_python(unique_name: Any) -> None:
    out = run_python(
        """
        import sys
        sys.modules["lilcache._fast"] = None
        import inspect, lilcache
        cache = lilcache.init(sys.argv[1], size_mb=2)
        print(inspect.isfunction(lilcache.Cache.get), inspect.isfunction(lilcache.get))
        lilcache.set("a", "b")
        print(lilcache.get("a"), cache.get_many(["a"]), "a" in cache)
        cache.destroy()
        """,
        unique_name(),
    )
    assert out.split("\n")[:2] == ["True True", "b {'a': 'b'} True"]


def test_one_of_another_version_is_refused() -> None:
    out = run_python(
        """
        import sys
        import lilcache._fast
        fast = lilcache._fast
        for name in [n for n in sys.modules if n.startswith("lilcache")]:
            del sys.modules[name]
        fast.VERSION = "0.0.0"
        sys.modules["lilcache._fast"] = fast
        try:
            import lilcache
        except ImportError as error:
            print(error)
        """
    )
    assert "0.0.0" in out
    assert "pip install" in out


def test_the_default_cache_is_followed(
    unique_name: Any, no_default_cache: None
) -> None:
    get = lilcache.get
    first = lilcache.init(unique_name(), size_mb=2)
    lilcache.set("a", 1)
    assert get("a") == first.get("a") == 1
    lilcache.close()
    with pytest.raises(lilcache.ClosedError):
        get("a")
    first = Cache(first.name)
    second = lilcache.init(unique_name(), size_mb=2)
    assert get("a") is None
    assert lilcache.get_many(["a"]) == {}
    second.destroy()
    first.destroy()
