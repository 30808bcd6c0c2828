"""Containers: every combination of namespaces and libcs works or says why not."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from lilcache import Cache

from ..conftest import SHM
from .neighbours import (
    ALICE,
    BUILD,
    as_user,
    attach,
    object_path,
    outcome,
    python,
    trace,
)

# Arguments of unshare. With a user namespace of its own, root is mapped to itself.
NAMESPACES = {
    "pid": ("--pid",),
    "time": ("--time", "--boottime", "5000", "--monotonic", "5000"),
    "ipc": ("--ipc",),
    "user": ("--map-root-user",),
    "mount": ("--mount",),
    "net": ("--net",),
}
TOOLS = ("attach", "attach-static", "attach-musl", "attach-layout")


def under(*names: str, proc: bool = False) -> tuple[str, ...]:
    words = [word for name in names for word in NAMESPACES[name]]
    return ("unshare", "--fork", *words, *(["--mount-proc"] if proc else []))


def objects(name: str) -> set[str]:
    return {path.name for path in SHM.glob(f"*{name}*")}


@pytest.mark.parametrize("tool", TOOLS)
def test_all_combinations(name: str, tool: str) -> None:
    """The outside holds a segment; inside, what is different decides.

    Another PID namespace, libc or layout: a segment of its own, by another name. Else
    another time namespace: refused. Anything else: the same segment.
    """
    with Cache(name, size_mb=1) as cache:
        cache.set("who", b"outside")
    ours = object_path(name)
    before = trace(ours)
    own_build = tool in ("attach-musl", "attach-layout")
    count = 0
    names = list(NAMESPACES)
    for size in range(len(names) + 1):
        for chosen in itertools.combinations(names, size):
            for proc in (True, False) if "pid" in chosen else (False,):
                said = attach(name, tool=tool, under=under(*chosen, proc=proc))
                count += 1
                if "pid" in chosen or own_build:
                    # A second one of the same number may have been there already.
                    assert said[0] in ("created", "attached"), (chosen, said)
                    assert said[1] != ours.name
                    assert said[2] == "-", "a look into the outside's segment"
                elif "time" in chosen:
                    assert said[0] == "NAMESPACE", (chosen, said)
                    assert said[1] == ours.name
                    assert said[2:4] == ["time", "namespace"]
                else:
                    assert said == ["attached", ours.name, "outside"], (chosen, said)
                for path in SHM.glob(f"lilcache-{name}.*"):
                    if path != ours:
                        path.unlink()
    changed = trace(ours)
    assert before is not None and changed is not None
    assert changed[:6] == before[:6]
    with Cache(name) as cache:
        assert cache.get("who") == b"outside"
        assert cache.check() == []
    print(f"namespaces: {count} combinations with {tool}")


def test_the_exceptions_of_another_time_namespace(name: str) -> None:
    """Clocks that run differently would make entries expire at another moment."""
    code = """if True:
        import sys, lilcache
        try:
            lilcache.Cache(sys.argv[1], size_mb=1)
        except lilcache.NamespaceError as error:
            print(error)
        with lilcache.Cache(sys.argv[1] + "-own", size_mb=1) as cache:
            cache.set("key", "value", ttl=100)
            assert 90 < cache.ttl("key") <= 100
            cache.destroy()
    """
    with Cache(name, size_mb=1) as cache:
        cache.set("key", "value", ttl=100)
        said = python(code, name, under=under("time"))
        assert repr(name) in said and str(object_path(name)) in said
        assert "another time namespace" in said and "choose another name=" in said
        assert cache.get("key") == "value"
        cache.destroy()


def test_a_pid_namespace_has_segments_of_its_own_and_shares_them(name: str) -> None:
    """Its processes, all of them, meet; those of another do not."""
    tool = str(BUILD / "attach")
    script = (
        f"{tool} lilcache-{name} put; {tool} lilcache-{name};"
        f" {tool} lilcache-{name} crash; {tool} lilcache-{name}"
    )
    seen = []
    for _ in range(2):
        done = subprocess.run(
            [*under("pid", "mount", proc=True), "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=30,
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [line[0] for line in lines] == ["created"] + ["attached"] * 3, done
        assert {line[1] for line in lines} == {lines[0][1]}
        assert [line[2] for line in lines] == ["attach"] * 4
        seen.append(lines[0][1])
        assert seen[-1] != object_path(name).name
        (SHM / seen[-1]).unlink()
    assert outcome(name)[0] == "created"


def test_rows_of_the_dead_are_freed_under_the_outer_proc(name: str) -> None:
    """`unshare --pid` alone leaves /proc in place, where our pids are others'.

    Each dies under a number that out here belongs to a process that lives.
    """
    living = [subprocess.Popen(["sleep", "60"]) for _ in range(70)]
    tool = f"{BUILD / 'attach'} lilcache-{name}"
    numbers = " ".join(str(process.pid - 1) for process in living)
    script = (
        f"for n in {numbers}; do echo $n >/proc/sys/kernel/ns_last_pid; {tool} crash;"
        f" done; echo 9 >/proc/sys/kernel/ns_last_pid; exec {tool}"
    )
    try:
        done = subprocess.run(
            [*under("pid"), "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=50,
        )
    finally:
        for process in living:
            process.kill()
            process.wait()
    lines = [line.split()[0] for line in done.stdout.splitlines()]
    assert lines == ["created"] + ["attached"] * 70, done


def test_unmapped_users(name: str) -> None:
    """Inside a user namespace without maps all are seen as 65534, ourselves, too."""
    alone = ("unshare", "--fork", "--user")
    assert as_user(ALICE, lambda: outcome(name))[0] == "created"
    # Root's rights end where it is not mapped.
    assert attach(name, under=alone)[0] == "FOREIGN"
    object_path(name).chmod(0o666)
    assert attach(name, under=alone)[0] == "FOREIGN"
    object_path(name).unlink()
    # The same user in there is the same user.
    with Cache(name, size_mb=1) as cache:
        cache.set("who", b"outside")
    assert attach(name, under=alone)[::2] == ["attached", "outside"]


def test_chroot_without_and_with_proc(name: str, tmp_path: Path) -> None:
    """The core needs /proc for identities: without it an error, and nothing is left."""
    root = tmp_path / "root"
    for folder in ("dev/shm", "proc"):
        (root / folder).mkdir(parents=True)
    (root / "attach").write_bytes((BUILD / "attach-static").read_bytes())
    (root / "attach").chmod(0o755)
    with Cache(name, size_mb=1) as cache:
        cache.set("who", b"outside")
    before = objects(name)
    enter = f"mount --bind /dev/shm {root}/dev/shm; "
    run = f"chroot {root} /attach lilcache-{name}"
    for mounts, expected in (
        (enter, ["OS"]),
        (f"{enter} mount -t proc proc {root}/proc; ", ["attached"]),
        ("", ["OS"]),
    ):
        done = subprocess.run(
            ["unshare", "--mount", "--fork", "sh", "-c", mounts + run],
            capture_output=True,
            text=True,
            timeout=30,
        )
        said = done.stdout.split()
        assert said[:1] == expected, done
        assert expected == ["attached"] or said[-1] == "2", said  # ENOENT
        assert objects(name) == before


def test_another_dev_shm(name: str) -> None:
    """A mount namespace with a /dev/shm of its own has segments of its own."""
    with Cache(name, size_mb=1) as cache:
        cache.set("who", b"outside")
    tool = f"{BUILD / 'attach'} lilcache-{name}"
    script = f"mount -t tmpfs -o size=8m tmpfs /dev/shm; {tool}; {tool}"
    done = subprocess.run(
        ["unshare", "--mount", "--fork", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
    )
    said = [line.split()[::2] for line in done.stdout.splitlines()]
    assert said == [["created", "-"], ["attached", "-"]]


@pytest.mark.parametrize("other", ["attach-musl", "attach-layout"])
def test_builds_that_do_not_fit_live_side_by_side(name: str, other: str) -> None:
    """And each finds its own segment again, warm."""
    assert attach(name, "put")[::2] == ["created", "attach"]
    assert attach(name, tool=other)[::2] == ["created", "-"]
    assert attach(name, "put", tool=other)[::2] == ["attached", "attach"]
    assert attach(name)[::2] == ["attached", "attach"]
    assert len(objects(name)) == 2


@pytest.mark.parametrize("other", ["attach-musl", "attach-layout"])
def test_a_segment_of_another_build_under_our_name(name: str, other: str) -> None:
    """Renamed on purpose: refused by its header, and left as it is."""
    said = attach(name, "put", tool=other)
    (SHM / said[1]).rename(object_path(name))
    before = trace(object_path(name))
    kind, text = outcome(name)
    assert kind == "SegmentMismatchError"
    assert "not a segment of this layout" in text and str(object_path(name)) in text
    assert trace(object_path(name)) == before
    assert outcome(name, recreate=True)[0] == "created"


def test_a_segment_of_another_boot(name: str) -> None:
    """On a file system that outlives a boot: its locks and clocks mean nothing."""
    with Cache(name, size_mb=1) as cache:
        cache.set("key", "value")
    path = object_path(name)
    whole = path.read_bytes()
    boot_id = bytes.fromhex(
        Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")
    )
    words = boot_id[7::-1] + boot_id[:7:-1]
    at = whole.index(words, 0, 512)
    inode = path.stat().st_ino
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(16))
    with Cache(name, size_mb=1) as cache:
        assert cache.get("key") is None
        assert path.stat().st_ino != inode
        cache.set("key", "new")
    with Cache(name) as cache:
        assert cache.get("key") == "new"
