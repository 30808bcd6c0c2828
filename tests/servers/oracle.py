"""What a client may be told, after all that it has been told so far.

Each client thread owns registers, keys that only it writes, though through any worker.
A write without an answer may have happened or not. Counters belong to all clients: each
remembers what was acknowledged and what may have happened besides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf

CLOCK_SLACK_S = 0.02
"""The cache counts milliseconds, by a clock that moves in ticks."""


@dataclass(frozen=True)
class Lifetime:
    """When a value ends: not before the one moment, not after the other."""

    earliest: float = inf
    latest: float = inf


@dataclass
class Register:
    """One key of one client, with all that it may hold.

    Attributes:
        possible: serial numbers that a read may find.
        absent: whether a read may find nothing.
        may_vanish: whether values are evicted; what was missed once must not return.
    """

    may_vanish: bool
    possible: dict[int, Lifetime] = field(default_factory=dict)
    absent: bool = True

    def stored(self, serial: int, lifetime: Lifetime) -> None:
        """A set was acknowledged."""
        self.possible = {serial: lifetime}
        self.absent = False

    def perhaps_stored(self, serial: int, lifetime: Lifetime) -> None:
        """A set was lost on its way."""
        self.possible[serial] = lifetime

    def deleted(self) -> None:
        """A delete was acknowledged."""
        self.possible = {}
        self.absent = True

    def perhaps_deleted(self) -> None:
        """A delete was lost on its way."""
        self.absent = True

    def read(self, serial: int | None, sent: float, ended: float) -> str | None:
        """A read was answered: return what is wrong with the answer, or None.

        Args:
            serial: number of the value; None for a miss.
            sent: monotonic clock before the request.
            ended: monotonic clock after the answer.
        """
        if serial is None:
            expired = any(
                lifetime.earliest < ended + CLOCK_SLACK_S
                for lifetime in self.possible.values()
            )
            wrong = not (self.absent or expired or self.may_vanish)
            message = f"nothing, though {sorted(self.possible)} was stored"
            self.deleted()
            return message if wrong else None
        lifetime = self.possible.get(serial)
        if lifetime is None:
            return f"value {serial}, though only {sorted(self.possible)} may be there"
        self.stored(serial, lifetime)
        if lifetime.latest + CLOCK_SLACK_S < sent:
            return f"value {serial}, {sent - lifetime.latest:.3f} s after its end"
        return None


@dataclass
class Counts:
    """Increments of shared counters.

    Attributes:
        acknowledged: by key, those that were answered.
        perhaps: by key, those that were on their way when a worker died.
    """

    acknowledged: Counter[str] = field(default_factory=Counter)
    perhaps: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Add another client's."""
        self.acknowledged.update(other.acknowledged)
        self.perhaps.update(other.perhaps)

    def check(self, key: str, final: int) -> str | None:
        """Return what is wrong with a counter's final value, or None."""
        low = self.acknowledged[key]
        high = low + self.perhaps[key]
        if low <= final <= high:
            return None
        return f"{key} is {final}, though {low} to {high} were counted"
