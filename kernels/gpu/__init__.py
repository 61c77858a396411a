"""The kernels in CUDA C, through CuPy. Importing this package loads CuPy; only the GPU backend does so."""

from milk_np.kernels.gpu import replay as replay  # only a device has these
from milk_np.kernels.gpu.adam import adam, adam_catch_up, adam_rows
from milk_np.kernels.gpu.extract import extract, extract_all, extract_all_backward, extract_backward, gather
from milk_np.kernels.gpu.grouping import group
from milk_np.kernels.gpu.margins import margins, margins_backward_items, margins_backward_users
from milk_np.kernels.gpu.penalties import alignment, regulariser
from milk_np.kernels.gpu.risk import risk
from milk_np.kernels.gpu.sampling import draw_batch, shuffle
from milk_np.kernels.gpu.topk import top_k

__all__ = [
    "adam",
    "adam_catch_up",
    "adam_rows",
    "alignment",
    "draw_batch",
    "extract",
    "extract_all",
    "extract_all_backward",
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
