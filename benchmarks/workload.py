"""The workload of the origin benchmark: set, get and delete by competing processes.

Every process sets, gets and deletes one key after the other, with keys of its own, so
that each get has one right answer. Each call is timed alone; a time includes one
reading of the clock.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, NamedTuple

from .processes import BenchmarkError, check_stop, die_with_parent

KEY_LENGTH = 10
VALUE = "v" * 20
OPERATIONS = ("set", "get", "delete")

KEYS_PER_PROCESS = 1000
KEYS_PER_CLOCK_CHECK = 20
WARM_UP_KEYS = 200

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 120.0
"""Seconds allowed beyond the asked duration before a round counts as hung."""

EXIT_TIMEOUT_S = 5.0
WAIT_SLICE_S = 0.1


class Client(NamedTuple):
    """The three calls of one connected process."""

    set: Callable[[str, str], Any]
    get: Callable[[str], Any]
    delete: Callable[[str], Any]


@dataclass(frozen=True)
class Timings:
    """What one process measured.

    Attributes:
        counts: for each of ``OPERATIONS``, how often each time in nanoseconds occurred.
        missed: gets that found nothing although the key had been set.
        started_ns: when it began, on the clock that all processes share.
        ended_ns: when it ended, on the same clock.
    """

    counts: dict[str, Counter[int]]
    missed: int
    started_ns: int
    ended_ns: int


def keys_of(process_index: int) -> list[str]:
    """Return the keys of one process, each of ``KEY_LENGTH`` characters."""
    digits = KEY_LENGTH - 4
    return [f"{process_index:03d}-{n:0{digits}d}" for n in range(KEYS_PER_PROCESS)]


def measure(client: Client, keys: list[str], least: int, seconds: float) -> Timings:
    """Set, get and delete keys in turn until both limits are reached.

    Args:
        client: the calls to be timed.
        keys: taken in turn, again and again.
        least: number of keys to take at least.
        seconds: seconds to go on at least.

    Raises:
        BenchmarkError: a get returned another value than was set.
    """
    set_value, get_value, delete_key = client
    now = time.perf_counter_ns
    set_ns, get_ns, delete_ns = array("q"), array("q"), array("q")
    missed = 0
    endless_keys = cycle(keys)
    started_ns = now()
    deadline_ns = started_ns + int(seconds * 1e9)
    while len(set_ns) < least or now() < deadline_ns:
        for key in islice(endless_keys, KEYS_PER_CLOCK_CHECK):
            before = now()
            set_value(key, VALUE)
            after_set = now()
            found = get_value(key)
            after_get = now()
            delete_key(key)
            after_delete = now()
            set_ns.append(after_set - before)
            get_ns.append(after_get - after_set)
            delete_ns.append(after_delete - after_get)
            if found is None:
                missed += 1
            elif found != VALUE:
                raise BenchmarkError(f"get of {key!r} returned {found!r}")
    ended_ns = now()
    counts = (Counter(set_ns), Counter(get_ns), Counter(delete_ns))
    by_operation = dict(zip(OPERATIONS, counts, strict=True))
    return Timings(by_operation, missed, started_ns, ended_ns)


def _work(
    connect: Callable[[], Client],
    process_index: int,
    least: int,
    seconds: float,
    gate: tuple[int, int],
    sender: Connection,
    parent_pid: int,
) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Ctrl-C reaches the whole group; the parent alone decides who ends when.
        signal.signal(signum, signal.SIG_IGN)
    die_with_parent(parent_pid)
    try:
        gate_read, gate_write = gate
        os.close(gate_write)
        client = connect()
        keys = keys_of(process_index)
        measure(client, keys, WARM_UP_KEYS, 0.0)
        sender.send(None)
        os.read(gate_read, 1)
        sender.send(measure(client, keys, least, seconds))
    except BaseException:
        sender.send(traceback.format_exc())


def run_processes(
    connect: Callable[[], Client], concurrency: int, operations: int, seconds: float
) -> list[Timings]:
    """Run the workload in several processes at once and return what each measured.

    Every process connects and warms up, then waits at a gate that opens for all at the
    same moment: the end of file of a pipe whose last writer goes away.

    Args:
        connect: called in every process.
        concurrency: number of processes.
        operations: number of operations of all processes together, at least.
        seconds: seconds that every process goes on at least.
    """
    context = multiprocessing.get_context("fork")
    share = concurrency * len(OPERATIONS)
    least = -(-operations // share)
    gate = os.pipe()
    gate_open = False
    workers: list[ForkProcess] = []
    receivers: list[Connection] = []
    try:
        for index in range(concurrency):
            receiver, sender = context.Pipe(duplex=False)
            receivers.append(receiver)
            arguments = (connect, index, least, seconds, gate, sender, os.getpid())
            worker = context.Process(target=_work, args=arguments)
            worker.start()
            workers.append(worker)
            # The worker holds the only other end, so its death is an end of file here.
            sender.close()
        _receive(receivers, START_TIMEOUT_S)
        os.close(gate[1])
        gate_open = True
        timings = _receive(receivers, seconds + END_TIMEOUT_S)
        for worker in workers:
            worker.join(EXIT_TIMEOUT_S)
    finally:
        os.close(gate[0])
        if not gate_open:
            os.close(gate[1])
        for worker in workers:
            if worker.is_alive():
                worker.kill()
            worker.join()
            worker.close()
        for receiver in receivers:
            receiver.close()
    return timings


def _receive(receivers: list[Connection], timeout_s: float) -> list[Any]:
    """Return one message from every process, in their order."""
    messages: dict[Connection, Any] = {}
    deadline = time.monotonic() + timeout_s
    while len(messages) < len(receivers):
        check_stop()
        if time.monotonic() > deadline:
            raise BenchmarkError(f"a process did not answer within {timeout_s:g} s")
        pending = [receiver for receiver in receivers if receiver not in messages]
        for ready in wait(pending, WAIT_SLICE_S):
            assert isinstance(ready, Connection)
            try:
                message = ready.recv()
            except EOFError:
                raise BenchmarkError("a process died within a round") from None
            if isinstance(message, str):
                raise BenchmarkError(f"a process failed:\n{message}")
            messages[ready] = message
    return [messages[receiver] for receiver in receivers]
