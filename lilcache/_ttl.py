"""A ttl argument to milliseconds: the one place that knows what a duration may be."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final, Union

from .errors import TTLError

TTL = Union[int, float, timedelta, None]

# LILCACHE_TTL_NONE: for ever.
TTL_NONE: Final = 0

# Every layer may turn a ttl into signed 64-bit nanoseconds: about 292 years.
MAX_TTL_SECONDS: Final = (2**63 - 1) // 1_000_000_000


def ttl_to_ms(ttl: TTL) -> int:
    """Return milliseconds, rounded up, so that no positive ttl becomes none at all.

    Args:
        ttl: Seconds as int or float, a timedelta, or None for ever.

    Raises:
        TTLError: Zero, negative, not finite, over 292 years, or not a duration.
    """
    if ttl is None:
        return TTL_NONE
    seconds: float
    if type(ttl) is int or type(ttl) is float:
        seconds = ttl
    elif isinstance(ttl, timedelta):
        seconds = ttl.total_seconds()
    elif isinstance(ttl, (int, float)) and not isinstance(ttl, bool):
        seconds = ttl
    else:
        raise TTLError(f"ttl is seconds, a timedelta or None, not {type(ttl).__name__}")
    # One comparison that is false for nan as well.
    if 0 < seconds <= MAX_TTL_SECONDS:
        return math.ceil(seconds * 1000)
    if seconds > MAX_TTL_SECONDS:
        raise TTLError("the ttl is over 292 years: pass None for ever")
    raise TTLError(
        f"ttl must be a positive number of seconds, not {ttl!r}: pass None for ever,"
        " or delete the key to forget it now"
    )
