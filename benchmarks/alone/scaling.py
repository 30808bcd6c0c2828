"""What several processes get out of one cache together."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from ..peers import PEERS, SHARED, shared_peer
from ..processes import check_stop
from ..suites.latency import KEYS, VALUE, set_each

TITLE = "Operations a second of all processes together, in thousands"
NOTE = (
    "95 % get and 5 % set of 1,000 keys, values of 100 bytes; medians of 7 rounds of "
    "0.4 s, in turns. In brackets: times what one process does."
)
COUNTS = (1, 2, 4, 8)
HEADS = ("", "1 process", *(f"{count} processes" for count in COUNTS[1:]))
SIZE_MB = 64
ROUNDS = 7
SECONDS = 0.4
LEAD_S = 0.02
"""From the word to go to the start, so that all start together."""

SETS_ONE_IN = 20
CHUNK = 100
"""Operations between two looks at the clock."""


def work(name: str, folder: Path, number: int, line: Connection) -> None:
    """Join a cache; then, at each word, do operations from then to then, and count."""
    dice = random.Random(number)
    keys = dice.choices(KEYS, k=CHUNK)
    with shared_peer(name).joined(SIZE_MB, folder) as verbs:
        get, set_ = verbs.get, verbs.set
        assert set_ is not None
        line.send(0)
        while (start := line.recv()) is not None:
            # Not asleep: those that are woken at one moment begin on one core, and
            # are spread over the others only while they are already counted.
            while time.monotonic() < start:
                pass
            done = 0
            end = start + SECONDS
            while time.monotonic() < end:
                for key in keys[SETS_ONE_IN - 1 :: SETS_ONE_IN]:
                    set_(key, VALUE)
                for key in keys[: CHUNK - CHUNK // SETS_ONE_IN]:
                    get(key)
                done += CHUNK
            line.send(done)


class Crew:
    """Processes that have joined one peer's cache."""

    def __init__(self, name: str, folder: Path, count: int) -> None:
        context = get_context("spawn")
        self.lines: list[Connection] = []
        self.processes = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=work, args=(name, folder, number, theirs), daemon=True
            )
            process.start()
            theirs.close()  # or nobody would notice that a worker has ended
            self.lines.append(ours)
            self.processes.append(process)
        for line in self.lines:
            line.recv()

    def round(self) -> float:
        """Return the operations a second of all."""
        start = time.monotonic() + LEAD_S
        for line in self.lines:
            line.send(start)
        return sum(line.recv() for line in self.lines) / SECONDS

    def end(self) -> None:
        """Let them leave."""
        for line in self.lines:
            line.send(None)
        for process in self.processes:
            process.join()


def rows(folder: Path) -> Iterator[list[Any]]:
    """Yield a peer's title, and thousands a second for each number of processes."""
    figures: dict[str, list[float]] = {name: [] for name in SHARED}
    with ExitStack() as stack:
        for name in SHARED:
            own = folder / name
            own.mkdir()
            verbs = stack.enter_context(shared_peer(name).opened(SIZE_MB, own))
            assert verbs.set is not None
            set_each(verbs.set, KEYS, VALUE, len(KEYS))
        for count in COUNTS:
            crews = {name: Crew(name, folder / name, count) for name in SHARED}
            rounds: dict[str, list[float]] = {name: [] for name in SHARED}
            for _ in range(ROUNDS):
                check_stop()
                for name, crew in crews.items():
                    rounds[name].append(crew.round())
            for name, crew in crews.items():
                crew.end()
                figures[name].append(median(rounds[name]))
    for name, found in figures.items():
        row: list[Any] = [PEERS[name]]
        for figure in found:
            times = "" if figure is found[0] else f" ({figure / found[0]:.2f})"
            row.append(f"{figure / 1000:,.0f}{times}")
        yield row
