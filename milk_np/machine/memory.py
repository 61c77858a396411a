"""Memory: what a training run will need and what this process may still take, compared before it starts."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from milk_np.errors import OutOfMemoryError
from milk_np.machine.cgroup import cgroup_memory, read
from milk_np.text import bytes_text

KERNELS = 128 * 2**20
"""Bytes that Numba, LLVM and the machine code take, as measured."""
_PAGE = resource.getpagesize()
_LIBRARIES = 1 << 29
"""Address space that Numba, SciPy and their threads map when they load: about 400 MB with two threads."""


def available_bytes() -> float:
    """Bytes that this process may still take: the machine's, its control group's, its address space's."""
    return min(machine_bytes(), cgroup_memory(), address_space_bytes())


def machine_bytes(meminfo: Path = Path("/proc/meminfo")) -> float:
    """Memory that the kernel says can be taken without swapping; inf if it doesn't say."""
    for line in read(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return math.inf


def address_space_bytes(statm: Path = Path("/proc/self/statm")) -> float:
    """What `ulimit -v` leaves of the address space, less what libraries will map; inf without a limit.

    The libraries have to fit: OpenBLAS, for one, tries for ever to get its buffers.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return math.inf
    used = read(statm).split()
    to_map = 0 if "numba" in sys.modules else _LIBRARIES
    return max(0, limit - (int(used[0]) * _PAGE if used else 0) - to_map)


def refuse_if_too_large(need: Mapping[str, int], available: float, advice: Mapping[str, str]) -> None:
    """Raise OutOfMemoryError, with the largest part and what would shrink it, if the need doesn't fit."""
    total = sum(need.values())
    if total <= available:
        return
    largest = max(need, key=lambda name: need[name])
    raise OutOfMemoryError(
        f"training needs about {bytes_text(total)} beside the data, {bytes_text(available)} can be had; "
        f"the largest part is {largest} ({bytes_text(need[largest])}): {advice[largest]}"
    )


def need_text(need: Mapping[str, int], available: float) -> str:
    """One line: the total, its largest part, and what can be had; a model may not tell its need."""
    if not need:
        return f"need not known; {bytes_text(available)} can be had"
    largest = max(need, key=lambda name: need[name])
    parts = f"{bytes_text(sum(need.values()))} beside the data, {bytes_text(need[largest])} of it for {largest}"
    return f"{parts}; {bytes_text(available)} can be had"
