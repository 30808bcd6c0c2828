"""Requests over a unix socket, each with a deadline."""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

DEADLINE_S = 5.0
"""Seconds after which a request without an answer counts as hung."""


class Lost(Exception):
    """The connection ended before the answer did, as it does when a worker dies."""


class Hung(Exception):
    """There was neither an answer nor an end of the connection in time."""


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: HTTP status.
        fields: what the application says beside the body.
        body: bytes of the value or values.
        sent: monotonic clock before the request.
        ended: monotonic clock after the last byte.
    """

    status: int
    fields: dict[str, Any]
    body: bytes
    sent: float
    ended: float


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def send(connection: Connection, target: str, keep_alive: bool) -> Reply:
    """Send one request and return the whole answer; closed unless kept alive.

    Raises:
        Lost: the connection ended before.
        Hung: nothing ended in time.
    """
    sent = time.monotonic()
    try:
        headers = {} if keep_alive else {"Connection": "close"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        connection.close()
        raise Hung(f"{target}: no answer within {DEADLINE_S:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Lost(f"{target}: {error!r}") from None
    ended = time.monotonic()
    if not keep_alive:
        connection.close()
    if ended - sent > DEADLINE_S:
        raise Hung(f"{target}: answered after {ended - sent:.1f} s")
    fields = json.loads(response.headers.get("X-Reply", "{}"))
    return Reply(response.status, fields, body, sent, ended)


def ask(path: str, action: str, **arguments: object) -> Reply:
    """Send one request over a connection of its own; raises as send."""
    query = f"?{urlencode(arguments)}" if arguments else ""
    return send(Connection(path), action + query, keep_alive=False)


def knock(path: str, callers: int) -> None:
    """Send requests that do nothing, all at once, and wait for all answers.

    Raises:
        Lost: nobody answers.
    """
    connections = [Connection(path) for _ in range(callers)]
    try:
        for connection in connections:
            connection.request("GET", "/hello", headers={"Connection": "close"})
        for connection in connections:
            connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise Lost(f"nobody answers: {error!r}") from None
    finally:
        for connection in connections:
            connection.close()
