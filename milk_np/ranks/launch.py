"""Whether this process is one of several that mpiexec or srun started, as the environment tells; imports nothing heavy.

Open MPI sets OMPI_COMM_WORLD_SIZE; MPICH, Intel MPI and Slurm's PMI set PMI_SIZE; Slurm's PMIx sets PMIX_RANK.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from milk_np.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from milk_np.ranks.mpi import MpiRanks

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_HERE = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


_YIELDING = {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}
"""Makes MPICH and Open MPI sleep while they wait, where ranks outnumber cores: otherwise one that waits keeps a core
from one that works, and an exchange among four ranks on two cores takes twelve times as long."""


def launched(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes were started together; 1 without a launcher."""
    sizes = (*_SIZES, "SLURM_NTASKS") if "PMIX_RANK" in environment else _SIZES
    return _number(environment, sizes)


def launched_here(environment: Mapping[str, str] = os.environ) -> int:
    """How many of them run on this machine, as far as the launcher tells; they divide its cores."""
    return _number(environment, _HERE) if launched(environment) > 1 else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(environment: Mapping[str, str], names: tuple[str, ...]) -> int:
    texts = [environment[name] for name in names if environment.get(name, "").isdecimal()]
    return max(1, int(texts[0])) if texts else 1


def open_ranks() -> MpiRanks:
    """The processes that were started together, over MPI.

    Raises MissingExtraError without mpi4py or an MPI, SettingsError if the launcher belongs to another MPI.
    """
    count = launched()
    if launched_here() > _cores():
        for name, value in _YIELDING.items():
            os.environ.setdefault(name, value)
    try:
        from milk_np.ranks.mpi import MpiRanks

        ranks = MpiRanks()
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(
            f"mpiexec started {count} processes, but MPI can't be used ({error}); install it with: "
            "pip install 'milk-np[mpi]'"
        ) from error
    if ranks.size != count:
        raise SettingsError(
            f"mpiexec started {count} processes, but MPI knows of {ranks.size}: it is the launcher of another MPI "
            f"than mpi4py uses; start with {launcher() or 'its own mpiexec'}"
        )
    return ranks


def launcher() -> Path | None:
    """The mpiexec beside this Python, else the first one in PATH."""
    own = Path(sys.executable).with_name("mpiexec")
    found = shutil.which("mpiexec")
    return own if own.exists() else Path(found) if found else None
