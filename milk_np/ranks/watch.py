"""Notices within seconds that a rank was lost: killed, or its machine gone. Then one says which, and all end.

MPI itself may wait for ever. A process that is busy or stopped is never taken for lost: the system tells of connections
that end; see `milk_np.ranks.witness`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from milk_np.errors import LostRankError
from milk_np.ranks.group import Ranks
from milk_np.ranks.witness import BYE, FAILED, LOST, SECONDS, Peer, greet, keep_alive, said


class Watch:
    """This rank's connection to the witness."""

    def __init__(self, ranks: Ranks, program: str, leave: Callable[[int], None] = os._exit) -> None:
        """Called by all ranks; rank 0 starts the witness. `leave` ends this process with an exit code."""
        self._program, self._leave = program, leave
        peer = Peer(ranks.rank, os.getpid(), socket.gethostname())
        hosts = ranks.all_values(peer.host)
        address = "127.0.0.1" if len(set(hosts)) == 1 else ""
        port, token = ranks.on_first(lambda: _start(program, ranks.size, address))
        self._connection = socket.create_connection((address or hosts[0], port), SECONDS)
        self._connection.settimeout(None)
        keep_alive(self._connection)
        greet(self._connection, token, peer)
        self._closing = threading.Event()
        elsewhere = [rank for rank, host in enumerate(hosts) if host != hosts[0]]
        self._speaks = ranks.rank == (elsewhere[0] if elsewhere else 0)
        threading.Thread(target=self._listen, name="ranks-watch", daemon=True).start()

    def close(self, failed: bool = False) -> None:
        """This rank ends: in order, or `failed` with an error that it has said, so that the others end quietly."""
        self._closing.set()
        with suppress(OSError):
            self._connection.sendall(FAILED if failed else BYE)
            self._connection.shutdown(socket.SHUT_WR)

    def _listen(self) -> None:
        word = said(self._connection)
        if self._closing.is_set():
            return
        if word != LOST and self._speaks:
            text = "the machine of rank 0 is gone, or its witness was killed; continue with --resume"
            print(f"{self._program}: error: {text}", file=sys.stderr, flush=True)
        self._leave(LostRankError.exit_code)


def _start(program: str, size: int, address: str) -> tuple[int, bytes]:
    """Start the witness; its port and token. It reads nothing, and ends when the ranks have ended."""
    line = [sys.executable, "-P", "-m", "milk_np.ranks.witness", program, str(size), address]
    quiet = subprocess.DEVNULL
    read, write = os.pipe()
    with open(read, encoding="ascii") as answer:
        witness = subprocess.Popen(line, stdin=quiet, stdout=write, start_new_session=True)
        os.close(write)
        port, token = answer.readline().split()
    witness.returncode = 0  # it outlives this process, which doesn't wait for it
    return int(port), bytes.fromhex(token)
