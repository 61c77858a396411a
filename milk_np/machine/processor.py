"""What the processor is and can do, by the system's own account; imports nothing heavy."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "asimd", "sve")
"""Vector instruction sets of processors; they decide how products are rounded."""
KINDS = ("OPENBLAS_CORETYPE", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NPY_DISABLE_CPU_FEATURES")
"""Variables that make libraries treat the processor as another kind."""
WIDE, WIDE_CORE = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}, "SkylakeX"
"""OpenBLAS's name of a processor with AVX-512, and what it has to have."""
CPUINFO = Path("/proc/cpuinfo")


def use_wide_vectors(cpuinfo: Path = CPUINFO) -> None:
    """Let OpenBLAS use AVX-512 on AMD's processors that have it, if it isn't loaded yet; a choice of the user is kept.

    The OpenBLAS in NumPy's and SciPy's wheels has no kernels of its own for them, and takes Haswell's: half as fast.
    """
    if "numpy" not in sys.modules and is_taken_for_less(os.environ, cpuinfo):
        os.environ["OPENBLAS_CORETYPE"] = WIDE_CORE


def is_taken_for_less(environment: Mapping[str, str], cpuinfo: Path = CPUINFO) -> bool:
    """Whether OpenBLAS takes this processor for one without AVX-512, and nobody wants that."""
    chosen = any(name in environment for name in KINDS)
    return not chosen and _first_of(cpuinfo, "vendor_id") == "AuthenticAMD" and cpu_flags(cpuinfo) >= WIDE


def cpu_name(cpuinfo: Path = CPUINFO) -> str:
    """Model of the processor, or its architecture if the system doesn't report one."""
    return _first_of(cpuinfo, "model name") or platform.machine()


def cpu_flags(cpuinfo: Path = CPUINFO) -> set[str]:
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
