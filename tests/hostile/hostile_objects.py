"""What somebody else, or an accident, may have put under a segment's name.

Each is refused with an error that says what is there and what to do, and is afterwards
exactly what it was before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lilcache
from lilcache import Cache

from ..conftest import SHM
from .neighbours import (
    ALICE,
    BOB,
    NOBODY,
    as_user,
    finish,
    kill,
    object_path,
    outcome,
    says,
    start_as,
    sysctl,
    trace,
)

MIB = 1 << 20
BOMBED = SHM / f"hostile-bomb-{os.getpid()}"


class Bomb:
    """Whoever unpickles it leaves a file."""

    def __reduce__(self) -> Any:
        return (Path.touch, (BOMBED,))


@pytest.fixture(autouse=True)
def _no_bomb() -> Any:
    BOMBED.unlink(missing_ok=True)
    yield
    exploded = BOMBED.exists()
    BOMBED.unlink(missing_ok=True)
    assert not exploded, "a stranger's pickle was loaded"


def make_file(path: Path, mode: int, size: int = 0, content: bytes = b"") -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.truncate(max(size, len(content)))
    path.chmod(mode)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    path.chmod(0o666)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)
    path.chmod(0o666)


def make_directory(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def make_segment(path: Path) -> None:
    """A perfect segment that holds a bomb and that everybody may open."""
    name = path.name.removeprefix("lilcache-").rpartition(".")[0]
    with Cache(name, size_mb=1, serializer="pickle") as cache:
        cache.set("key", Bomb())
        cache.set("outcome", Bomb())
    path.chmod(0o666)


OBJECTS: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: make_file(path, 0o666),
    "empty, unreadable": lambda path: make_file(path, 0),
    "empty, private": lambda path: make_file(path, 0o600),
    "empty, readable": lambda path: make_file(path, 0o640),
    "sparse": lambda path: make_file(path, 0o666, size=MIB),
    "larger and sparse": lambda path: make_file(path, 0o666, size=100 * MIB),
    "noise": lambda path: make_file(path, 0o666, content=os.urandom(MIB)),
    "segment with a bomb": make_segment,
    "link to a file": lambda path: path.symlink_to("/etc/passwd"),
    "link to nothing": lambda path: path.symlink_to(SHM / "hostile-nothing"),
    "link to itself": lambda path: path.symlink_to(path),
    "directory": make_directory,
    "fifo": make_fifo,
    "socket": make_socket,
}

# Nothing that can be opened and looked at.
NO_FILES = {
    "link to a file",
    "link to nothing",
    "link to itself",
    "directory",
    "fifo",
    "socket",
}


@pytest.mark.parametrize("victim", [0, ALICE], ids=["root", "alice"])
@pytest.mark.parametrize("what", OBJECTS)
def test_objects_of_others(name: str, what: str, victim: int) -> None:
    path = object_path(name)
    as_user(NOBODY, lambda: OBJECTS[what](path))
    # The content of 8 GiB of nothing is not worth reading.
    before = trace(path)
    for options in ({}, {"recreate": True}, {"size_mb": None}):
        kind, text = as_user(victim, lambda o=options: outcome(name, **o))
        if what in NO_FILES:
            assert kind == "SegmentMismatchError", text
        else:
            assert kind == "ForeignSegmentError", text
            assert f"owner {NOBODY}" in text or "Permission denied" in text
        says(text, name, "choose another name=")
    assert trace(path) == before
    assert not (SHM / "hostile-nothing").exists()


@pytest.mark.parametrize("protected", [0, 1, 2])
def test_whatever_the_kernel_protects(name: str, protected: int) -> None:
    """fs.protected_regular answers an open with O_CREAT with EACCES; ours has none."""
    path = object_path(name)
    as_user(NOBODY, lambda: make_file(path, 0o666, size=MIB))
    before = trace(path)
    with sysctl("fs/protected_regular", protected):
        results = [as_user(uid, lambda: outcome(name)) for uid in (0, ALICE)]
        assert {kind for kind, _ in results} == {"ForeignSegmentError"}
        assert trace(path) == before
        path.unlink()
        assert as_user(ALICE, lambda: outcome(name))[0] == "created"
        assert as_user(ALICE, lambda: outcome(name))[0] == "attached"
        assert as_user(0, lambda: outcome(name))[0] == "ForeignSegmentError"


@pytest.mark.parametrize("node", ["null", "zero", "full", "mem-like block"])
def test_device_nodes(name: str, node: str) -> None:
    path = object_path(name)
    major_minor = {"null": (1, 3), "zero": (1, 5), "full": (1, 7)}
    if node in major_minor:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(*major_minor[node]))
    else:
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(240, 77))  # no such driver
    before = trace(path)
    kind, text = outcome(name)
    assert kind == "SegmentMismatchError"
    says(text, name, "choose another name=")
    assert trace(path) == before


@pytest.mark.parametrize("victim", [0, ALICE], ids=["root", "alice"])
def test_a_file_of_ours_that_somebody_linked_there(name: str, victim: int) -> None:
    """Without fs.protected_hardlinks anybody may; it must not be made a segment."""
    path = object_path(name)
    precious = SHM / f"hostile-precious-{name}"
    make_file(precious, 0o600, content=b"precious" * 1000)
    os.chown(precious, victim, -1)
    with sysctl("fs/protected_hardlinks", 0):
        as_user(NOBODY, lambda: os.link(precious, path))
    before = trace(precious)
    for options in ({}, {"recreate": True}):
        kind, text = as_user(victim, lambda o=options: outcome(name, **o))
        assert kind == "ForeignSegmentError"
        says(text, name, "links 2")
    assert trace(precious) == before
    assert precious.read_bytes() == b"precious" * 1000


def test_a_lease_does_not_make_us_wait(name: str) -> None:
    """Its owner could hold up a blocking open for /proc/sys/fs/lease-break-time."""
    path = object_path(name)

    def lease() -> None:
        make_file(path, 0o666)
        file = os.open(path, os.O_RDWR)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        Path(f"{path}.leased").touch()
        time.sleep(60)

    squatter = start_as(NOBODY, lease)
    try:
        while not Path(f"{path}.leased").exists():
            time.sleep(0.01)
        for victim in (0, ALICE):
            kind, text = as_user(victim, lambda: outcome(name))
            assert kind == "ForeignSegmentError"
            says(text, name, "choose another name=")
    finally:
        kill(squatter)
        Path(f"{path}.leased").unlink()


def test_what_lies_there_of_our_own(name: str) -> None:
    """Rests of a dead creator are replaced, whatever their size and content."""
    path = object_path(name)
    for uid in (0, ALICE):
        for size in (0, 1, 511, 4096, MIB - 1, MIB, 3 * MIB):
            for content in (b"", b"noise" * 1000):
                make_file(path, 0o600, size, content[:size])
                os.chown(path, uid, -1)
                assert as_user(uid, lambda: outcome(name))[0] == "created"
                assert path.stat().st_size == MIB
                path.unlink()


@pytest.mark.parametrize(
    "mode", [0o666, 0o660, 0o640, 0o644, 0o602, 0o620, 0o601, 0o610]
)
def test_a_segment_of_our_own_that_others_can_open(name: str, mode: int) -> None:
    path = object_path(name)
    for uid in (0, ALICE):
        assert as_user(uid, lambda: outcome(name))[0] == "created"
        path.chmod(mode)
        before = trace(path)
        kind, text = as_user(uid, lambda: outcome(name))
        assert kind == "ForeignSegmentError"
        says(text, name, f"mode {mode:04o}")
        assert trace(path) == before
        path.chmod(0o600)
        assert as_user(uid, lambda: outcome(name))[0] == "attached"
        path.unlink()


def test_a_mode_without_rights_for_ourselves(name: str) -> None:
    path = object_path(name)
    assert as_user(ALICE, lambda: outcome(name))[0] == "created"
    path.chmod(0)
    kind, text = as_user(ALICE, lambda: outcome(name))
    assert kind == "ForeignSegmentError"
    says(text, name, "Permission denied")
    path.chmod(0o600)
    assert as_user(ALICE, lambda: outcome(name))[0] == "attached"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_the_umask_has_no_say(name: str, mask: int) -> None:
    def create() -> tuple[str, str]:
        os.umask(mask)
        return outcome(name)

    for uid in (0, ALICE):
        assert as_user(uid, create)[0] == "created"
        assert object_path(name).stat().st_mode & 0o7777 == 0o600
        assert as_user(uid, create)[0] == "attached"
        object_path(name).unlink()


def test_many_of_one_user_at_once_with_a_umask_that_forbids_everything(
    name: str,
) -> None:
    """The object has no rights for the moment between its creation and its fchmod."""

    def create() -> tuple[str, str]:
        os.umask(0o777)
        return outcome(name)

    for _ in range(10):
        started = [start_as(ALICE, create) for _ in range(6)]
        kinds = sorted(finish(one)[0] for one in started)
        assert kinds == ["attached"] * 5 + ["created"]
        object_path(name).unlink()


@pytest.mark.parametrize("flapper", [NOBODY, 0], ids=["stranger", "ourselves"])
def test_a_name_that_comes_and_goes(name: str, flapper: int) -> None:
    """Every open ends soon, one way or another, and all is well when it stops."""
    path = object_path(name)

    def flap() -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with contextlib.suppress(PermissionError, FileNotFoundError):
                path.unlink()

    squatter = start_as(flapper, flap)
    kinds: dict[str, int] = {}
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            kind, text = outcome(name)
            kinds[kind] = kinds.get(kind, 0) + 1
            assert kind in ("created", "attached", "ForeignSegmentError") or (
                kind == "SegmentOSError" and "choose another name=" in text
            ), (kind, text)
            if flapper:
                path.unlink(missing_ok=True)
    finally:
        kill(squatter)
    print(f"a name that comes and goes: {kinds}")
    path.unlink(missing_ok=True)
    assert outcome(name)[0] == "created"


def test_attached_processes_notice_what_happens_to_their_name(name: str) -> None:
    """A stranger can squat the name once it is free, but not what is attached."""
    path = object_path(name)

    def work() -> tuple[str, str]:
        with Cache(name, size_mb=1) as cache:
            cache.set("key", "value")
            path.unlink()
            make_file(path, 0o666, size=MIB)
            os.chown(path, NOBODY, -1)
            try:
                for _ in range(70_000):
                    assert cache.get("key") == "value"
            except lilcache.LilcacheError as error:
                return type(error).__name__, str(error)
        return "went on", ""

    kind, text = as_user(0, work)
    assert kind == "ForeignSegmentError", text
    says(text, name, f"owner {NOBODY}")


def test_pickles_of_a_group_are_never_loaded(name: str) -> None:
    """Raw bytes by a member of the group: its bomb is in the cache, and stays there."""

    def plant() -> bool:
        with Cache(name, size_mb=1, owner=0, group=BOB, serializer="pickle") as cache:
            return cache.set("key", Bomb()) and cache.set("plain", b"bytes")

    with Cache(name, size_mb=1, group=BOB) as cache:
        assert as_user(ALICE, plant, groups=(BOB,))
        assert cache.get("plain") == b"bytes"
        for call in (
            lambda: cache.get("key"),
            lambda: cache.gets("key"),
            lambda: cache.get_many(["key"]),
            lambda: cache.pop("key"),
            lambda: cache.set("mine", object),
        ):
            with pytest.raises(lilcache.SerializationError, match="others can write"):
                call()
        cache.destroy()
