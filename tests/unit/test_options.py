"""The arguments of Cache: names, sizes, accounts, timeouts."""

from __future__ import annotations

import grp
import logging
import math
import os
import pwd
import warnings
from typing import Any

import pytest

from lilcache import (
    ArgumentError,
    Cache,
    ForeignSegmentError,
    SegmentSizeWarning,
    SegmentSpaceError,
    SerializationError,
)
from lilcache._options import default_name, default_size_bytes

MIB = 1024 * 1024


def test_default_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("LILCACHE_NAME", raising=False)
    here = default_name()
    assert here == default_name()
    assert here.startswith(f"{os.geteuid()}-")
    assert default_name(owner=12345).startswith("12345-")
    monkeypatch.chdir(tmp_path)
    assert default_name() != here
    monkeypatch.setenv("LILCACHE_NAME", "chosen")
    assert default_name() == "chosen"


def test_name_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, unique_name: Any
) -> None:
    name = unique_name()
    monkeypatch.setenv("LILCACHE_NAME", name)
    with Cache(size_mb=1) as cache:
        assert cache.name == name


@pytest.mark.parametrize("name", ["", "a/b", "a b", "é", "x" * 129, 5, b"name", "a\n"])
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(ArgumentError, match="name"):
        Cache(name)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (argument, value)
        for argument in ("size_mb", "max_value_mb")
        for value in (0, -1, math.nan, math.inf, True, "64", 2**40)
    ]
    + [("size_mb", 0.5)]
    + [("max_processes", value) for value in (0, -1, 1.5, True, "5", 2**31)]
    + [("lock_timeout", value) for value in (-1, math.nan, math.inf, True, None, "1")]
    + [("favor", value) for value in ("object", "", None, 1, b"bytes")]
    + [("owner", value) for value in (-1, 1.5, True, "no-such-user", 2**32)]
    + [("group", value) for value in (-1, 1.5, True, "no-such-group", 2**32)],
)
def test_what_is_out_of_range(unique_name: Any, argument: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=argument.partition("_")[0]):
        Cache(unique_name(), **{argument: value})


@pytest.mark.parametrize("size_mb", [1, 1.5, 2.0, 3.3])
def test_size_is_that_of_the_whole_object(make_cache: Any, size_mb: float) -> None:
    cache = make_cache(size_mb=size_mb)
    assert cache.size_bytes == int(size_mb * MIB) // 4096 * 4096


def test_default_size_follows_the_free_space(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(count: int, of: int = 9**9) -> None:
        space = os.statvfs_result((4096, 4096, of, count, count, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda path: space)

    unlimited = 2**64 - 1
    free(10**7)
    assert default_size_bytes(False, unlimited) == 64 * MIB
    assert default_size_bytes(False, 32 * MIB) == 24 * MIB
    free(8 * MIB // 4096)
    assert default_size_bytes(False, unlimited) == 6 * MIB
    assert default_size_bytes(False, 4 * MIB) == 3 * MIB
    assert default_size_bytes(True, unlimited) == 64 * MIB
    assert default_size_bytes(True, 4 * MIB) == 3 * MIB
    free(1)
    assert default_size_bytes(False, unlimited) == 1 * MIB
    free(0, of=0)
    assert default_size_bytes(False, unlimited) == 64 * MIB


def test_a_size_that_does_not_fit(unique_name: Any, too_large_mb: int) -> None:
    with pytest.raises(
        SegmentSpaceError, match=r"--shm-size.*anonymous=True"
    ) as raised:
        Cache(unique_name(), size_mb=too_large_mb)
    error = raised.value
    assert error.wanted_bytes == too_large_mb * MIB
    assert 0 < error.available_bytes < error.wanted_bytes
    assert f"{too_large_mb}.0 MiB" in str(error)


def test_another_size_is_used_as_it_is_and_warned_of(make_cache: Any) -> None:
    cache = make_cache(size_mb=4)
    with pytest.warns(SegmentSizeWarning, match=r"size_mb=4.*with 8"):
        other = Cache(cache.name, size_mb=8)
    assert other.size_bytes == 4 * MIB
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Cache(cache.name)
        Cache(cache.name, size_mb=4)


def test_another_largest_value_is_warned_of(make_cache: Any) -> None:
    cache = make_cache(size_mb=4, max_value_mb=0.5)
    assert cache.max_value_bytes == MIB // 2
    with pytest.warns(SegmentSizeWarning, match=r"max_value_mb=0.5.*with 1"):
        Cache(cache.name, max_value_mb=1)


def test_opening_is_logged(unique_name: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lilcache")
    name = unique_name()
    Cache(name, size_mb=2)
    Cache(name)
    assert caplog.messages == [
        f"created cache '{name}', 2.0 MiB",
        f"attached cache '{name}', 2.0 MiB",
    ]


def test_recreate(make_cache: Any) -> None:
    old = make_cache(size_mb=4)
    old.set("key", "old")
    new = Cache(old.name, size_mb=2, recreate=True)
    assert new.get("key") is None
    assert new.size_bytes == 2 * MIB
    new.set("key", "new")
    assert Cache(old.name).get("key") == "new"


def test_a_retired_segment_is_left_for_the_new_one(make_cache: Any) -> None:
    old = make_cache(size_mb=4)
    old.set("key", "old")
    with pytest.warns(SegmentSizeWarning):
        new = Cache(old.name, size_mb=2, recreate=True)
        new.set("key", "new")
        old.set("other", "from old")
    assert old.get("key") == "new"
    assert new.get("other") == "from old"
    assert old.size_bytes == 2 * MIB


def test_owner_and_group(unique_name: Any) -> None:
    me = Cache(unique_name(), size_mb=1, owner=os.geteuid())
    me.set("key", [1])
    assert me.get("key") == [1]
    group = os.getegid()
    shared = Cache(unique_name(), size_mb=1, group=group)
    shared.set("key", "native")
    assert shared.get("key") == "native"
    with pytest.raises(SerializationError, match="others can write"):
        shared.set("key", [1])
    trusting = Cache(shared.name, group=group, serializer="pickle")
    trusting.set("key", [1])
    with pytest.raises(SerializationError, match="others can write"):
        shared.get("key")
    with pytest.raises(ForeignSegmentError, match="group="):
        Cache(shared.name)
    signing = Cache(unique_name(), size_mb=1, group=group, signing_key=b"k" * 16)
    signing.set("key", [1])
    assert signing.get("key") == [1]


def test_names_of_accounts(unique_name: Any) -> None:
    user, group = pwd.getpwuid(os.geteuid())[0], grp.getgrgid(os.getegid())[0]
    cache = Cache(unique_name(), size_mb=1, owner=user, group=group)
    assert cache.set("key", "value")


def test_max_processes(unique_name: Any) -> None:
    cache = Cache(unique_name(), size_mb=1, max_processes=3)
    assert cache.stats().processes == 1
