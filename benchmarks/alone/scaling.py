"""What several processes get out of one cache together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
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
COLUMNS = {"": "{title}", "1 process": "{thousands_1:,.0f}"}
for _count in COUNTS[1:]:
    COLUMNS[f"{_count} processes"] = (
        f"{{thousands_{_count}:,.0f}} ({{times_{_count}:.2f}})"
    )
SIZE_MB = 64
ROUNDS = 7
SECONDS = 0.4
LEAD_S = 0.02
"""From the word to go to the start, so that all start together."""

SETS_ONE_IN = 20
CHUNK = 100
"""Operations between two looks at the clock."""


def work(number: int, line: Connection, name: str, folder: Path) -> None:
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
    """Processes that have said that they are ready, and work at each word.

    Args:
        target: given the process's number, its end of a pipe and the arguments. It
            sends something when it is ready; then it receives the moment to start, by
            the monotonic clock, and sends what came of it, until it receives None.
        count: number of processes.
        arguments: what else each is given.
    """

    def __init__(
        self, target: Callable[..., None], count: int, *arguments: Any
    ) -> None:
        context = get_context("spawn")
        self.lines: list[Connection] = []
        self.processes = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=target, args=(number, theirs, *arguments), daemon=True
            )
            process.start()
            theirs.close()  # or nobody would notice that a worker has ended
            self.lines.append(ours)
            self.processes.append(process)
        for line in self.lines:
            line.recv()

    def round(self) -> list[Any]:
        """Return what came of it in each process."""
        start = time.monotonic() + LEAD_S
        for line in self.lines:
            line.send(start)
        return [line.recv() for line in self.lines]

    def end(self) -> None:
        """Let them leave."""
        for line in self.lines:
            line.send(None)
        for process in self.processes:
            process.join()


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a peer, and thousands a second for each number of processes."""
    figures: dict[str, list[float]] = {name: [] for name in SHARED}
    with ExitStack() as stack:
        for name in SHARED:
            own = folder / name
            own.mkdir()
            verbs = stack.enter_context(shared_peer(name).opened(SIZE_MB, own))
            assert verbs.set is not None
            set_each(verbs.set, KEYS, VALUE, len(KEYS))
        for count in COUNTS:
            crews = {name: Crew(work, count, name, folder / name) for name in SHARED}
            rounds: dict[str, list[float]] = {name: [] for name in SHARED}
            for _ in range(ROUNDS):
                check_stop()
                for name, crew in crews.items():
                    rounds[name].append(sum(crew.round()) / SECONDS)
            for name, crew in crews.items():
                crew.end()
                figures[name].append(median(rounds[name]))
    for name, found in figures.items():
        row: dict[str, Any] = {"peer": name, "title": PEERS[name]}
        for count, figure in zip(COUNTS, found, strict=True):
            row[f"thousands_{count}"] = figure / 1000
            row[f"times_{count}"] = figure / found[0]
        yield row
