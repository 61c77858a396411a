"""Facts about the machine and the libraries, for `env.json` and `milk-doctor`; no host or user names."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from milk_np.machine import threads
from milk_np.text import VERSION

CORE = ("numpy", "scipy", "numba", "llvmlite")
INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "asimd", "sve")
"""Vector instruction sets of processors; they decide how products are rounded."""
KINDS = ("OPENBLAS_CORETYPE", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NPY_DISABLE_CPU_FEATURES")
"""Variables that make libraries treat the processor as another kind."""
EXTRAS = ("cupy-cuda13x", "cupy-cuda12x", "pyarrow", "tqdm", "optuna", "threadpoolctl")


def environment(command: Sequence[str] = ()) -> dict[str, Any]:
    """What a result depends on, apart from its settings and data."""
    return {
        "milk_np": VERSION,
        "python": platform.python_version(),
        "libraries": versions((*CORE, *EXTRAS)),
        "blas": blas_name(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "instructions": vector_instructions(),
        "kind": {name: os.environ[name] for name in KINDS if name in os.environ},
        "cores": threads.allowed_cores(),
        "threads": {name: os.environ[name] for name in threads.VARIABLES if name in os.environ},
        "command": [without_home(part) for part in command],
    }


def versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of the installed distributions, without importing them."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Model of the processor, or its architecture if the system doesn't report one."""
    return _first_of(cpuinfo, "model name") or platform.machine()


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Features of the processor by Linux's names (avx2, avx512f, asimd, ...); empty if the system reports none."""
    return set((_first_of(cpuinfo, "flags") or _first_of(cpuinfo, "Features")).split())


def vector_instructions() -> list[str]:
    """The processor's vector instruction sets."""
    flags = cpu_flags()
    return [name for name in INSTRUCTIONS if name in flags]


def _first_of(cpuinfo: Path, field: str) -> str:
    """The first value of `field`, "" if there is none."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field)
    return next(values, "")


def blas_name() -> str:
    """Name and version of the BLAS library that NumPy was built with."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def kernel_cache() -> Path | None:
    """Folder where Numba stores the compiled kernels; None if it stores none. Loads Numba."""
    from milk_np.kernels.cpu.margins import margins

    folder = margins.stats.cache_path
    return Path(folder) if folder else None


def without_home(text: str) -> str:
    """The text with the home folder shortened to ~, since its path names the user."""
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(home) > 1 else text
