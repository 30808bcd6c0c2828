"""What must hold in the demo, and the tables that show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tabulate import tabulate

from .load import Reply


class Check(NamedTuple):
    """One thing that must hold.

    Attributes:
        name: the claim.
        holds: whether it held.
        found: the numbers behind it.
    """

    name: str
    holds: bool
    found: str


def lost_entries(replies: Iterable[Reply]) -> list[Reply]:
    """Return the misses for items that had been answered for before they were asked.

    Whoever got an answer knows that the item is stored, so that any later request has
    to be a hit. Two workers that compute a new item at the same time lose nothing.
    """
    replies = list(replies)
    stored_ns: dict[int, int] = {}
    for reply in replies:
        known_ns = stored_ns.get(reply.item, reply.ended_ns)
        stored_ns[reply.item] = min(known_ns, reply.ended_ns)
    return [r for r in replies if not r.hit and r.started_ns > stored_ns[r.item]]


def wrong_values(
    replies: Iterable[Reply], expected: Callable[[int], str]
) -> list[Reply]:
    """Return the replies with another value than the item's."""
    return [reply for reply in replies if reply.value != expected(reply.item)]


def hits_between(replies: Iterable[Reply]) -> Counter[tuple[int, int]]:
    """Return the hits by serving worker and computing worker."""
    return Counter((r.served_by, r.computed_by) for r in replies if r.hit)


def unserved_pairs(
    replies: Iterable[Reply], workers: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the pairs of workers of which the first never served the other's entry."""
    hits = hits_between(replies)
    pairs = ((server, other) for server in workers for other in workers)
    return [pair for pair in pairs if pair[0] != pair[1] and not hits[pair]]


def hits_table(replies: Sequence[Reply], notes: dict[int, str]) -> str:
    """Return the table of requests and hits by worker.

    Args:
        replies: all replies.
        notes: what became of a worker, by pid.
    """
    rows = []
    for pid in workers_of(replies):
        own = [reply for reply in replies if reply.served_by == pid]
        hits = sum(reply.hit for reply in own)
        foreign = sum(reply.hit and reply.computed_by != pid for reply in own)
        label = f"{pid} {notes.get(pid, '')}".rstrip()
        percent = f"{100 * hits / len(own):.1f}"
        rows.append((label, len(own), hits, len(own) - hits, foreign, percent))
    headers = ("worker", "requests", "hits", "misses", "hits on others' entries", "%")
    return tabulate(rows, headers, tablefmt="github", floatfmt=".1f")


def sharing_table(replies: Sequence[Reply], notes: dict[int, str]) -> str:
    """Return the matrix of hits, one row for each worker that served them."""
    hits = hits_between(replies)
    workers = workers_of(replies)
    labels = {pid: f"{pid} {notes.get(pid, '')}".rstrip() for pid in workers}
    rows = [
        [labels[server], *(hits[server, pid] for pid in workers)] for server in workers
    ]
    headers = ["served by \\ computed by", *labels.values()]
    return tabulate(rows, headers, tablefmt="github")


def workers_of(replies: Iterable[Reply]) -> list[int]:
    """Return the pids of all workers that served or computed something."""
    return sorted({pid for r in replies for pid in (r.served_by, r.computed_by)})


def checks_table(checks: Iterable[Check]) -> str:
    """Return the table of what held and what did not."""
    rows = [("yes" if c.holds else "NO", c.name, c.found) for c in checks]
    return tabulate(rows, ("holds", "check", "found"), tablefmt="github")
