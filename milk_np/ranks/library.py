"""The MPI library that mpi4py loads, without starting it."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple


class Library(NamedTuple):
    """Its name and version, whether it takes arrays of a GPU; or why there is none."""

    name: str = ""
    cuda: bool = False
    problem: str | None = None


def library() -> Library:
    """What `mpi4py` would use."""
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        return Library(problem=f'not usable ({str(error).splitlines()[0]}); pip install "milk-np[mpi]"')
    return Library(" ".join(MPI.Get_library_version().split()[:3]).rstrip(","), cuda_aware(MPI))


def cuda_aware(module: Any) -> bool:
    """Whether MPI sends arrays of a GPU as they are: MPICH and Open MPI answer by the same function."""
    for path in (module.__file__, None):
        ask = getattr(ctypes.CDLL(path), "MPIX_Query_cuda_support", None)
        if ask is not None:
            return bool(ask() == 1)
    return False
