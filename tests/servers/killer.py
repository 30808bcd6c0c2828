"""Ways to harm a random worker, and what each left behind to be looked at."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.processes import BenchmarkError, check_stop, poll_until

from .cgroup import MemoryGroup
from .request import Hung, Lost, ask
from .server import Server

STOP_S = (0.05, 0.5)
PAUSE_S = (0.02, 0.2)
RETURN_TIMEOUT_S = 30.0
WAYS = ("SIGKILL", "SIGTERM", "SIGSTOP", "memory")


@dataclass(frozen=True)
class Stop:
    """A worker that did not run for a while: pid and moments of the monotonic clock."""

    pid: int
    began: float
    ended: float


@dataclass
class Killer:
    """Harms one server's workers, each of the ways equally often, in random order.

    Attributes:
        done: how often, by way.
        deaths: moments after which a worker was ending.
        stops: the stops.
    """

    server: Server
    group: MemoryGroup
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    deaths: list[float] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    _deck: list[str] = field(default_factory=list)

    def strike(self) -> None:
        """Harm a random worker and wait until all workers serve again."""
        time.sleep(self.random.uniform(*PAUSE_S))
        check_stop()
        if not self._deck:
            self._deck = list(WAYS)
            self.random.shuffle(self._deck)
        way = self._deck.pop()
        if way == "memory":
            self._starve()
        elif way == "SIGSTOP":
            self._stop(self._victim())
        else:
            self._kill(self._victim(), signal.Signals[way])
        self.done[way] += 1
        self.server.wait_for_workers(RETURN_TIMEOUT_S)

    def _victim(self) -> int:
        return self.random.choice(self.server.workers())

    def _kill(self, pid: int, signum: signal.Signals) -> None:
        self.deaths.append(time.monotonic())
        os.kill(pid, signum)
        what = f"end of worker {pid} by {signum.name}"
        poll_until(lambda: pid not in self.server.workers(), RETURN_TIMEOUT_S, what)

    def _stop(self, pid: int) -> None:
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(self.random.uniform(*STOP_S))
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stops.append(Stop(pid, began, time.monotonic()))

    def _starve(self) -> None:
        """Have the kernel kill a worker for want of memory.

        Only the worker is moved into the group. With all of the server in it, the
        kernel now and then killed the master next, and that would end the test.
        """
        kills = self.group.kills()
        victim = self._victim()
        self.group.add([victim])
        self.deaths.append(time.monotonic())
        deadline = self.deaths[-1] + RETURN_TIMEOUT_S
        while victim in self.server.workers():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"worker {victim} lives on in famine")
            try:
                ask(self.server.socket, "/famine", pid=victim, key="famine")
            except Lost:
                pass
            except Hung as error:
                raise BenchmarkError(f"neither killed nor answered: {error}") from None
        if self.group.kills() != kills + 1:
            raise BenchmarkError(f"worker {victim} ended, but not for want of memory")
