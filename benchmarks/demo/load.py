"""Real HTTP requests from several client threads, each answer kept."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..processes import BenchmarkError, check_stop
from ..progress import progress_bar

Address = tuple[str, int]

RESPONSE_TIMEOUT_S = 10.0
"""Seconds after which a request counts as hung."""

ATTEMPTS = 2

# What a client sees of a server that dies with the request in its hands.
LOST_CONNECTION = (ConnectionError, http.client.HTTPException)


@dataclass(frozen=True)
class Reply:
    """One answered request.

    Attributes:
        item: number of the item asked for.
        value: the item's value.
        served_by: pid of the worker that answered.
        computed_by: pid of the worker that computed the value.
        hit: whether the value came out of the cache.
        started_ns: monotonic clock before the first attempt.
        ended_ns: monotonic clock after the last one.
        attempts: 1, or 2 after a lost connection.
    """

    item: int
    value: str
    served_by: int
    computed_by: int
    hit: bool
    started_ns: int
    ended_ns: int
    attempts: int

    @property
    def seconds(self) -> float:
        """Response time in seconds, a second attempt included."""
        return (self.ended_ns - self.started_ns) / 1e9


def _get(address: Address, item: int) -> bytes:
    connection = http.client.HTTPConnection(*address, timeout=RESPONSE_TIMEOUT_S)
    try:
        connection.request("GET", f"/item/{item}")
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        raise BenchmarkError(
            f"the request for item {item} hung: no answer in {RESPONSE_TIMEOUT_S:g} s"
        ) from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise BenchmarkError(f"item {item}: HTTP status {response.status}")
    return body


def request(address: Address, item: int) -> Reply:
    """Ask for one item; a lost connection is tried once more.

    Raises:
        BenchmarkError: the request hung, failed, or lost its connection twice.
    """
    started_ns = time.monotonic_ns()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            body = _get(address, item)
        except LOST_CONNECTION as error:
            lost = error
            continue
        ended_ns = time.monotonic_ns()
        return Reply(
            item=item,
            started_ns=started_ns,
            ended_ns=ended_ns,
            attempts=attempt,
            **json.loads(body),
        )
    raise BenchmarkError(f"item {item}: connection lost {ATTEMPTS} times: {lost!r}")


def request_all(
    address: Address,
    items: Sequence[int],
    clients: int,
    label: str,
    on_reply: Callable[[int, Reply], None] = lambda index, reply: None,
) -> list[Reply]:
    """Ask for many items from several threads.

    Args:
        address: host and port of the server.
        items: what to ask for.
        clients: number of threads.
        label: name of the progress bar.
        on_reply: called in this thread, in the order of ``items``, while the other
            threads go on.

    Returns:
        One reply for each item, in their order.
    """
    replies: list[Reply] = []
    pool = ThreadPoolExecutor(clients)
    try:
        with progress_bar(len(items), label, "request") as bar:
            answers = pool.map(lambda item: request(address, item), items)
            for index, reply in enumerate(answers):
                check_stop()
                replies.append(reply)
                on_reply(index, reply)
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
    return replies
