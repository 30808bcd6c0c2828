"""What a program is told when there is too little: sizes, place and what helps.

Mounts are made in a namespace of the child, so that they end with it, however it ends.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import run_python

CGROUPS = Path("/sys/fs/cgroup")

# The child prints the exception, as its class, sizes and text.
HEADER = """
    import errno
    import os
    import resource
    import sys
    import lilcache

    def refused(make):
        try:
            make()
        except lilcache.SegmentSpaceError as error:
            print(type(error).__name__, error.wanted_bytes, error.available_bytes)
            print(error)
        except OSError as error:
            print(type(error).__name__, errno.errorcode.get(error.errno))
            print(error)
        else:
            print("was not refused")

    def works(cache):
        for n in range(2000):
            cache.set(n, b"v" * (cache.size_bytes // 1000))
        assert cache.get(1999) == b"v" * (cache.size_bytes // 1000)
        assert cache.stats().evictions > 0
        assert not cache.check()

"""
MIB = 2**20
ANONYMOUSLY = "anonymous=True if only forked children share the cache"


def with_mounts(mounts: str, code: str) -> list[str]:
    """Run shell commands and then code in a mount namespace; return its lines."""
    private = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Umr"]
    script = textwrap.dedent(HEADER) + textwrap.dedent(code)
    done = subprocess.run(
        [
            *private,
            *("sh", "-ec", f'{mounts}\nexec "$0" -W error -c "$1"'),
            *(sys.executable, script),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def docker(others_mb: int) -> str:
    """Docker's /dev/shm, with that many MiB of other files in it."""
    return (
        "mount -t tmpfs -o size=64m shm /dev/shm\n"
        f"fallocate -l {others_mb}m /dev/shm/others"
    )


@pytest.mark.parametrize("make", ["Cache", "init"])
def test_an_explicit_size_that_does_not_fit_beside_other_files(make: str) -> None:
    lines = with_mounts(
        docker(40),
        f"""
        refused(lambda: lilcache.{make}("shop", size_mb=32))
        assert os.listdir("/dev/shm") == ["others"]
        works(lilcache.Cache("shop", size_mb=24))
        works(lilcache.Cache("forked", size_mb=32, anonymous=True))
        """,
    )
    assert lines == [
        f"SegmentSpaceError {32 * MIB} {24 * MIB}",
        "cache 'shop': 32.0 MiB do not fit in /dev/shm, which has 24.0 MiB free (free"
        " space: No space left on device): ask for a smaller size_mb, enlarge it"
        f" (docker run --shm-size=...), or pass {ANONYMOUSLY}",
    ]


@pytest.mark.parametrize(
    ("others_mb", "size_mb"), [(1, 47.25), (24, 30), (40, 18), (62, 1.5)]
)
def test_the_default_size_leaves_a_quarter_to_others(
    others_mb: int, size_mb: float
) -> None:
    lines = with_mounts(
        docker(others_mb),
        """
        cache = lilcache.Cache("shop")
        print(cache.size_bytes)
        works(cache)
        cache.destroy()
        assert os.listdir("/dev/shm") == ["others"]
        """,
    )
    assert lines == [str(int(size_mb * MIB))]


def test_not_even_the_least_size_fits() -> None:
    lines = with_mounts(docker(64), 'refused(lambda: lilcache.Cache("shop"))')
    assert lines[0] == f"SegmentSpaceError {MIB} 0"
    assert "1.0 MiB do not fit in /dev/shm, which is full" in lines[1]
    assert "--shm-size" in lines[1]


def test_a_file_system_without_a_limit_gets_the_whole_default() -> None:
    lines = with_mounts(
        "mount -t tmpfs -o size=0 shm /dev/shm",
        'print(lilcache.Cache("shop").size_bytes)',
    )
    assert lines == [str(64 * MIB)]


OS_ERRORS = {
    "read-only": (
        "mount -t tmpfs -o ro shm /dev/shm",
        "SegmentOSError EROFS",
        "shm_open(O_CREAT): Read-only file system: mount /dev/shm read-write, or pass",
    ),
    "missing": (
        "mount -t tmpfs dev /dev",
        "SegmentOSError ENOENT",
        "shm_open(O_CREAT): No such file or directory: it takes /proc and /dev/shm:"
        " mount them in this container or chroot, or, for want of /dev/shm, pass",
    ),
    "a file": (
        "mount -t tmpfs dev /dev\ntouch /dev/shm",
        "SegmentOSError ENOTDIR",
        "shm_open: Not a directory: mount a tmpfs on /dev/shm, or pass",
    ),
    "out of inodes": (
        "mount -t tmpfs -o size=64m,nr_inodes=1 shm /dev/shm",
        "SegmentSpaceError 0 0",
        "/dev/shm takes no more files (shm_open(O_CREAT): No space left on device):"
        " remove some, or pass",
    ),
}


@pytest.mark.parametrize("name", OS_ERRORS)
def test_an_unusable_directory(name: str) -> None:
    mounts, kind, text = OS_ERRORS[name]
    lines = with_mounts(
        mounts,
        """
        refused(lambda: lilcache.Cache("shop"))
        works(lilcache.Cache(anonymous=True, size_mb=1))
        """,
    )
    assert lines == [kind, f"cache 'shop': {text} {ANONYMOUSLY}"]


def test_a_directory_that_others_may_not_write() -> None:
    lines = with_mounts(
        "mount -t tmpfs -o mode=0755 shm /dev/shm",
        """
        os.setuid(65534)
        refused(lambda: lilcache.Cache("shop"))
        """,
    )
    assert lines[0].startswith("ForeignSegmentError")
    assert (
        "shm_open(O_CREAT): Permission denied: make /dev/shm writable (chmod 1777), or"
        f" pass {ANONYMOUSLY}"
    ) in lines[1]


def test_a_name_that_cannot_be_removed(unique_name: Any) -> None:
    lines = with_mounts(
        "true",
        f"""
        import subprocess
        cache = lilcache.Cache("{unique_name()}", size_mb=1)
        mount = "mount --bind /dev/shm /dev/shm; mount -o remount,bind,ro /dev/shm"
        subprocess.run(["sh", "-ec", mount], check=True)
        refused(cache.destroy)
        works(cache)
        subprocess.run(["umount", "/dev/shm"], check=True)
        cache.destroy()
        """,
    )
    assert lines[0] == "SegmentOSError EROFS"
    assert "shm_unlink: Read-only file system: mount /dev/shm read-write" in lines[1]


def test_no_descriptors(unique_name: Any) -> None:
    out = run_python(
        HEADER
        + """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    for few in range(3, 40):
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, limit[1]))
        try:
            cache = lilcache.Cache(sys.argv[1], size_mb=1)
        except lilcache.SegmentOSError as error:
            refusal = error
            assert error.errno == errno.EMFILE
        else:
            break
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    works(cache)
    cache.destroy()
    print(refusal)
    """,
        unique_name(),
    )
    assert "Too many open files: close files, or raise this process's limit" in out
    assert "(ulimit -n)" in out


def test_no_address_space(unique_name: Any) -> None:
    out = run_python(
        HEADER
        + """
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * 4096
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (16 << 20), limit[1]))
    refused(lambda: lilcache.Cache(sys.argv[1], size_mb=64))
    works(lilcache.Cache(sys.argv[1], size_mb=2))
    lilcache.Cache(sys.argv[1]).destroy()
    """,
        unique_name(),
    )
    assert "SegmentOSError ENOMEM" in out
    assert "mmap: Cannot allocate memory: ask for a smaller size_mb" in out
    assert "(ulimit -v" in out


@pytest.mark.parametrize("anonymous", [False, True])
def test_no_large_files(unique_name: Any, anonymous: bool) -> None:
    out = run_python(
        HEADER
        + """
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
    options = {"anonymous": sys.argv[2] == "True"}
    refused(lambda: lilcache.Cache(sys.argv[1], size_mb=5, **options))
    works(lilcache.Cache(sys.argv[1], size_mb=4, **options))
    """,
        unique_name(),
        str(anonymous),
    )
    assert f"SegmentSpaceError {5 * MIB} {4 * MIB}" in out
    assert "5.0 MiB are more than this process may write to a file, which has" in out
    assert "ask for a smaller size_mb, or raise the limit (ulimit -f)" in out


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A cgroup with 64 MiB that the child may enter; removed with the test."""
    first = (CGROUPS / "memory" / "memory.limit_in_bytes").exists()
    parent, limit = CGROUPS, "memory.max"
    if first:
        own = re.search(r":memory:(.*)", Path("/proc/self/cgroup").read_text())
        assert own
        parent, limit = CGROUPS / "memory", "memory.limit_in_bytes"
        if (parent / own[1].lstrip("/")).exists():
            parent /= own[1].lstrip("/")
    else:
        (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    group = parent / f"famine-python-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(64 * MIB))
        yield group
    finally:
        group.rmdir()


def test_a_memory_cgroup(memory_cgroup: Path, unique_name: Any) -> None:
    """Reserving it all, as the kernel would have it, ends the process by SIGKILL."""
    out = run_python(
        HEADER
        + """
    with open(sys.argv[2] + "/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))
    for anonymous in (False, True):
        refused(lambda: lilcache.Cache(sys.argv[1], size_mb=64, anonymous=anonymous))
        cache = lilcache.Cache(sys.argv[1], anonymous=anonymous)
        print(cache.size_bytes >> 20)
        works(cache)
        cache.destroy()
        del cache
    """,
        unique_name(),
        str(memory_cgroup),
    )
    lines = out.splitlines()
    assert len(lines) == 6
    for kind, text, size_mb in (lines[:3], lines[3:]):
        wanted, available = map(int, kind.split()[1:])
        assert kind.startswith("SegmentSpaceError")
        assert wanted == 64 * MIB
        assert 32 * MIB < available < 64 * MIB
        assert re.search(
            r"64\.0 MiB do not fit in this process's memory cgroup, which has \d+\.\d"
            r" MiB free \(memory cgroup: No space left on device\): ask for a smaller"
            r" size_mb, or raise its limit \(docker run --memory=\.\.\., MemoryMax=\)$",
            text,
        )
        assert 24 <= int(size_mb) < 48


def test_memory_cgroups_of_version_2_are_read() -> None:
    """Their files laid out by hand, since a kernel has one version at a time."""
    lines = with_mounts(
        """
        mount -t tmpfs cgroup /sys/fs/cgroup
        cd /sys/fs/cgroup
        echo 50331648 > memory.max
        echo 12582912 > memory.current
        printf 'anon 1\\ninactive_file 2097152\\nactive_file 2097152\\n' > memory.stat
        """,
        """
        from lilcache._ffi import lib
        print(lib.lilcache_memory_left())
        with open("/sys/fs/cgroup/memory.max", "w") as limit:
            limit.write("max")
        print(lib.lilcache_memory_left())
        """,
    )
    # 48 MiB, less 12, and 4 that can be had back; a 65th of it and 1 MiB are kept.
    assert lines == [str(39 * MIB // 65 * 64), str(2**64 - 1)]
