"""Memory: what a training run will need and what this process may still take, compared before it starts."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from milk_np.cgroup import cgroup_memory, read
from milk_np.config import Settings
from milk_np.errors import OutOfMemoryError
from milk_np.models import CLOSED_FORM
from milk_np.regression.need import Need

_FLOAT, _INT, _LONG = 4, 4, 8
_KERNELS = 128 * 2**20  # Numba, LLVM and the machine code, as measured
_PAGE = resource.getpagesize()
_LIBRARIES = 1 << 29
"""Address space that Numba, SciPy and their threads map when they load: about 400 MB with two threads."""


def training_bytes(
    settings: Settings,
    *,
    n_users: int,
    n_items: int,
    n_new_items: int,
    n_train_pairs: int,
    widths: Sequence[int],
) -> dict[str, int]:
    """Bytes that training adds to the loaded data set, by purpose.

    A batch of B triplets touches at most min(2 B, I) items, whose latent vectors and gradients are kept per
    modality; raw rows are read where they lie. Parameters stand five times: value, gradient, two moments
    and the best epoch's. With profiles of users a batch may touch every training pair, so every item, and the
    vectors of all users and items are kept beside the parameters.
    """
    if settings.model in CLOSED_FORM:
        need = Need(settings, n_users, n_items, n_items - n_new_items, n_train_pairs, widths).total()
        users = _FLOAT * n_users * (min(settings.profile_width, settings.landmarks) + 2 * max(settings.cutoffs))
        return {"compiled kernels": _KERNELS // 2, **need, "vectors of users": users}
    K, M, D = settings.dim, len(widths), sum(widths)
    B = min(settings.batch_size, max(n_train_pairs, 1))
    items = min(2 * B, n_items)
    environments = settings.env_draws * M + 1
    free, profiles = settings.users != "profile", settings.users != "free"
    if profiles:
        items = n_items
    histories = profiles * (_INT * 6 * n_train_pairs + _FLOAT * K * (5 * B + 2 * items + n_users + n_items))
    return {
        "compiled kernels": _KERNELS,
        "parameters and optimiser": 5 * _FLOAT * (free * n_users * K + D * K + M * K),
        "a batch": _FLOAT * (4 * items * K * M + 3 * B * K + B * (2 * M + environments)) + histories,
        "training pairs": n_train_pairs * (3 * _INT + _LONG) + _LONG * (n_users + 1),
        "normalisation and filling": n_items * M * 3 * _FLOAT,
        "evaluation": _FLOAT * (2 * n_items * K + n_new_items * K + n_users * (K + 2 * max(settings.cutoffs))),
    }


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


def refuse_if_too_large(need: Mapping[str, int], available: float) -> None:
    """Raise OutOfMemoryError, with the largest part and what would shrink it, if the need doesn't fit."""
    total = sum(need.values())
    if total <= available:
        return
    largest = max(need, key=lambda name: need[name])
    raise OutOfMemoryError(
        f"training needs about {bytes_text(total)} beside the data, {bytes_text(available)} can be had; "
        f"the largest part is {largest} ({bytes_text(need[largest])}): {_advice(largest)}"
    )


def need_text(need: Mapping[str, int], available: float) -> str:
    """One line: the total, its largest part, and what can be had."""
    largest = max(need, key=lambda name: need[name])
    parts = f"{bytes_text(sum(need.values()))} beside the data, {bytes_text(need[largest])} of it for {largest}"
    return f"{parts}; {bytes_text(available)} can be had"


def bytes_text(size: float) -> str:
    """A size in MB or GB of 1024, such as 3.4 GB."""
    if math.isinf(size):
        return "no limit"
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.1f} MB"


def _advice(part: str) -> str:
    if part in ("smoothing", "directions of the smoothing"):
        return "lower --smoothing-rank"
    if part in ("similarities", "vectors", "vectors of users"):
        return "lower --landmarks or --profile-width"
    if part == "held-out items":
        return "give --whitening and --kernel-noise, so that they aren't chosen"
    if part == "a batch":
        return "lower --batch-size"
    if part in ("training pairs", "sorting pairs", "compiled kernels"):
        return "train on a machine with more memory"
    return "lower --dim"
