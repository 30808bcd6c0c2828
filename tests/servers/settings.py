"""What the test and the application under test have to agree on."""

from __future__ import annotations

from . import values

NAME_VARIABLE = "LILCACHE_SERVERS_NAME"
ANNOUNCE_VARIABLE = "LILCACHE_SERVERS_ANNOUNCE_FD"
SOCKET_VARIABLE = "LILCACHE_SERVERS_SOCKET"

WORKERS = 4

STANDING_KEY = "standing"
STANDING_VALUE = values.make(STANDING_KEY, "test", 0, 16 * 1024)

FAMINE_BYTES = 128 << 20
"""What a worker allocates until it is killed for it."""
