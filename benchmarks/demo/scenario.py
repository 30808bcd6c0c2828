"""The demo's load: fill the cache, kill a worker, and ask again for everything."""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import lilcache

from ..processes import check_stop
from .app import SIZE_MB, compute
from .checks import Check, lost_entries, unserved_pairs, wrong_values
from .gunicorn_conf import WORKERS
from .load import Reply, request_all
from .server import GunicornServer

RESPONSE_LIMIT_S = 5.0
"""Longest response time allowed; also a worker's death must not cost more."""

MAX_SWEEPS = 10
"""Rounds over all items in which the new worker has to have got its turn."""


@dataclass(frozen=True)
class Options:
    """Size of the load.

    Attributes:
        requests: requests before the kill; half as many follow during it.
        items: different items before the kill; a third more are new during it.
        clients: client threads; more than workers, so that all of these are busy.
        seed: seed of the order of the requests.
    """

    requests: int = 4000
    items: int = 300
    clients: int = 8
    seed: int = 1


@dataclass
class Outcome:
    """What happened.

    Attributes:
        before: replies before the kill.
        after: replies from shortly before the kill to the end.
        recorded: the reply for each item as it was stored before the kill.
        killed: pid of the killed worker.
        replacement: pid of the worker that Gunicorn started instead.
        final: the last reply for each item.
        stats: the cache's own counters at the end.
    """

    before: list[Reply] = field(default_factory=list)
    after: list[Reply] = field(default_factory=list)
    recorded: dict[int, Reply] = field(default_factory=dict)
    killed: int = 0
    replacement: int = 0
    final: dict[int, Reply] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def replies(self) -> list[Reply]:
        """All replies."""
        return self.before + self.after

    @property
    def notes(self) -> dict[int, str]:
        """What became of a worker, by pid."""
        return {self.killed: "(killed)", self.replacement: "(new)"}


def run(options: Options) -> Outcome:
    """Serve the load with Gunicorn and return what happened.

    Leaves no process, no segment and no file behind, however it ends.

    Raises:
        BenchmarkError: a request hung or failed, or Gunicorn did not do its part.
        StoppedError: a signal asked the run to stop.
    """
    name = f"demo-{os.getpid()}-{secrets.token_hex(4)}"
    segment = lilcache.Cache(name=name, size_mb=SIZE_MB)
    try:
        with GunicornServer(name) as server:
            outcome = _load(server, options)
        outcome.stats = segment.stats().as_dict()
    finally:
        segment.destroy()
    return outcome


def _load(server: GunicornServer, options: Options) -> Outcome:
    outcome = Outcome()
    workers = server.announced_workers()
    order = random.Random(options.seed)
    known = range(options.items)
    items = order.choices(known, k=options.requests)
    outcome.before += request_all(server.address, items, options.clients, "load")
    # Nobody computes during this sweep if nothing is lost: it sees what is stored.
    sweep = request_all(server.address, known, options.clients, "record")
    outcome.before += sweep
    outcome.recorded = {reply.item: reply for reply in sweep}

    # New items among the known ones, so that the killed worker may be found reading,
    # computing or writing.
    every = range(options.items + options.items // 3)
    items = order.choices(every, k=options.requests // 2)
    victim = order.choice(workers)
    kill_at = len(items) // 3

    def kill(index: int, _reply: Reply) -> None:
        if index == kill_at:
            server.kill_worker(victim)

    outcome.killed = victim
    outcome.after += request_all(server.address, items, options.clients, "kill", kill)
    outcome.replacement = server.wait_for_workers(WORKERS + 1)[-1]
    for _ in range(MAX_SWEEPS):
        sweep = request_all(server.address, every, options.clients, "verify")
        outcome.after += sweep
        if any(_inherited(reply, outcome) for reply in outcome.after):
            break
    outcome.final = {reply.item: reply for reply in sweep}
    return outcome


def _inherited(reply: Reply, outcome: Outcome) -> bool:
    """Return whether the new worker served an entry of the killed one."""
    pair = (outcome.replacement, outcome.killed)
    return reply.hit and (reply.served_by, reply.computed_by) == pair


def check(outcome: Outcome) -> list[Check]:
    """Return what had to hold and whether it did."""
    replies = outcome.replies
    return [
        _check_values(replies),
        _check_sharing(outcome),
        _check_losses(replies),
        _check_survival(outcome),
        _check_response_times(outcome),
        _check_retries(replies),
        _check_replacement(outcome),
        _check_stats(outcome),
    ]


def _check_values(replies: list[Reply]) -> Check:
    @cache
    def expected(item: int) -> str:
        check_stop()
        return compute(item)

    wrong = wrong_values(replies, expected)
    found = f"{len(replies)} answers, {len(wrong)} wrong"
    return Check("every answer is the item's value", not wrong, found)


def _check_sharing(outcome: Outcome) -> Check:
    replies = outcome.before
    workers = sorted({reply.served_by for reply in replies})
    missing = unserved_pairs(replies, workers)
    shared = sum(r.hit and r.computed_by != r.served_by for r in replies)
    return Check(
        "every worker serves what each other worker stored",
        len(workers) == WORKERS and not missing,
        f"{shared} such hits, {len(workers)} workers, {len(missing)} pairs without",
    )


def _check_losses(replies: list[Reply]) -> Check:
    lost = lost_entries(replies)
    misses = sum(not reply.hit for reply in replies)
    found = f"{misses} misses, {len(lost)} of them for stored items"
    return Check("a stored item is never computed again", not lost, found)


def _check_survival(outcome: Outcome) -> Check:
    def stored(reply: Reply) -> tuple[str, int]:
        return reply.value, reply.computed_by

    recorded = outcome.recorded
    kept = [
        item
        for item, reply in recorded.items()
        if outcome.final[item].hit and stored(outcome.final[item]) == stored(reply)
    ]
    of_killed = [r for r in recorded.values() if r.computed_by == outcome.killed]
    return Check(
        "every entry outlives the killed worker",
        len(kept) == len(recorded) and bool(of_killed),
        f"{len(kept)} of {len(recorded)} entries, {len(of_killed)} stored by it",
    )


def _check_response_times(outcome: Outcome) -> Check:
    before = max(reply.seconds for reply in outcome.before)
    after = max(reply.seconds for reply in outcome.after)
    found = f"longest {before * 1e3:.0f} ms before the kill, {after * 1e3:.0f} ms after"
    name = f"no request takes {RESPONSE_LIMIT_S:g} s"
    return Check(name, max(before, after) < RESPONSE_LIMIT_S, found)


def _check_retries(replies: list[Reply]) -> Check:
    # A sync worker has one request in its hands, so its death resets one at most.
    retried = sum(reply.attempts > 1 for reply in replies)
    found = f"{retried} of {len(replies)} requests tried again"
    return Check("only the killed worker's own request is reset", retried <= 1, found)


def _check_replacement(outcome: Outcome) -> Check:
    inherited = sum(_inherited(reply, outcome) for reply in outcome.after)
    found = f"worker {outcome.replacement}, {inherited} such hits"
    return Check("the new worker serves the killed one's entries", inherited > 0, found)


def _check_stats(outcome: Outcome) -> Check:
    items = len({reply.item for reply in outcome.replies})
    stats = outcome.stats
    sound = stats["items"] == items and not stats["evictions"] and not stats["emptied"]
    found = f"{stats['items']} items stored, {items} asked for"
    return Check("the cache holds every item and dropped none", sound, found)
