"""The checks of these tests, shown what they have to find."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from lilcache import Cache
from tests.conftest import Child
from tests.servers import request, values
from tests.servers.campaign import THROUGHPUT, Campaign, Options
from tests.servers.client import Slow, Tally
from tests.servers.killer import Killer, Stop
from tests.servers.kinds import KINDS
from tests.servers.load import WORK_TIMES, count_answers
from tests.servers.oracle import Counts, Lifetime, Register
from tests.servers.server import Server
from tests.servers.settings import STANDING_KEY, STANDING_VALUE

SYNC = KINDS[0]


# --- values ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [values.SMALL, values.LARGE])
def test_values_say_what_they_are(size: int) -> None:
    value = values.make("key", "writer", 7, size)
    assert len(value) == size
    assert values.read("key", value) == ("key", "writer", 7)


def test_every_changed_byte_is_found() -> None:
    value = values.make("key", "writer", 7, values.SMALL)
    for at in range(len(value)):
        for bit in range(8):
            changed = bytearray(value)
            changed[at] ^= 1 << bit
            with pytest.raises(values.WrongValueError):
                values.read("key", bytes(changed))


def test_torn_and_foreign_values_are_found() -> None:
    older = values.make("key", "writer", 7, values.LARGE)
    newer = values.make("key", "writer", 8, values.LARGE)
    for wrong in (older[:5000] + newer[5000:], older[:-1], older + b"\0", b""):
        with pytest.raises(values.WrongValueError):
            values.read("key", wrong)
    with pytest.raises(values.WrongValueError):
        values.read("other", older)


# --- registers and counters -----------------------------------------------------------


def stored(*serials: int, may_vanish: bool = False) -> Register:
    register = Register(may_vanish)
    for serial in serials:
        register.stored(serial, Lifetime())
    return register


def test_reads_that_are_right() -> None:
    register = stored(1, 2)
    assert register.read(2, 0, 1) is None
    register.perhaps_stored(3, Lifetime())
    assert register.read(2, 1, 2) is None
    register.perhaps_deleted()
    assert register.read(None, 2, 3) is None
    assert stored(1, may_vanish=True).read(None, 0, 1) is None


def test_reads_that_are_wrong() -> None:
    assert stored(1, 2).read(1, 0, 1)  # older than what was acknowledged
    assert stored(1).read(None, 0, 1)  # lost
    assert stored().read(1, 0, 1)  # never stored
    register = stored(1)
    register.deleted()
    assert register.read(1, 0, 1)
    register = stored(1)
    register.perhaps_stored(2, Lifetime())
    assert register.read(2, 0, 1) is None
    assert register.read(1, 1, 2)  # back to what was there before
    register = stored(1, may_vanish=True)
    assert register.read(None, 0, 1) is None
    assert register.read(1, 1, 2)  # missed, and there again


def test_values_end_in_time() -> None:
    def ends(at: float) -> Register:
        register = Register(False)
        register.stored(1, Lifetime(at, at + 1))
        return register

    assert ends(10.0).read(1, 8, 9) is None
    assert ends(10.0).read(None, 8, 9)  # too early
    assert ends(10.0).read(None, 10.5, 10.6) is None
    assert ends(10.0).read(1, 10.5, 10.6) is None
    assert ends(10.0).read(1, 12, 13)  # too late
    assert Lifetime().latest == inf


def test_lost_and_invented_increments() -> None:
    counts = Counts()
    counts.acknowledged["n"] = 10
    counts.perhaps["n"] = 2
    right = [final for final in range(20) if not counts.check("n", final)]
    assert right == [10, 11, 12]


# --- requests -------------------------------------------------------------------------


@contextmanager
def listener(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield listening


def test_silence_is_a_hung_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "DEADLINE_S", 0.2)
    with listener(tmp_path / "s"), pytest.raises(request.Hung):
        request.ask(str(tmp_path / "s"), "/get")


def test_a_closed_connection_is_a_reset(tmp_path: Path) -> None:
    connection = request.Connection(str(tmp_path / "s"))
    with listener(tmp_path / "s") as listening:
        connection.connect()
        listening.accept()[0].close()
        with pytest.raises(request.Lost):
            request.send(connection, "/get", keep_alive=False)


# --- verdicts -------------------------------------------------------------------------


@pytest.fixture
def campaign() -> Campaign:
    return Campaign(SYNC, Options(kills=1, seed=1))


def killer_with(deaths: int) -> Killer:
    server: Any = None
    group: Any = None
    return Killer(server, group, Random(1), deaths=[0.0] * deaths)


@pytest.mark.parametrize(
    "tally",
    [
        Tally(requests=9, hung=["/get"]),
        Tally(requests=9, wrong=["a value"], wrong_count=1),
        Tally(requests=9, busy=1),
        Tally(requests=9, resets=[0.0, 0.1, 0.2]),
        Tally(),
    ],
)
def test_what_clients_must_not_see(campaign: Campaign, tally: Tally) -> None:
    campaign._judge_answers(tally, killer_with(deaths=2))
    assert len(campaign.outcome.violations) == 1


def test_what_clients_may_see(campaign: Campaign) -> None:
    campaign._judge_answers(Tally(requests=9, resets=[0.0, 0.1]), killer_with(2))
    assert campaign.outcome.violations == []


@pytest.mark.parametrize(
    ("took", "pid", "ended", "held_up"),
    [(0.4, 2, 1.5, False), (1.1, 2, 1.5, True), (9, 1, 1.5, False), (9, 2, 0.5, False)],
)
def test_workers_beside_a_stopped_one(
    campaign: Campaign, took: float, pid: int, ended: float, held_up: bool
) -> None:
    stops = [Stop(pid=1, began=1.0, ended=2.0)]
    campaign._judge_stops([Slow(pid, took, ended - 0.1, ended)], stops)
    assert bool(campaign.outcome.violations) == held_up


@pytest.mark.alone
def test_a_server_that_does_a_third_more_is_slower(
    make_cache: Callable[..., Cache],
) -> None:
    with ExitStack() as stack:
        sockets = []
        for _ in range(2):
            cache = make_cache(size_mb=16)
            cache.set(STANDING_KEY, STANDING_VALUE)
            sockets.append(stack.enter_context(Server(SYNC, cache.name)).socket)
        work = (WORK_TIMES * 4 // 3, WORK_TIMES)
        slower, faster = count_answers(tuple(sockets), SYNC.callers, 15, 0.5, work)
    ratio = median(s / f for s, f in zip(slower, faster, strict=True))
    assert ratio < THROUGHPUT


HOLD_A_VIEW = """
    import sys, lilcache
    view = lilcache.Cache(sys.argv[1]).view("key")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_rows_and_pins_of_the_living_are_leaks_and_those_of_the_dead_are_swept(
    make_cache: Callable[..., Cache],
    child: Callable[..., Child],
    campaign: Campaign,
) -> None:
    cache = make_cache(size_mb=16, max_processes=8)
    cache.set("key", values.make("key", "test", 1, values.LARGE))
    holder = child(HOLD_A_VIEW, cache.name)
    assert holder.line() == "held"
    campaign._check_end(cache)
    assert campaign.outcome.leaks[:2] == [
        "2 process rows at the end",
        "1 pins at the end",
    ]
    os.kill(holder.process.pid, signal.SIGKILL)
    holder.process.wait()
    campaign.outcome.leaks.clear()
    campaign._check_end(cache)
    assert campaign.outcome.leaks == []
