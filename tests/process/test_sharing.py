"""Several processes, one cache: by name, by fork, by pickle."""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

import pytest

import lilcache
from lilcache import Cache

from ..conftest import Child, leftovers, run_python, wait_until

PEER = """
    import sys
    import lilcache

    cache = lilcache.Cache(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *arguments = eval(line)
        print(repr(getattr(cache, verb)(*arguments)), flush=True)
"""


def in_child(action: Any) -> None:
    """Fork, run action in the child, and fail unless it ended well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_unrelated_processes_meet_by_name(make_cache: Any, child: Any) -> None:
    cache = make_cache()
    peer: Child = child(PEER, cache.name)
    assert peer.line() == "ready"
    cache.set("ours", {"from": "here"})
    assert peer.ask("('get', 'ours')") == "{'from': 'here'}"
    assert peer.ask("('set', 'theirs', b'from there', 100)") == "True"
    assert cache.get("theirs") == b"from there"
    assert 90 < cache.ttl("theirs") <= 100
    assert peer.ask("('incr', 'count', 1, 5)") == "5"
    assert cache.incr("count") == 6
    assert peer.ask("('delete', 'ours')") == "True"
    assert cache.get("ours") is None
    value, stamp = cache.gets("theirs")
    peer.ask("('set', 'theirs', 'other')")
    assert cache.cas("theirs", value, stamp) is False
    assert cache.stats().processes == 2
    assert peer.end() == 0
    wait_until(lambda: cache.stats().processes == 1)
    assert cache.get("theirs") == "other"


def test_a_segment_outlives_its_processes(unique_name: Any) -> None:
    name = unique_name()
    code = """
        import sys
        import lilcache
        cache = lilcache.Cache(sys.argv[1], size_mb=1)
        print(cache.incr("runs", initial=1))
    """
    assert [run_python(code, name) for _ in range(3)] == ["1\n", "2\n", "3\n"]
    Cache(name).destroy()
    assert leftovers() == []


def test_the_default_cache_is_that_of_the_directory(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LILCACHE_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    code = """
        import lilcache
        lilcache.init(size_mb=1)
        print(lilcache.incr("runs", initial=1))
    """
    assert [run_python(code) for _ in range(2)] == ["1\n", "2\n"]
    assert run_python("import lilcache; print(lilcache.init().destroy())") == "None\n"


@pytest.mark.parametrize("anonymous", [False, True])
def test_forked_children_share(unique_name: Any, anonymous: bool) -> None:
    name = None if anonymous else unique_name()
    cache = Cache(name, anonymous=anonymous, size_mb=4)
    cache.set("before", "parent")

    def action() -> None:
        assert cache.get("before") == "parent"
        cache.set("after", "child")
        assert cache.incr("count", initial=1) == 1

    in_child(action)
    assert cache.get("after") == "child"
    assert cache.incr("count") == 2


def test_init_before_fork(unique_name: Any, no_default_cache: None) -> None:
    name = unique_name()
    lilcache.init(name, size_mb=1)
    lilcache.set("key", "parent")

    def action() -> None:
        assert lilcache.get("key") == "parent"
        assert lilcache.init(name, size_mb=1).get("key") == "parent"
        lilcache.set("key", "child")

    in_child(action)
    assert lilcache.get("key") == "child"


def test_init_after_fork(unique_name: Any, no_default_cache: None) -> None:
    name = unique_name()

    def action() -> None:
        lilcache.init(name, size_mb=1)
        lilcache.incr("count", initial=1)

    in_child(action)
    in_child(action)
    assert lilcache.init(name).get("count") == 2


def test_close_and_destroy_in_a_child(make_cache: Any) -> None:
    cache = make_cache(size_mb=1)
    cache.set("key", 1)
    in_child(cache.close)
    assert cache.get("key") == 1
    in_child(cache.destroy)
    cache.set("key", 2)
    assert cache.get("key") == 2
    cache.destroy()


def test_views_stay_valid_in_both_after_fork(make_cache: Any) -> None:
    cache = make_cache(size_mb=4)
    value = bytes(range(250)) * 40
    cache.set("key", value)
    view = cache.view("key")

    def churn() -> None:
        for number in range(500):
            cache.set(number, b"churn" * 4000)

    def action() -> None:
        nonlocal view
        assert view == value
        churn()
        assert view == value
        del view

    in_child(action)
    churn()
    assert view == value

    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        # By now the parent has dropped its view and written all over.
        os._exit(0 if view == value else 1)
    os.close(read)
    del view
    cache.delete("key")
    churn()
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_children_of_children(make_cache: Any) -> None:
    cache = make_cache(size_mb=1)

    def nested(depth: int) -> None:
        cache.incr("depth", initial=1)
        if depth:
            in_child(lambda: nested(depth - 1))

    nested(5)
    assert cache.get("depth") == 6


def test_a_fork_that_python_does_not_know_of(unique_name: Any) -> None:
    """As servers written in C fork: no hook of the interpreter runs."""
    out = run_python(
        """
        import ctypes
        import os
        import sys
        import lilcache

        cache = lilcache.Cache(sys.argv[1], size_mb=4)
        cache.set("key", b"value" * 1000)
        view = cache.view("key")
        libc = ctypes.PyDLL(None)
        pids = []
        for number in range(4):
            pid = libc.fork()
            if pid == 0:
                good = cache.get("key") == b"value" * 1000 and view == b"value" * 1000
                for _ in range(1000):
                    cache.incr("count", initial=1)
                cache.set(number, os.getpid())
                cache.delete("key")
                good = good and view == b"value" * 1000
                os._exit(0 if good else 1)
            pids.append(pid)
        print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
        print(cache.get("count"), [cache.get(n) for n in range(4)] == pids)
        """,
        unique_name(),
    )
    # The first child deletes the key; a later one may find it gone.
    assert out.splitlines()[1] == "4000 True"


def attach_by_pickle(cache: Cache, number: int) -> Any:
    cache.set(("from", number), number)
    return cache.incr("count", initial=1)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_multiprocessing(make_cache: Any, method: str) -> None:
    cache = make_cache(size_mb=1)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        counts = pool.starmap(attach_by_pickle, [(cache, n) for n in range(4)])
        pool.close()
        pool.join()
    assert sorted(counts) == [1, 2, 3, 4]
    assert [cache.get(("from", number)) for number in range(4)] == [0, 1, 2, 3]


def test_counting_together(make_cache: Any, child: Any) -> None:
    cache = make_cache(size_mb=1)
    code = """
        import sys
        import lilcache
        cache = lilcache.Cache(sys.argv[1])
        for _ in range(5000):
            cache.incr("incr", initial=1)
            while True:
                value, stamp = cache.gets("cas", 0)
                if cache.cas("cas", value + 1, stamp):
                    break
        print("done", flush=True)
    """
    children = [child(code, cache.name) for _ in range(3)]
    assert [started.line() for started in children] == ["done"] * 3
    assert cache.get("incr") == 15_000
    assert cache.get("cas") == 15_000
    assert cache.check() == []


def test_others_notice_destroy_and_meet_again(make_cache: Any, child: Any) -> None:
    cache = make_cache(size_mb=1)
    cache.set("key", "old")
    peer: Child = child(PEER, cache.name)
    assert peer.line() == "ready"
    Cache(cache.name).destroy()
    assert peer.ask("('set', 'key', 'new')") == "True"
    assert cache.set("other", 1)
    assert cache.get("key") == "new"
    assert peer.ask("('get', 'other')") == "1"
    assert len(leftovers()) == 1


def test_too_many_processes(unique_name: Any, child: Any) -> None:
    name = unique_name()
    cache = Cache(name, size_mb=1, max_processes=2)
    peer: Child = child(PEER, name)
    assert peer.line() == "ready"
    refused: Child = child(PEER, name)
    with pytest.raises(AssertionError, match=r"TooManyProcessesError.*max_processes"):
        refused.line()
    peer.kill()
    later: Child = child(PEER, name)
    assert later.line() == "ready"
    assert cache.set("key", 1)
