"""Facts about the machine and the libraries, for `env.json` and `milk-doctor`; no host or user names."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from milk_np.machine import threads
from milk_np.machine.processor import KINDS, cpu_name, vector_instructions
from milk_np.text import VERSION

CORE = ("numpy", "scipy", "numba", "llvmlite")
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
