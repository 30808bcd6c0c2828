"""owner= and group=: servers that drop privileges, and users who share."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

import lilcache
from lilcache import Cache

from ..conftest import ROOT, wait_until
from .neighbours import (
    ALICE,
    BOB,
    NOBODY,
    SHARED_GROUP,
    as_user,
    finish,
    kill,
    object_path,
    outcome,
    says,
    start_as,
)

# Who opens, with what, and what comes of it, when root created the segment first with
# owner=ALICE and group=SHARED_GROUP, or with owner=ALICE alone.
A, G = ALICE, SHARED_GROUP
FOREIGN = "ForeignSegmentError"
MATRIX: list[tuple[int, tuple[int, ...], int | None, int | None, str, str]] = [
    # uid, groups, owner=, group=, result with the group, result without
    (0, (), A, G, "attached", "attached"),
    (0, (), A, None, FOREIGN, "attached"),
    (0, (), None, G, FOREIGN, FOREIGN),
    (0, (), None, None, FOREIGN, FOREIGN),
    (A, (), A, G, "attached", "attached"),
    (A, (), None, G, "attached", "attached"),
    (A, (), None, None, FOREIGN, "attached"),
    (A, (G,), A, G, "attached", "attached"),
    (BOB, (G,), A, G, "attached", FOREIGN),
    (BOB, (G,), A, None, FOREIGN, FOREIGN),
    (BOB, (G,), None, G, FOREIGN, FOREIGN),
    (BOB, (G,), None, None, FOREIGN, FOREIGN),
    (BOB, (G,), BOB, G, FOREIGN, FOREIGN),
    (BOB, (), A, G, FOREIGN, FOREIGN),
    (NOBODY, (), A, G, FOREIGN, FOREIGN),
    (NOBODY, (), None, None, FOREIGN, FOREIGN),
]


@pytest.mark.parametrize("shared", [True, False], ids=["group", "owner"])
def test_who_may_attach(name: str, shared: bool) -> None:
    with Cache(name, size_mb=1, owner=A, group=G if shared else None) as cache:
        cache.set("key", "from root")
    found = object_path(name).stat()
    assert found.st_uid == A
    assert found.st_mode & 0o7777 == (0o660 if shared else 0o600)
    assert not shared or found.st_gid == G
    for uid, groups, owner, group, with_group, without in MATRIX:
        options = {"owner": owner, "group": group}
        kind, text = as_user(uid, lambda o=options: outcome(name, **o), groups)
        assert kind == (with_group if shared else without), (uid, options, text)
        if kind == FOREIGN:
            says(text, name, "owner= and group=")
    with Cache(name, owner=A, group=G if shared else None) as cache:
        assert cache.get("key") == "from root"
        cache.destroy()


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({"owner": BOB}, ()),
        ({"owner": 0}, ()),
        ({"group": SHARED_GROUP}, ()),
        ({"owner": BOB, "group": SHARED_GROUP}, (SHARED_GROUP,)),
    ],
)
def test_only_root_gives_segments_away(
    name: str, options: dict[str, int], groups: tuple[int, ...]
) -> None:
    kind, text = as_user(ALICE, lambda: outcome(name, **options), groups)
    assert kind == FOREIGN
    says(text, name, "let root create it")
    assert not object_path(name).exists()


def test_a_user_shares_with_a_group_of_his_own(name: str) -> None:
    def create() -> tuple[str, str]:
        return outcome(name, group=SHARED_GROUP)

    assert as_user(ALICE, create, (SHARED_GROUP,))[0] == "created"
    kind, _ = as_user(
        BOB, lambda: outcome(name, owner=ALICE, group=SHARED_GROUP), (SHARED_GROUP,)
    )
    assert kind == "attached"


def test_a_server_that_drops_privileges(name: str) -> None:
    """Root creates for its workers; they attach, meet, and can start anew."""
    cache = Cache(name, size_mb=2, owner=ALICE)
    cache.set("key", "from master", ttl=100)

    def inherited() -> tuple[Any, ...]:
        return (
            cache.get("key"),
            cache.incr("count", initial=1),
            cache.set("pickled", {"by": "worker"}),
            cache.get("pickled"),
            bytes(cache.view("key") or b""),
            cache.stats().processes,
        )

    def attached() -> tuple[Any, ...]:
        with Cache(name) as own:
            return own.get("key"), own.incr("count", initial=1)

    assert as_user(ALICE, inherited) == (
        "from master",
        1,
        True,
        {"by": "worker"},
        b"from master",
        2,
    )
    # Root does not load what a worker may have been made to write.
    with pytest.raises(lilcache.SerializationError, match="others can write"):
        cache.get("pickled")
    assert as_user(ALICE, attached) == ("from master", 2)

    def anew() -> str:
        with Cache(name, size_mb=2) as own:
            own.destroy()
        again = Cache(name, size_mb=2)
        again.set("key", "from worker")
        again.close()
        return "done"

    assert as_user(ALICE, anew) == "done"
    assert cache.set("noticed", 1)
    assert cache.get("key") == "from worker"
    assert object_path(name).stat().st_uid == ALICE
    cache.destroy()


def test_a_worker_that_lost_its_rights_goes_on_with_what_it_inherited(
    name: str,
) -> None:
    """Root forgot owner=: the mapping stays, new descriptors cannot be had."""
    cache = Cache(name, size_mb=2)
    cache.set("key", "from master")

    def inherited() -> tuple[Any, ...]:
        found = cache.get("key"), cache.set("other", "from worker"), cache.delete("key")
        view = cache.view("other")
        with pytest.raises(lilcache.ForeignSegmentError, match=object_path(name).name):
            cache.destroy()
        kind, _ = outcome(name)
        return (*found, bytes(view or b""), kind, cache.check())

    assert as_user(ALICE, inherited) == (
        "from master",
        True,
        True,
        b"from worker",
        FOREIGN,
        [],
    )
    assert cache.get("other") == "from worker"
    assert cache.check() == []
    cache.destroy()


def test_members_may_not_destroy_and_leave_it_as_it_is(name: str) -> None:
    with Cache(name, size_mb=1, owner=ALICE, group=SHARED_GROUP) as cache:
        cache.set("key", "value")

    def member() -> tuple[Any, ...]:
        own = Cache(name, owner=ALICE, group=SHARED_GROUP)
        with pytest.raises(lilcache.ForeignSegmentError, match="cannot be removed"):
            own.destroy()
        with pytest.raises(lilcache.ForeignSegmentError, match="shm_unlink"):
            Cache(name, owner=ALICE, group=SHARED_GROUP, size_mb=2, recreate=True)
        return own.get("key"), own.set("still", "works")

    assert as_user(BOB, member, (SHARED_GROUP,)) == ("value", True)
    with Cache(name, owner=ALICE, group=SHARED_GROUP) as cache:
        assert cache.get("still") == "works"
        cache.destroy()


@pytest.mark.parametrize("step", ["made", "granted", "sized"])
def test_a_creator_for_others_died_on_the_way(name: str, step: str) -> None:
    """What it leaves is replaced by whoever has the rights, and else named."""
    path = object_path(name)
    path.touch(mode=0o600)
    if step != "made":
        os.chown(path, ALICE, SHARED_GROUP)
        path.chmod(0o660)
    if step == "sized":
        os.truncate(path, 1 << 20)
    options = {"owner": ALICE, "group": SHARED_GROUP}
    kind, text = as_user(BOB, lambda: outcome(name, **options), (SHARED_GROUP,))
    if step == "made":
        assert kind == FOREIGN
        says(text, name, "Permission denied")
    else:
        assert kind == "created", text
    kind, text = outcome(name, **options)
    assert kind == ("created" if step == "made" else "attached"), text
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (ALICE, SHARED_GROUP)
    assert found.st_mode & 0o7777 == 0o660


def test_workers_of_another_user_start_while_root_creates(name: str) -> None:
    """They wait for the creator, who gives the object away before all else."""
    options = {"owner": ALICE, "group": SHARED_GROUP}
    for _ in range(10):
        started = [
            start_as(uid, lambda: outcome(name, **options), (SHARED_GROUP,))
            for uid in (0, ALICE, 0, ALICE, 0, ALICE)
        ]
        results = [finish(one) for one in started]
        kinds = sorted(kind for kind, _ in results)
        assert kinds == ["attached"] * 5 + ["created"], results
        member = as_user(BOB, lambda: outcome(name, **options), (SHARED_GROUP,))
        assert member[0] == "attached", member
        with Cache(name, **options) as cache:
            cache.destroy()


def churn(name: str, seed: int) -> Callable[[], None]:
    """Write and check values that say whose they are, until killed."""

    def run() -> None:
        dice = random.Random(seed)
        cache = Cache(name, owner=ALICE, group=SHARED_GROUP)
        while True:
            key = dice.randrange(400)
            value = f"{key}:{seed}:".encode() * dice.randrange(1, 200)
            cache.set(key, value)
            found = cache.get(key)
            if found is not None:
                head = found.split(b":", 2)
                whole = b"%s:%s:" % (head[0], head[1])
                assert head[0] == str(key).encode()
                assert found == whole * (len(found) // len(whole))

    return run


def test_two_users_of_a_group_survive_each_others_deaths(name: str) -> None:
    """Locks, rows and pins of one user's dead process are taken over by the other's."""
    options = {"owner": ALICE, "group": SHARED_GROUP}
    cache = Cache(name, size_mb=1, **options)
    dice = random.Random(1)
    users = [ALICE, BOB, ALICE, BOB]
    running = [
        start_as(uid, churn(name, seed), (SHARED_GROUP,))
        for seed, uid in enumerate(users)
    ]
    deaths = 0
    until = time.monotonic() + 4
    while time.monotonic() < until:
        time.sleep(dice.uniform(0.001, 0.02))
        victim = dice.randrange(len(users))
        pid, _ = running[victim]
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), finish(running[victim])
        kill(running[victim])
        deaths += 1
        running[victim] = start_as(
            users[victim], churn(name, deaths + 100), (SHARED_GROUP,)
        )
    for one in running:
        kill(one)
    assert cache.set("key", b"value")
    assert cache.check() == []
    stats = cache.stats()
    assert (stats.rebuilt, stats.emptied) == (0, 0)
    print(f"two users: {deaths} deaths, {stats.repaired} repaired")
    cache.destroy()


@pytest.mark.parametrize("dead", [ALICE, BOB])
def test_a_lock_held_by_a_dead_user_goes_to_the_other(name: str, dead: int) -> None:
    """Stopped inside the lock, killed there; the other user's next write recovers."""
    other = BOB if dead == ALICE else ALICE
    options = {"owner": ALICE, "group": SHARED_GROUP}
    cache = Cache(name, size_mb=1, **options)

    holder = subprocess.Popen(
        [ROOT / "build" / "c" / "hold_lock", f"lilcache-{name}", "slot_stored"]
        + [str(word) for word in (dead, ALICE, SHARED_GROUP)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        wait_until(lambda: stopped(holder.pid))

        def blocked() -> str:
            mine = Cache(name, lock_timeout=0.1, **options)
            with pytest.raises(lilcache.LockTimeoutError):
                mine.set("key", b"value")
            assert mine.get("key") is None
            return "blocked"

        assert as_user(other, blocked, (SHARED_GROUP,)) == "blocked"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert as_user(other, lambda: outcome(name, **options), (SHARED_GROUP,)) == (
            "attached",
            "",
        )
        stats = cache.stats()
        assert (stats.repaired, stats.rebuilt, stats.emptied) == (1, 0, 0)
    finally:
        holder.kill()
        holder.communicate()
    cache.destroy()


def stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"
