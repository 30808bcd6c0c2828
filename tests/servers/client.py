"""Client threads: each asks for one thing after the other and checks every answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import values
from .oracle import Counts, Lifetime, Register
from .request import Connection, Hung, Lost, Reply, send

REGISTERS = 6
"""Keys that a client owns."""

COUNTERS = 4
CAS_COUNTERS = 2
SHARED_KEYS = 8
REUSES = 25
"""Requests over one connection, so that new workers get their share of clients."""

TTLS_S = (0.05, 0.2, 0.6)
SLOW_S = 0.05
WORK_TIMES = 3000
"""Calls in a request that keeps its worker inside the cache for some milliseconds."""
KEPT_MESSAGES = 20

STATUS_OK = 200
STATUS_BUSY = 503


@dataclass
class Slow:
    """An answer that took long.

    Attributes:
        pid: the worker.
        took: seconds that the worker spent on it.
        sent: monotonic clock before the request.
        ended: monotonic clock after the answer.
    """

    pid: int
    took: float
    sent: float
    ended: float


@dataclass
class Tally:
    """What clients saw.

    Attributes:
        requests: requests that were answered.
        resets: moments at which a connection ended before the answer.
        hung: requests without an answer or an end in time.
        busy: answers that a lock was held for longer than the lock timeout.
        wrong: wrong values and other violations.
        wrong_count: how many these are; not all are kept.
        slow: slow answers.
        longest: seconds of the slowest answer.
        counts: increments.
    """

    requests: int = 0
    resets: list[float] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    busy: int = 0
    wrong: list[str] = field(default_factory=list)
    wrong_count: int = 0
    slow: list[Slow] = field(default_factory=list)
    longest: float = 0.0
    counts: Counts = field(default_factory=Counts)

    def blame(self, message: str) -> None:
        """Note a violation."""
        self.wrong_count += 1
        if len(self.wrong) < KEPT_MESSAGES:
            self.wrong.append(message)

    def add(self, other: Tally) -> None:
        """Add what another client saw."""
        self.requests += other.requests
        self.resets += other.resets
        self.hung += other.hung
        self.busy += other.busy
        self.wrong += other.wrong[: KEPT_MESSAGES - len(self.wrong)]
        self.wrong_count += other.wrong_count
        self.slow += other.slow
        self.longest = max(self.longest, other.longest)
        self.counts.add(other.counts)


class Client:
    """One thread's requests and what it knows.

    Args:
        socket: path of the server's unix socket.
        name: unlike that of any other client.
        seed: seed of its choices.
        keep_alive: whether to use a connection more than once.
        evicts: whether the segment is so small that values vanish.
    """

    def __init__(
        self, socket: str, name: str, seed: int, keep_alive: bool, evicts: bool
    ) -> None:
        self.tally = Tally()
        self._name = name
        self._random = random.Random(seed)
        self._keep_alive = keep_alive
        self._connection = Connection(socket)
        self._uses = 0
        self._serial = 0
        keys = [f"{name}.{number}" for number in range(REGISTERS)]
        self._registers = {key: Register(evicts) for key in keys}
        self._actions: list[tuple[int, Callable[[], None]]] = [
            (6, self._set),
            (6, self._get),
            (2, self._many),
            (2, self._delete),
            (4, self._view),
            (4, self._incr),
            (3, self._cas),
            (4, self._shared),
            (20, self._work),
        ]

    def step(self) -> None:
        """Send one request and check the answer."""
        weights = [weight for weight, _ in self._actions]
        _, act = self._random.choices(self._actions, weights)[0]
        act()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, action: str, **arguments: object) -> Reply | None:
        """Return the answer, None for a lost connection; raises Hung."""
        query = "&".join(f"{name}={value}" for name, value in arguments.items())
        target = f"/{action}?{query}"
        self._uses += 1
        keep = self._keep_alive and self._uses % REUSES != 0
        tally = self.tally
        try:
            reply = send(self._connection, target, keep)
        except Lost:
            tally.resets.append(time.monotonic())
            return None
        except Hung as error:
            tally.hung.append(str(error))
            raise
        tally.requests += 1
        took = reply.ended - reply.sent
        tally.longest = max(tally.longest, took)
        if took > SLOW_S:
            fields = reply.fields
            pid, inside = fields.get("pid", 0), fields.get("took", took)
            tally.slow.append(Slow(pid, inside, reply.sent, reply.ended))
        if reply.status == STATUS_BUSY:
            tally.busy += 1
            return None
        if reply.status != STATUS_OK:
            tally.blame(f"{target}: {reply.status} {reply.fields.get('error')}")
            return None
        return reply

    def _pick(self) -> tuple[str, Register]:
        return self._random.choice(list(self._registers.items()))

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _set(self) -> None:
        key, register = self._pick()
        serial = self._next()
        large = self._random.random() < 0.3
        arguments: dict[str, Any] = {"key": key, "writer": self._name}
        arguments |= {"serial": serial, "size": values.LARGE if large else values.SMALL}
        sent = time.monotonic()
        ttl = self._random.choice(TTLS_S) if self._random.random() < 0.3 else None
        if ttl:
            arguments["ttl"] = ttl
        reply = self._ask("set", **arguments)
        lifetime = Lifetime()
        if ttl:
            ended = reply.ended if reply else time.monotonic()
            lifetime = Lifetime(sent + ttl, ended + ttl)
        if reply is None:
            register.perhaps_stored(serial, lifetime)
        else:
            register.stored(serial, lifetime)

    def _learn(self, key: str, value: bytes | None, reply: Reply) -> None:
        """Check what was read under one of the client's own keys."""
        serial = None
        if value is not None:
            try:
                serial = values.read(key, value).serial
            except values.WrongValueError as error:
                self.tally.blame(str(error))
                return
        problem = self._registers[key].read(serial, reply.sent, reply.ended)
        if problem:
            self.tally.blame(f"{key}: {problem}")

    def _get(self) -> None:
        key, _ = self._pick()
        reply = self._ask("get", key=key)
        if reply:
            self._learn(key, reply.body if reply.fields["hit"] else None, reply)

    def _many(self) -> None:
        reply = self._ask("many", keys=",".join(self._registers))
        if not reply:
            return
        at = 0
        found = {}
        for key, size in reply.fields["sizes"].items():
            found[key] = reply.body[at : at + size]
            at += size
        for key in self._registers:
            self._learn(key, found.get(key), reply)

    def _delete(self) -> None:
        key, register = self._pick()
        reply = self._ask("delete", key=key)
        if reply is None:
            register.perhaps_deleted()
        else:
            register.deleted()

    def _view(self) -> None:
        key, _ = self._pick()
        reply = self._ask("view", key=key, churn=f"{self._name}.churn")
        if reply:
            self._learn(key, reply.body if reply.fields["hit"] else None, reply)

    def _count(self, action: str, key: str, times: int, **more: object) -> None:
        counts = self.tally.counts
        reply = self._ask(action, key=key, times=times, **more)
        if reply is None:
            counts.perhaps[key] += times
        else:
            counts.acknowledged[key] += times

    def _incr(self) -> None:
        number = self._random.randrange(COUNTERS)
        self._count("incr", f"counter{number}", self._random.choice((1, 1, 50)))

    def _cas(self) -> None:
        number = self._random.randrange(CAS_COUNTERS)
        size = values.LARGE if number == 0 else values.SMALL
        self._count("cas", f"cas{number}", self._random.choice((1, 5)), size=size)

    def _work(self) -> None:
        """Keep the workers inside the cache, where deaths matter."""
        self._ask("work", times=WORK_TIMES)

    def _shared(self) -> None:
        """Use a key that all clients write: whatever is read must be whole."""
        key = f"shared{self._random.randrange(SHARED_KEYS)}"
        if self._random.random() < 0.5:
            size = self._random.choice((values.SMALL, 5000, values.LARGE))
            arguments = {"writer": self._name, "serial": self._next(), "size": size}
            self._ask("set", key=key, **arguments)
            return
        reply = self._ask("get", key=key)
        if reply and reply.fields["hit"]:
            try:
                values.read(key, reply.body)
            except values.WrongValueError as error:
                self.tally.blame(str(error))
