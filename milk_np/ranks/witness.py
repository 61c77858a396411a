"""A process beside rank 0 that tells which rank was lost.

A launcher that notices a dead process kills the others within milliseconds, before any of them could speak. This one
has a session of its own and stays. Every rank holds a connection to it, which the system closes when the rank ends.
`python -m milk_np.ranks.witness PROGRAM SIZE ADDRESS` prints its port and a token, and ends with the job.
"""

from __future__ import annotations

import json
import secrets
import selectors
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

BYE, FAILED, LOST = b"b", b"f", b"l"
"""What a rank says before it ends: in order, or with an error that it has said itself; and what ranks are told then."""
SECONDS = 30.0
"""How long a rank may take to connect."""
TOKEN_BYTES = 16
_KEEPALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""A machine that doesn't answer is noticed after 8 seconds."""
_NAMED = 4
"""How many ranks an error names."""


class Peer(NamedTuple):
    """A rank, as an error names it."""

    rank: int
    process: int
    host: str


def lost_text(peers: Sequence[Peer]) -> str:
    """The error for a lost rank, the first of `peers`; the others ended too before anybody looked."""
    named = [f"rank {peer.rank} (process {peer.process} on {peer.host})" for peer in peers[:_NAMED]]
    named += [f"{len(peers) - _NAMED} more"] if len(peers) > _NAMED else []
    who = f"one of {', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
    return (
        f"{who} was lost: it was killed, ran out of memory, or its machine is gone. What was saved is whole; continue "
        "with --resume, on any number of ranks"
    )


def keep_alive(connection: socket.socket) -> None:
    """Have the system notice that the other machine is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # macOS names the first otherwise
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def said(connection: socket.socket) -> bytes:
    """One byte; nothing if the other side is gone."""
    try:
        return connection.recv(1)
    except OSError:
        return b""


def greet(connection: socket.socket, token: bytes, peer: Peer) -> None:
    """Introduce a rank to the witness."""
    text = json.dumps(peer).encode()
    connection.sendall(token + len(text).to_bytes(4, "big") + text)


def main(arguments: list[str]) -> None:
    """Wait for the ranks, then for their ends."""
    program, size, address = arguments
    with socket.create_server((address, 0), backlog=int(size)) as server:
        token = secrets.token_bytes(TOKEN_BYTES)
        print(server.getsockname()[1], token.hex(), flush=True)
        sys.stdout.close()
        server.settimeout(SECONDS)
        peers: dict[socket.socket, Peer] = {}
        with suppress(TimeoutError):
            while len(peers) < int(size):
                connection, _ = server.accept()
                if (peer := _introduced(connection, token)) is not None:
                    peers[connection] = peer
    if len(peers) == int(size):
        attend(program, peers)


def _introduced(connection: socket.socket, token: bytes) -> Peer | None:
    """The rank at the other end; None for anybody who doesn't know the token, whose connection is closed."""
    connection.settimeout(SECONDS)
    try:
        if secrets.compare_digest(connection.recv(TOKEN_BYTES, socket.MSG_WAITALL), token):
            length = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
            peer = Peer(*json.loads(connection.recv(length, socket.MSG_WAITALL)))
            connection.settimeout(None)
            keep_alive(connection)
            return peer
    except (OSError, ValueError, TypeError):
        pass
    connection.close()
    return None


def attend(program: str, peers: dict[socket.socket, Peer]) -> None:
    """Until all ranks have ended in order, or one has not: it is named, and the others are told.

    The system reports connections in the order in which they were closed, as a rule: the first one is that of the lost
    rank. MPI may end other ranks in the same moment, so all that are found closed together are named, the first first.
    """
    with selectors.DefaultSelector() as selector:
        for connection in peers:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            if words := [(peer, word) for peer, word in _ended(selector, peers) if word != BYE]:
                if words[0][1] != FAILED:
                    lost = [peer for peer, word in words if word != FAILED]
                    print(f"{program}: error: {lost_text(lost)}", file=sys.stderr, flush=True)
                for other in peers:
                    with suppress(OSError):
                        other.sendall(LOST)
                return


def _ended(selector: selectors.BaseSelector, peers: dict[socket.socket, Peer]) -> list[tuple[Peer, bytes]]:
    """The next ranks that have ended, in order, and what each said; waits for the first."""
    found = []
    for key, _ in selector.select():
        connection = next(one for one in peers if one is key.fileobj)
        selector.unregister(connection)
        found.append((peers[connection], said(connection)))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
