"""Huge pages on request, and what is told of them. Whether there are any is the
kernel's affair."""

from __future__ import annotations

import errno
import logging
import re
import threading
from typing import Any

import pytest

from lilcache import Cache, _huge_pages
from lilcache._ffi import ffi, lib

from ..conftest import run_python

TOUCHES_AND_TELLS = """
import pathlib, re, sys
from lilcache import Cache
from lilcache._ffi import ffi, lib
pointer = Cache(sys.argv[1], huge_pages=True)._handle.pointer
bytes(ffi.buffer(lib.lilcache_base(pointer), lib.lilcache_size(pointer)))
smaps = pathlib.Path("/proc/self/smaps").read_text()
[own] = re.findall(rf"/lilcache-{sys.argv[1]}.*?VmFlags", smaps, re.DOTALL)
print(re.search(r"ShmemPmdMapped: +(\\d+) kB", own)[1])
"""

IS_REFUSED = """
import ctypes, logging, sys
from lilcache import Cache
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
PR_SET_THP_DISABLE = 41
assert ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0
cache = Cache(sys.argv[1], size_mb=8, huge_pages=True)
assert cache.set("key", "value") and cache.get("key") == "value"
"""


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lilcache")


def test_other_processes_map_what_was_told(
    unique_name: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name = unique_name()
    cache = Cache(name, size_mb=8, huge_pages=True)
    cache.set("key", "value")
    told = re.fullmatch(
        rf"cache '{name}': (\d) of 8\.0 MiB are in huge pages(: the kernel .+)?",
        caplog.messages[-1],
    )
    assert told is not None
    few = int(told[1]) < 8
    assert (caplog.records[-1].levelno == logging.WARNING, bool(told[2])) == (few, few)
    assert int(run_python(TOUCHES_AND_TELLS, name)) >= int(told[1]) << 10
    assert cache.get("key") == "value"


def test_a_kernel_that_refuses_is_warned_of(unique_name: Any) -> None:
    name = unique_name()
    [line] = run_python(IS_REFUSED, name).splitlines()
    assert line.startswith(
        f"WARNING cache '{name}': 0 of 8.0 MiB are in huge pages:"
        " the kernel refused: Invalid argument (it takes Linux 6.1 or later"
    )


def test_a_segment_that_is_too_small_is_warned_of(
    make_cache: Any, caplog: pytest.LogCaptureFixture
) -> None:
    make_cache(size_mb=1, huge_pages=True)
    assert caplog.records[-1].levelno == logging.WARNING
    assert "0 of 1.0 MiB" in caplog.messages[-1]
    assert f"which has {lib.lilcache_huge_page()} bytes" in caplog.messages[-1]


def test_they_are_for_creators_who_ask(
    make_cache: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_cache(size_mb=4)
    Cache(cache.name, huge_pages=True)
    assert not [line for line in caplog.messages if "huge" in line]


def kernel(
    monkeypatch: pytest.MonkeyPatch, *answers: int | str
) -> tuple[list[int], Any]:
    """Return what a kernel was asked that answers 0, an errno or "retired"."""
    asked: list[int] = []
    left = list(answers)

    class Answering:
        LILCACHE_OK, LILCACHE_OS = lib.LILCACHE_OK, lib.LILCACHE_OS

        @staticmethod
        def lilcache_huge_page() -> int:
            return 2 << 20

        @staticmethod
        def lilcache_size(pointer: object) -> int:
            return 7 << 20

        @staticmethod
        def lilcache_collapse(pointer: object, at: int) -> int:
            asked.append(at >> 21)
            answer = left.pop(0)
            if isinstance(answer, str):
                return int(lib.LILCACHE_RETIRED)
            ffi.errno = answer
            return int(lib.LILCACHE_OS) if answer else int(lib.LILCACHE_OK)

    monkeypatch.setattr(_huge_pages, "lib", Answering)
    return asked, _huge_pages.ask_for_huge_pages(None)


def test_what_the_kernel_is_busy_with_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = errno.EAGAIN
    asked, told = kernel(monkeypatch, 0, busy, 0, busy, 0)
    assert (asked, told) == ([0, 1, 2, 1, 1], (6 << 20, ""))
    asked, told = kernel(monkeypatch, busy, 0, busy, 0, busy, busy)
    assert asked == [0, 1, 2, 0, 2, 2]
    assert told == (4 << 20, "the kernel was busy with the rest")


def test_a_refusal_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, told = kernel(monkeypatch, 0, errno.ENOMEM)
    assert asked == [0, 1]
    assert told == (2 << 20, "the kernel refused: Cannot allocate memory")
    asked, told = kernel(monkeypatch, 0, "retired")
    assert (asked, told) == ([0, 1], (0, "somebody retired the segment"))


def test_other_caches_do_not_wait_for_it(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that attaches anew asks for huge pages; meanwhile others go on."""
    cache, other = make_cache(size_mb=4, huge_pages=True), make_cache(size_mb=1)
    begun, end = threading.Event(), threading.Event()

    def ask(pointer: Any) -> tuple[int, str]:
        begun.set()
        assert end.wait(10)
        return 4 << 20, ""

    monkeypatch.setattr("lilcache._handle.ask_for_huge_pages", ask)
    assert lib.lilcache_retire(cache._handle.pointer) == lib.LILCACHE_OK
    thread = threading.Thread(target=cache.set, args=("key", "value"))
    thread.start()
    assert begun.wait(10)
    other.close()
    assert cache.set("meanwhile", 1)
    end.set()
    thread.join()
    assert cache.get_many(["key", "meanwhile"]) == {"key": "value", "meanwhile": 1}
