"""A segment cut short by somebody while processes are in it, and every other SIGBUS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import lilcache
from lilcache import Cache

from ..conftest import SHM, Child, run_python

FOREIGN_FAULT = """
    import mmap, os
    fd = os.memfd_create("foreign")
    os.ftruncate(fd, 4096)
    page = mmap.mmap(fd, 4096)
    os.ftruncate(fd, 0)
    print("so far", flush=True)
    page[0]
"""

# Everything a process does, until it is told to stop.
WORKER = """
    import random, sys, threading, time
    import lilcache

    cache = lilcache.Cache(sys.argv[1], lock_timeout=30)
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set())).start()
    print("ready", flush=True)
    values = {f"key-{n}": f"value of key-{n}" * (n % 50) for n in range(300)}
    while not stop.is_set():
        began = time.monotonic()
        try:
            key = random.choice(list(values))
            cache.set(key, values[key], ttl=random.choice([None, 1000]))
            # A value that was cut short while it was copied must not come out.
            many = cache.get_many([key]).values()
            for found in (*many, cache.get(key), cache.pop(key)):
                assert found is None or found == values[key], (key, found)
            view = cache.view(key)
            del view
            cache.incr("count", initial=0)
            cache.touch(key, 100)
            cache.delete(key)
            list(cache.scan())
            cache.stats()
            if random.random() < 0.01:
                cache.clear()
        except lilcache.CorruptError:
            pass  # cut short in the middle of the call
        # Nobody waits for a lock whose page has gone.
        assert time.monotonic() - began < 20
    for _ in range(3):
        try:
            cache.set("last", "word")
            # Or none, when another worker has just cleared everything.
            assert cache.get("last") in (None, "word")
            assert cache.check() == []
            break
        except lilcache.CorruptError:
            pass  # the first call to notice
    else:
        raise SystemExit("three calls in a row failed")
    print("done", flush=True)
"""


def object_of(cache: Cache) -> Path:
    [path] = SHM.glob(f"lilcache-{cache.name}.*")
    return path


def dies_by(code: str, *arguments: str) -> tuple[int, str]:
    """Run code, and return the signal that ended it and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "so far" in done.stdout, done.stderr
    return -done.returncode, done.stderr


@pytest.mark.parametrize(
    ("share", "grown"),
    [(0, False), (4096, False), (0.5, False), (0, True), (4096, True)],
)
@pytest.mark.parametrize("again", [False, True])
def test_processes_go_on_in_a_new_segment(
    make_cache: Any, child: Any, share: float, grown: bool, again: bool
) -> None:
    cache = make_cache(size_mb=1, checksums=True)
    workers: list[Child] = [child(WORKER, cache.name) for _ in range(4)]
    for worker in workers:
        assert worker.line() == "ready"
    path = object_of(cache)
    size = path.stat().st_size
    before = path.stat().st_ino
    with path.open("r+b") as file:
        file.truncate(int(share * size) if 0 < share < 1 else int(share))
        if grown:
            file.truncate(size)  # no page is missing any more: zeros, and no signal
    if again:
        assert cache.set("found", "out")
    assert cache.get("key-1") in (None, "value of key-1")
    for worker in workers:
        assert worker.ask("stop") == "done"
        assert worker.end() == 0
    assert object_of(cache).stat().st_ino != before
    assert cache.set("key", "value")
    assert cache.get("key") == "value"


def test_a_view_shows_zeros(make_cache: Any) -> None:
    cache = make_cache(size_mb=1)
    cache.set("bytes", b"x" * 100_000)
    view = cache.view("bytes")
    os.truncate(object_of(cache), 0)
    assert bytes(view) == bytes(100_000)
    assert cache.get("bytes") is None
    assert cache.set("bytes", b"y")
    assert bytes(view) == bytes(100_000)
    del view
    assert cache.view("bytes") == b"y"


def test_an_anonymous_segment_cannot_be_cut_short() -> None:
    with Cache(anonymous=True, size_mb=1):
        found = 0
        for link in Path("/proc/self/fd").iterdir():
            if link.is_symlink() and "memfd:" in os.readlink(link):
                found += 1
                with pytest.raises(PermissionError):
                    os.ftruncate(int(link.name), 0)
        assert found


CUT_SHORT = """
    import faulthandler, os, sys
    import lilcache
    if "before" in sys.argv:
        faulthandler.enable()
    cache = lilcache.Cache(sys.argv[1], size_mb=1)
    if "after" in sys.argv:
        faulthandler.enable()
    cache.set("key", "value")
    os.truncate(sys.argv[2], 0)
    assert cache.get("key") is None
    assert cache.set("key", "value") and cache.get("key") == "value"
    print("so far")
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_with_faulthandler(make_cache: Any, when: str) -> None:
    """Enabled afterwards it has its say, and then the program goes on."""
    cache = make_cache(size_mb=1)
    arguments = (cache.name, str(object_of(cache)), when)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CUT_SHORT), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "so far"), done.stderr
    assert ("Bus error" in done.stderr) == (when == "after")


@pytest.mark.parametrize("when", ["", "before", "after"])
def test_a_fault_of_the_program_still_kills_it(unique_name: Any, when: str) -> None:
    enable = "import faulthandler; faulthandler.enable()"
    code = "\n".join(
        [
            enable if when == "before" else "",
            "import sys, lilcache",
            "cache = lilcache.Cache(anonymous=True, size_mb=1)",
            enable if when == "after" else "",
            textwrap.dedent(FOREIGN_FAULT),
        ]
    )
    number, said = dies_by(code)
    assert number == signal.SIGBUS
    assert ("Bus error" in said) == bool(when)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_the_signal_can_be_left_alone(
    make_cache: Any, monkeypatch: Any, how: str
) -> None:
    cache = make_cache(size_mb=1)
    option = ", guard=False" if how == "argument" else ""
    if how == "environment":
        monkeypatch.setenv("LILCACHE_GUARD", "0")
    number, _ = dies_by(
        f"""
        import os, sys, lilcache
        cache = lilcache.Cache(sys.argv[1], size_mb=1{option})
        cache.set("key", "value")
        os.truncate(sys.argv[2], 0)
        print("so far", flush=True)
        cache.get("key")
        """,
        cache.name,
        str(object_of(cache)),
    )
    assert number == signal.SIGBUS
    assert cache.set("key", "value")


def test_a_damaged_header_says_what_to_do(make_cache: Any) -> None:
    cache = make_cache(size_mb=1)
    with object_of(cache).open("r+b") as file:
        file.seek(40)
        file.write(b"\xff" * 4)
    code = """
        import sys, lilcache
        try:
            lilcache.Cache(sys.argv[1])
        except lilcache.CorruptError as error:
            print(error)
        lilcache.Cache(sys.argv[1], size_mb=1, recreate=True).set("key", "value")
    """
    assert "recreate=True" in run_python(code, cache.name)
    assert cache.get("key") == "value"  # in the new segment
    assert lilcache.Cache(cache.name).get("key") == "value"
