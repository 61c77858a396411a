"""Memory: what a training run needs and what this process may still allocate, compared before it starts."""

from __future__ import annotations

import ctypes
import math
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from milk_np.errors import OutOfMemoryError
from milk_np.machine.cgroup import cgroup_memory, read
from milk_np.text import bytes_text

KERNELS = 128 * 2**20
"""Measured bytes of Numba, LLVM and the machine code."""
_PAGE = resource.getpagesize()
_LIBRARIES = 1 << 29
"""Address space that Numba, SciPy and their threads reserve when they load: about 400 MB with two threads."""


def available_bytes() -> float:
    """Bytes that this process may still allocate, limited by machine, control group and address space."""
    return min(machine_bytes(), cgroup_memory(), address_space_bytes())


def machine_bytes(meminfo: Path = Path("/proc/meminfo")) -> float:
    """Memory that the kernel reports as available without swapping; inf if it reports none."""
    for line in read(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return math.inf


def address_space_bytes(statm: Path = Path("/proc/self/statm")) -> float:
    """Address space left under `ulimit -v`, minus what libraries will map; inf without a limit.

    The libraries have to fit: OpenBLAS, for example, retries forever to get its buffers.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return math.inf
    used = read(statm).split()
    to_map = 0 if "numba" in sys.modules else _LIBRARIES
    return max(0, limit - (int(used[0]) * _PAGE if used else 0) - to_map)


def refuse_if_too_large(need: Mapping[str, int], available: float, advice: Mapping[str, str]) -> None:
    """Raise OutOfMemoryError, naming the largest part and how to reduce it, if the need doesn't fit."""
    total = sum(need.values())
    if total <= available:
        return
    largest = max(need, key=lambda name: need[name])
    raise OutOfMemoryError(
        f"training needs about {bytes_text(total)} on top of the data set, {bytes_text(available)} is available; "
        f"the largest part is {largest} ({bytes_text(need[largest])}): {advice[largest]}"
    )


def need_text(need: Mapping[str, int], available: float) -> str:
    """One line: the total, its largest part, and what is available; a model may not state its need."""
    if not need:
        return f"need unknown; {bytes_text(available)} available"
    largest = max(need, key=lambda name: need[name])
    total = bytes_text(sum(need.values()))
    parts = f"{total} on top of the data set, {bytes_text(need[largest])} of it for {largest}"
    return f"{parts}; {bytes_text(available)} available"


class PeakMemory:
    """The most memory that this process held at once since it was made, on top of what it held then.

    The kernel keeps that number for the whole process; a new PeakMemory sets it back, where the kernel allows that.
    """

    def __init__(self, folder: Path = Path("/proc/self")) -> None:
        self._status = folder / "status"
        _give_back()
        try:
            (folder / "clear_refs").write_text("5")
        except OSError:
            self._before = None
        else:
            self._before = _status_bytes(self._status, "VmRSS")

    def bytes(self) -> int | None:
        """Bytes; None where the kernel doesn't tell."""
        peak = _status_bytes(self._status, "VmHWM")
        return None if peak is None or self._before is None else max(0, peak - self._before)


_LARGE_BLOCK = 1 << 20
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


def return_freed() -> None:
    """Have large blocks returned to the kernel as soon as they are freed, for a process that lives long.

    By default glibc keeps blocks of up to 32 MB once it has seen such, in a heap for each thread: arrays that come and
    go in many threads leave holes, and the process grows for as long as it lives. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_TRIM_THRESHOLD, _LARGE_BLOCK)


def _give_back() -> None:
    """Return memory that was freed to the kernel, as far as the C library can: what a run reused would not count."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status_bytes(status: Path, name: str) -> int | None:
    """A line of the kernel's status of a process, such as VmRSS."""
    for line in read(status).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None
