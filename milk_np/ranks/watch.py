"""Notices within seconds that a rank was lost: killed, or its machine gone. Then all others end, and one says why.

MPI itself would wait for ever. Every rank holds a connection to rank 0, which the system closes when a process ends;
where a whole machine ends, the system's keepalive notices. A process that is busy or stopped is never taken for lost.
"""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from milk_np.errors import LostRankError
from milk_np.ranks.group import Ranks

_BYE, _FAILED = b"b", b"f"
_SECONDS = 20.0
"""How long a rank may take to connect."""
_KEEPALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""A machine that doesn't answer is noticed after 8 seconds."""


class Peer(NamedTuple):
    """A rank, as an error names it."""

    rank: int
    process: int
    host: str


class Watch:
    """The connections of a rank: on rank 0 to all others, elsewhere to rank 0."""

    def __init__(self, ranks: Ranks, program: str, leave: Callable[[int], None] = os._exit) -> None:
        """Connect; called by all ranks. `leave` ends this process with an exit code."""
        self._ranks, self._program, self._leave = ranks, program, leave
        self._peers = ranks.all_values(Peer(ranks.rank, os.getpid(), socket.gethostname()))
        self._sockets = self._connected()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ranks-watch", daemon=True)
        self._thread.start()

    def close(self, failed: bool = False) -> None:
        """This rank ends: in order, or `failed` with an error that it has said, so that the others end quietly."""
        self._closing.set()
        for connection in self._sockets.values():
            with suppress(OSError):
                connection.sendall(_FAILED if failed else _BYE)
        for connection in self._sockets.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)

    def _connected(self) -> dict[int, socket.socket]:
        if self._ranks.first:
            return self._accepted()
        host, port, token = self._ranks.from_first(None)
        one_machine = len({peer.host for peer in self._peers}) == 1
        connection = socket.create_connection(("127.0.0.1" if one_machine else host, port), _SECONDS)
        connection.sendall(token + self._ranks.rank.to_bytes(4, "big"))
        connection.settimeout(None)
        _keep_alive(connection)
        self._ranks.any(False)
        return {0: connection}

    def _accepted(self) -> dict[int, socket.socket]:
        """The connections of the other ranks, which know the token; anybody else's is closed."""
        one_machine = len({peer.host for peer in self._peers}) == 1
        token, found = secrets.token_bytes(16), dict[int, socket.socket]()
        with socket.create_server(("127.0.0.1" if one_machine else "", 0), backlog=self._ranks.size) as server:
            self._ranks.from_first((self._peers[0].host, server.getsockname()[1], token))
            server.settimeout(_SECONDS)
            while len(found) < self._ranks.size - 1:
                connection, _ = server.accept()
                connection.settimeout(_SECONDS)
                greeting = connection.recv(20, socket.MSG_WAITALL)
                if len(greeting) != 20 or not secrets.compare_digest(greeting[:16], token):
                    connection.close()
                    continue
                connection.settimeout(None)
                _keep_alive(connection)
                found[int.from_bytes(greeting[16:], "big")] = connection
        self._ranks.any(False)
        return found

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for rank, connection in self._sockets.items():
                selector.register(connection, selectors.EVENT_READ, rank)
            while selector.get_map() and not self._closing.is_set():
                for key, _ in selector.select():
                    selector.unregister(key.fileobj)
                    self._heard(int(key.data), _said(self._sockets[int(key.data)]))

    def _heard(self, rank: int, said: bytes) -> None:
        """A rank ends: in order, with an error that it has said, or without a word."""
        if self._closing.is_set() or said == _BYE:
            return
        if said != _FAILED and self._speaks():
            print(f"{self._program}: error: {lost_text(self._peers[rank])}", file=sys.stderr, flush=True)
        self.close(failed=True)  # the others end without a word
        self._leave(LostRankError.exit_code)

    def _speaks(self) -> bool:
        """Rank 0 speaks; if it is the lost one, rank 1."""
        return self._ranks.rank <= 1


def lost_text(peer: Peer) -> str:
    """The error for a lost rank."""
    return (
        f"rank {peer.rank} (process {peer.process} on {peer.host}) was lost: it was killed, ran out of memory, or its "
        "machine is gone. What was saved is whole; continue with --resume, on any number of ranks"
    )


def _said(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except OSError:
        return b""


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # macOS names the first otherwise
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
