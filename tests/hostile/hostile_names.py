"""Names: everything but a short, plain word is refused before anything is opened."""

from __future__ import annotations

import os
import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lilcache import ArgumentError, Cache
from lilcache._ffi import ffi, lib

from ..conftest import RUN, SHM

PLAIN = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
ALPHABET = string.ascii_letters + string.digits + "._-/\0\n \\%~ä\u202e\ud800"


def listing() -> set[str]:
    return {entry for entry in os.listdir(SHM) if RUN in entry}


@settings(max_examples=300, deadline=None)
@given(st.text(ALPHABET, max_size=140) | st.text(max_size=140))
@example("")
@example("..")
@example("../../etc/passwd")
@example("a/b")
@example("/dev/shm/a")
@example("a\0b")
@example("a\n")
@example("x" * 129)
@example("é")
@example("a‮b")
def test_any_text(tail: str) -> None:
    name = tail if len(tail) > 110 or not PLAIN.fullmatch(tail) else f"{RUN}{tail}"
    before = listing()
    if PLAIN.fullmatch(name):
        cache = Cache(name, size_mb=1)
        [made] = listing() - before
        assert made.startswith(f"lilcache-{name}.")
        cache.destroy()
    else:
        with pytest.raises(ArgumentError, match="a cache name is"):
            Cache(name, size_mb=1)
    assert listing() == before


@pytest.mark.parametrize("tail", ["", ".", "..", "-", "x" * 90])
def test_plain_but_odd(tail: str) -> None:
    cache = Cache(f"{RUN}{tail}", size_mb=1)
    assert cache.set("key", 1)
    cache.destroy()
    assert not listing()


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "x" * 129, "é"])
def test_the_environment_is_no_way_round(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LILCACHE_NAME", name)
    with pytest.raises(ArgumentError, match="a cache name is"):
        Cache()


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=260))
def test_any_bytes_in_the_core(name: bytes) -> None:
    """The core trusts no caller: what it accepts is a file name without tricks."""
    out = ffi.new("char[]", 300)
    length = lib.lilcache_object_name(name.partition(b"\0")[0] + b"\0", out, 300)
    if length < 0:
        assert length == lib.LILCACHE_INVALID
    else:
        made = ffi.string(out)
        assert len(made) == length <= 255
        assert re.fullmatch(rb"[A-Za-z0-9_-][A-Za-z0-9._-]*\.[0-9a-f]{16}", made)
