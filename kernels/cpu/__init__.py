"""The kernels in Numba. Importing this package loads Numba, and nothing else in the project does."""

import os

# Idle OpenMP threads that spin would starve other thread pools (BLAS among them). This has to be set before the
# threads start; whoever set it already knows better.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from milk_np.kernels.cpu.adam import adam, adam_catch_up, adam_rows  # noqa: E402
from milk_np.kernels.cpu.extract import extract, extract_backward, gather  # noqa: E402
from milk_np.kernels.cpu.grouping import group  # noqa: E402
from milk_np.kernels.cpu.margins import (  # noqa: E402
    margins,
    margins_backward_items,
    margins_backward_users,
)
from milk_np.kernels.cpu.penalties import alignment, regulariser  # noqa: E402
from milk_np.kernels.cpu.risk import risk  # noqa: E402
from milk_np.kernels.cpu.sampling import draw_batch, shuffle  # noqa: E402
from milk_np.kernels.cpu.topk import top_k  # noqa: E402

__all__ = [
    "adam",
    "adam_catch_up",
    "adam_rows",
    "alignment",
    "draw_batch",
    "extract",
    "extract_backward",
    "gather",
    "group",
    "margins",
    "margins_backward_items",
    "margins_backward_users",
    "regulariser",
    "risk",
    "shuffle",
    "top_k",
]
