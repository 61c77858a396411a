"""The MPI library that mpi4py loads."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any, NamedTuple

_SECONDS = 30
_ASK = (
    "from mpi4py import MPI; from milk_np.ranks.library import cuda_aware; "
    "print(' '.join(MPI.Get_library_version().split()[:3])); print(cuda_aware(MPI))"
)


class Library(NamedTuple):
    """Its name and version, whether it takes arrays of a GPU; or why there is none."""

    name: str = ""
    cuda: bool = False
    problem: str | None = None


def library() -> Library:
    """What mpi4py would use, asked in a process of its own: an MPI that is missing or asked too early ends it."""
    try:
        asked = subprocess.run([sys.executable, "-P", "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Library(problem=f"can't be asked: {error}")
    lines = asked.stdout.splitlines()
    if asked.returncode or len(lines) < 2:
        reason = (asked.stderr.strip().splitlines() or ["no answer"])[-1]
        return Library(problem=f'not usable ({reason}); pip install "milk-np[mpi]"')
    return Library(lines[-2].rstrip(","), lines[-1] == "True")


def cuda_aware(module: Any) -> bool:
    """Whether MPI, which must have been initialised, sends arrays of a GPU as they are."""
    for path in (module.__file__, None):
        ask = getattr(ctypes.CDLL(path), "MPIX_Query_cuda_support", None)
        if ask is not None:
            return bool(ask() == 1)
    return False
