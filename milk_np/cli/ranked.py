"""A command that mpiexec started several times: rank 0 speaks, an error ends all, a lost rank is noticed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from milk_np.cli.common import answer
from milk_np.ranks.group import ALONE, Ranks
from milk_np.ranks.launch import launched, open_ranks
from milk_np.ranks.mpi import MpiRanks
from milk_np.ranks.watch import Watch

_SECONDS = 3.0
"""How long a rank that failed waits for the others to fail too."""


@contextmanager
def together(program: str) -> Iterator[Ranks]:
    """The ranks that were started together; without a launcher, this process alone.

    What is raised on all ranks is said by rank 0. What is raised on one is said there, and ends the others.
    """
    if launched() == 1:
        yield ALONE
        return
    ranks = open_ranks()
    watch = Watch(ranks, program)
    failed = ranks.communicator.Dup()
    try:
        yield ranks
        ranks.any(False)  # nobody leaves while another may still fail
    except BaseException as error:
        if not _all_at(failed.Ibarrier().Test):
            _leave(program, ranks, watch, error)
        if not ranks.first:
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
        raise
    finally:
        watch.close()


def _all_at(reached: Callable[[], bool]) -> bool:
    """Whether all ranks come to the same point in time."""
    end = time.monotonic() + _SECONDS
    while not (done := bool(reached())) and time.monotonic() < end:
        time.sleep(0.01)
    return done


def _leave(program: str, ranks: MpiRanks, watch: Watch, error: BaseException) -> None:
    """Say the error of this rank, and end without MPI's farewell, which would wait for the others."""
    code = answer(f"{program}: rank {ranks.rank}", error)
    sys.stdout.flush()
    sys.stderr.flush()
    watch.close(failed=True)
    os._exit(code)
