"""Other users, what they put in our way, and what becomes of an open."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lilcache
from lilcache import Cache
from lilcache._ffi import ffi, lib

from ..conftest import SHM

BUILD = Path(__file__).resolve().parents[2] / "build" / "hostile"

NOBODY = 65534
ALICE, BOB = 40101, 40102
SHARED_GROUP = 40200

# No open, however it ends, may take longer: well below the 10 s that it may wait for
# another creator. Far above what it takes, since the machine may be busy.
SECONDS_MAX = 5.0


def object_path(name: str) -> Path:
    """Return where Cache(name) of this PID namespace and this build would be."""
    out = ffi.new("char[]", 300)
    assert lib.lilcache_object_name(f"lilcache-{name}".encode(), out, 300) > 0
    return SHM / ffi.string(out).decode()


def as_user(
    uid: int, action: Callable[[], Any], groups: tuple[int, ...] = (), gid: int = NOBODY
) -> Any:
    """Fork, become that user for good, and return what action returns there."""
    return finish(start_as(uid, action, groups, gid))


def start_as(
    uid: int, action: Callable[[], Any], groups: tuple[int, ...] = (), gid: int = NOBODY
) -> tuple[int, int]:
    """As as_user, without waiting; hand what it returns to finish or to kill."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        os.close(read)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        result = pickle.dumps((True, action()))
    except BaseException as error:
        result = pickle.dumps((False, f"{type(error).__name__}: {error}"))
    with os.fdopen(write, "wb") as out:
        out.write(result)
    os._exit(0)


def finish(started: tuple[int, int]) -> Any:
    pid, read = started
    with os.fdopen(read, "rb") as answer:
        data = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    good, result = pickle.loads(data)
    assert good, result
    return result


def kill(started: tuple[int, int]) -> None:
    os.kill(started[0], signal.SIGKILL)
    os.waitpid(started[0], 0)
    os.close(started[1])


def outcome(name: str, **options: Any) -> tuple[str, str]:
    """Open and use a cache: ("created" or "attached", "") or (exception, text)."""
    options.setdefault("size_mb", 1)
    started = time.monotonic()
    try:
        cache = Cache(name, **options)
    except lilcache.LilcacheError as error:
        return type(error).__name__, str(error)
    finally:
        took = time.monotonic() - started
        assert took < SECONDS_MAX, f"took {took:.1f} s"
    with cache:
        made = lib.lilcache_created(cache._handle.pointer)
        assert cache.set("outcome", b"value")
        assert cache.get("outcome") == b"value"
        assert cache.check() == []
        return ("created" if made else "attached"), ""


def says(text: str, name: str, remedy: str) -> None:
    """The message says which cache, where it is, and what to do."""
    assert repr(name) in text
    assert str(object_path(name)) in text
    assert remedy in text, text


def trace(path: Path) -> tuple[Any, ...] | None:
    """Everything about an object that opening it in vain must leave as it is."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    content = ""
    if stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)
    return (
        found.st_ino,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_nlink,
        found.st_size,
        found.st_mtime_ns,
        content,
    )


@contextmanager
def sysctl(path: str, value: int) -> Iterator[None]:
    """Set a kernel parameter for a moment."""
    file = Path("/proc/sys", path)
    before = file.read_text()
    file.write_text(str(value))
    try:
        yield
    finally:
        file.write_text(before)


def attach(
    name: str, *words: str, tool: str = "attach", under: tuple[str, ...] = ()
) -> list[str]:
    """Run a build of the core on lilcache-NAME; return its words, see attach.c."""
    done = subprocess.run(
        [*under, str(BUILD / tool), f"lilcache-{name}", *words],
        capture_output=True,
        text=True,
        timeout=30,
    )
    crashed = "crash" in words and done.returncode in (-signal.SIGKILL, 137)
    assert done.returncode == 0 or crashed, done
    assert done.stderr == ""
    return done.stdout.split()


def python(code: str, *arguments: str, under: tuple[str, ...] = ()) -> str:
    """Run code in a new interpreter under some command; return what it printed."""
    done = subprocess.run(
        [*under, sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
