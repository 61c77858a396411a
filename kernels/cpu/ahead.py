"""Compiling in other processes what this one will reach later, so that a first use waits for half as long.

Numba compiles one kernel at a time in a process. Helpers begin at the other end of a plan, and leave what they
compiled where this process looks before it compiles a kernel itself. What two compile at once is the same, and files
are replaced whole. `python -m milk_np.kernels.cpu.ahead PLAN PART PARTS` is a helper.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from numba import types

from milk_np.kernels.cpu.byte_tile import BYTES
from milk_np.kernels.cpu.disk_cache import own_folder

Signature = tuple[Any, ...]

MOST = 3
"""Helpers: a plan takes less than twenty seconds of one core, and each helper one to start."""

_F1, _F2, _F3 = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1]
_D1, _D2 = types.float64[::1], types.float64[:, ::1]
_I1, _I2, _I3, _L1 = types.int32[::1], types.int32[:, ::1], types.int32[:, :, ::1], types.int64[::1]
_B1, _B2, _U2 = types.boolean[::1], types.boolean[:, ::1], types.uint32[:, ::1]
_int, _real, _word, _single, _bool = types.int64, types.float64, types.uint64, types.float32, types.boolean


def _fixed(array: Any) -> Any:
    """The same array, read-only."""
    return types.Array(array.dtype, array.ndim, "C", readonly=True)


_RANKING: dict[str, Signature] = {
    "topk._pack": (_fixed(_F2), _int, _int, _F3),
    "topk._search": (_fixed(_F2), _F3, _int, _int, _int, _fixed(_L1), _fixed(_I1), _I2, _F2, _bool),
}
_BOUNDS: dict[str, Signature] = {
    "quantise._pack_panels": (_fixed(_F2), _int, _int, _I3, _F3, _F1),
    "prune._prune": (
        _fixed(_F2), _fixed(_F2), _int, _int, _I3, _F3, _F1, _int, _fixed(_L1), _fixed(_I1), _I2, _F2, _single, _L1,
    ),
}  # fmt: skip
"""Of wide vectors, where the processor has products of bytes."""
SECONDS = {"milk": 10, "kernel profile": 8, "ranking": 4}
"""What compiling a plan adds to a first use on two cores, about."""
PLANS: dict[str, dict[str, Signature]] = {
    "milk": {
        "sampling._rounds": (_word, _int),
        "sampling._draw": (_U2, _word, _int, _I1, _I1, _I1, _I1, _I1, _L1, _I1, _I1),
        "grouping._group": (_I1, _I1),
        "adam.adam_catch_up": (_F2, _F2, _F2, _L1, _I1, _real, _int),
        "extract._find": (_int, _int, _int, _I1, _F1, _I1, _L1, _F1),
        "packing._pack_weight": (_F2, _int, _F1),
        "products._forward": (_L1, _F1, _F1, _int, _F1, _F2, _L1, _int),
        "margins.margins": (_F2, _F3, _I1, _I1, _F2),
        "risk._forward": (_F2, _F2, _F2, _D1),
        "risk._backward": (_F2, _F2, _F1, _F2),
        "margins._backward_users": (_F3, _I1, _F2, _I1, _I1, _F2),
        "margins._backward_items": (_F2, _I1, _F2, _I1, _I1, _F3),
        **_RANKING,
        "penalties.alignment": (_F3, _I1, _B2, _I1, _real, _F3, _D1),
        "penalties._regularise_users": (_F2, _I1, _I1, _real, _F2),
        "penalties._regularise_items": (_F3, _I1, _real, _F3),
        "extract.column_sums": (_F2, _F1),
        "adam._adam_rows": (_F2, _F2, _F2, _F2, _L1, _I1, _single, _single, _int),
        "adam._adam": (_F1, _F1, _F1, _F1, _single, _single),
        "adam._update": (_F1, _F1, _F1, _F1, _single, _single),
        "packing._pack_gradient": (_F2, _F1, _F1),
        "products._backward": (_L1, _F1, _F2, _bool, _L1, _int),
    },
    "kernel profile": {
        "content._rows": (_F2, _I1, _B1, _F1, _F2),
        "content._whiten": (_F2, _D1, _real, _F2),
        "gram._accumulate": (_F2, _D2),
        "lists.transpose_lists": (_L1, _I1, _int),
        "lists._sum": (_L1, _I1, _F2, _F2),
        "places._places": (_F2, _L1, _L1, _L1),
        **(_BOUNDS if BYTES else {}),
        **_RANKING,
    },
    "ranking": _RANKING,
}
"""What models compile, by the name that their settings give: kernels in the order of use, and the types that they are
reached with. The search of an evaluation stands where a helper comes to it after the end of a step, which is reached
before."""


def kernel(name: str) -> Any:
    """The compiler of a kernel of a plan."""
    module, function = name.split(".")
    with own_folder():
        return getattr(import_module(f"milk_np.kernels.cpu.{module}"), function)


def missing(plan: str) -> list[str]:
    """Kernels of a plan that no process has compiled yet, as far as the folder of compiled kernels tells."""
    return [name for name in PLANS[plan] if not _stored(name)]


def first_use(plan: str) -> int:
    """How many kernels of a plan nobody has compiled, if they are most of it; the rest some settings never reach."""
    absent = len(missing(plan))
    return absent if absent > len(PLANS[plan]) // 2 else 0


def _stored(name: str) -> bool:
    folder = kernel(name).stats.cache_path
    return bool(folder) and any(Path(folder).glob(f"{name}-*.nbc"))


def compile_part(plan: str, part: int, parts: int) -> None:
    """Compile every `parts`-th kernel of a plan from the end on, `part` of them left out first."""
    for name in list(reversed(PLANS[plan]))[part::parts]:
        kernel(name).compile(PLANS[plan][name])


@contextmanager
def compiling(plan: str, cores: int) -> Iterator[int]:
    """Inside, helpers compile what of a plan is missing; gives their number, none where they'd be of no use."""
    wanted = min(MOST, cores - 1) if _worth_it(plan) else 0
    helpers = [helper for part in range(wanted) if (helper := _start(plan, part, wanted)) is not None]
    try:
        yield len(helpers)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _worth_it(plan: str) -> bool:
    """Whether much is missing and can be kept."""
    folder = kernel("topk._search").stats.cache_path
    return first_use(plan) > 0 and bool(folder) and os.access(folder, os.W_OK)


def _start(plan: str, part: int, parts: int) -> subprocess.Popen[bytes] | None:
    """A helper; None where no process can be started."""
    line = [sys.executable, "-P", "-m", __name__, plan, str(part), str(parts)]
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen(line, stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError:
        return None


def main(arguments: Sequence[str]) -> None:
    """A helper's work."""
    plan, part, parts = arguments
    compile_part(plan, int(part), int(parts))


if __name__ == "__main__":
    main(sys.argv[1:])
