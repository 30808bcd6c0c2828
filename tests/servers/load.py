"""Client processes: those that check answers, and those that count them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Any

from benchmarks.processes import STOP_SIGNALS, BenchmarkError, die_with_parent

from .client import Client, Tally
from .kinds import Kind
from .request import Connection, Hung, Lost, send

PROCESSES = 2
THREADS = 4
END_TIMEOUT_S = 30.0

WINDOW_PROCESSES = 2
WARM_UP_S = 0.4
TURNS = 2
"""Turns of each server in a window."""

WORK_TIMES = 1500
"""Calls of the cache in a request of a measurement: they take longer than HTTP."""

# Forked, for a quick start: the test itself has no other thread.
_context = multiprocessing.get_context("fork")


class Workforce:
    """Processes that run one function and send back what it returns."""

    def __init__(self) -> None:
        self._members: list[tuple[Any, Pipe]] = []

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run function(*arguments) in a process of its own."""
        ours, theirs = _context.Pipe(duplex=False)
        process = _context.Process(
            target=_member, args=(os.getpid(), theirs, function, arguments), daemon=True
        )
        process.start()
        theirs.close()
        self._members.append((process, ours))

    def results(self, timeout_s: float) -> list[Any]:
        """Wait for the end of all and return what they sent.

        Raises:
            BenchmarkError: one of them did not end in time, or failed.
        """
        deadline = time.monotonic() + timeout_s
        found = []
        for _, pipe in self._members:
            if not pipe.poll(max(0.0, deadline - time.monotonic())):
                raise BenchmarkError(f"a client did not end within {timeout_s:g} s")
            try:
                found.append(pipe.recv())
            except EOFError:
                raise BenchmarkError("a client process failed; see above") from None
        self.end()
        return found

    def end(self) -> None:
        """Kill those that still run."""
        for process, pipe in self._members:
            process.kill()
            process.join()
            pipe.close()
        self._members.clear()


def _member(
    parent_pid: int, pipe: Pipe, function: Callable[..., Any], arguments: Any
) -> None:
    die_with_parent(parent_pid)
    for signum in STOP_SIGNALS:  # the parent decides
        signal.signal(signum, signal.SIG_IGN)
    pipe.send(function(*arguments))


def _in_threads(count: int, function: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=function, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- clients that check ---------------------------------------------------------------


class Load:
    """Clients of one server, as a context manager; they check every answer."""

    def __init__(self, socket: str, kind: Kind, seed: int) -> None:
        self._stop = _context.Event()
        self._workforce = Workforce()
        self._arguments = (socket, kind, seed, self._stop)

    def __enter__(self) -> Load:
        for number in range(PROCESSES):
            self._workforce.start(_check_answers, number, *self._arguments)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._workforce.end()

    def finish(self) -> Tally:
        """Let the clients end and return what they saw, all together."""
        self._stop.set()
        total = Tally()
        for tally in self._workforce.results(END_TIMEOUT_S):
            total.add(tally)
        return total


def _check_answers(number: int, socket: str, kind: Kind, seed: int, stop: Any) -> Tally:
    clients = [
        Client(
            socket,
            f"client{number}.{thread}",
            seed * 1000 + number * 100 + thread,
            kind.keep_alive,
            kind.evicts,
        )
        for thread in range(THREADS)
    ]

    def run(thread: int) -> None:
        client = clients[thread]
        try:
            while not stop.is_set():
                client.step()
        except Hung:
            pass  # it is in the tally
        except Exception as error:
            client.tally.blame(f"the client failed: {error!r}")
        finally:
            client.close()

    _in_threads(THREADS, run)
    total = Tally()
    for client in clients:
        total.add(client.tally)
    return total


# --- clients that count ---------------------------------------------------------------


def count_answers(
    sockets: tuple[str, ...],
    callers: int,
    windows: int,
    window_s: float,
    work: tuple[int, ...] = (WORK_TIMES, WORK_TIMES),
) -> list[list[int]]:
    """Return, for each server, the answers in each window.

    The servers are loaded by turns, many in a window: together they would fight for the
    processors, and which of them wins is chance.

    Args:
        sockets: of the servers.
        callers: threads that send requests to each.
        windows: how many windows there are.
        window_s: seconds of each, all turns in it together.
        work: calls of the cache in a request, for each server.

    Raises:
        BenchmarkError: a request was lost or hung, though nobody was killed.
    """
    workforce = Workforce()
    clock = Clock(time.monotonic() + WARM_UP_S, windows, window_s, len(sockets))
    threads = callers // WINDOW_PROCESSES
    try:
        for number, socket in enumerate(sockets):
            target = f"/work?times={work[number]}"
            for _ in range(WINDOW_PROCESSES):
                workforce.start(_count_answers, socket, target, threads, clock, number)
        found = workforce.results(WARM_UP_S + windows * window_s + END_TIMEOUT_S)
    finally:
        workforce.end()
    totals = []
    for index in range(len(sockets)):
        own = found[index * WINDOW_PROCESSES : (index + 1) * WINDOW_PROCESSES]
        for counted in own:
            if isinstance(counted, str):
                raise BenchmarkError(f"while nobody was killed: {counted}")
        totals.append([sum(column) for column in zip(*own, strict=True)])
    return totals


@dataclass(frozen=True)
class Clock:
    """Whose turn it is, and in which window.

    Attributes:
        start: moment of the monotonic clock at which the first window begins.
        windows: how many there are.
        window_s: seconds of each.
        parties: how many take turns.
    """

    start: float
    windows: int
    window_s: float
    parties: int

    def window(self, moment: float) -> int:
        """Return the window at that moment; negative before the first."""
        return int((moment - self.start) // self.window_s)

    def until_turn(self, moment: float, party: int) -> float:
        """Return the seconds until it is the turn of that party: 0 if it is."""
        turn_s = self.window_s / (TURNS * self.parties)
        turn, gone = divmod(moment - self.start, turn_s)
        ahead = (party - int(turn)) % self.parties
        return ahead * turn_s - gone if ahead else 0.0


def _count_answers(
    socket: str, target: str, threads: int, clock: Clock, party: int
) -> list[int] | str:
    counts = [0] * clock.windows
    problems: list[str] = []

    def run(_: int) -> None:
        # A connection for each request: kept ones would stay spread over the workers
        # as they happen to be, and some workers would idle in all windows.
        connection = Connection(socket)
        while not problems:
            time.sleep(clock.until_turn(time.monotonic(), party))
            window = clock.window(time.monotonic())
            if window >= clock.windows:
                return
            try:
                reply = send(connection, target, keep_alive=False)
            except (Lost, Hung) as error:
                problems.append(str(error))
                return
            if "error" in reply.fields:
                problems.append(reply.fields["error"])
            if window >= 0:
                counts[window] += 1

    _in_threads(threads, run)
    return problems[0] if problems else counts
