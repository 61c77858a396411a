"""The kernels in CUDA C, through CuPy. Importing this package loads CuPy; only the GPU backend does so."""

from milk_np.kernels.gpu import replay as replay  # only a device has these
from milk_np.kernels.gpu.adam import adam, adam_catch_up, adam_rows
from milk_np.kernels.gpu.content import content_rows, exponentials, weighted_sum, whiten_rows
from milk_np.kernels.gpu.extract import extract, extract_all, extract_all_backward, extract_backward, gather
from milk_np.kernels.gpu.gram import add_gram, add_products, combine, multiply, multiply_triangle
from milk_np.kernels.gpu.grouping import group
from milk_np.kernels.gpu.histories import (
    histories_backward,
    leave_one_out,
    leave_one_out_backward,
    owned_mean,
    owned_mean_backward,
    read_histories,
    sum_histories,
    sum_rows,
)
from milk_np.kernels.gpu.lists import sum_lists, transpose_lists
from milk_np.kernels.gpu.margins import margins, margins_backward_items, margins_backward_users
from milk_np.kernels.gpu.penalties import alignment, regulariser
from milk_np.kernels.gpu.places import places
from milk_np.kernels.gpu.risk import risk
from milk_np.kernels.gpu.sampling import draw_batch, shuffle
from milk_np.kernels.gpu.topk import top_k

__all__ = [
    "adam",
    "adam_catch_up",
    "adam_rows",
    "add_gram",
    "add_products",
    "alignment",
    "combine",
    "content_rows",
    "draw_batch",
    "exponentials",
    "extract",
    "extract_all",
    "extract_all_backward",
    "extract_backward",
    "gather",
    "group",
    "histories_backward",
    "leave_one_out",
    "leave_one_out_backward",
    "margins",
    "margins_backward_items",
    "margins_backward_users",
    "multiply",
    "multiply_triangle",
    "owned_mean",
    "owned_mean_backward",
    "places",
    "read_histories",
    "regulariser",
    "risk",
    "shuffle",
    "sum_histories",
    "sum_lists",
    "sum_rows",
    "top_k",
    "transpose_lists",
    "weighted_sum",
    "whiten_rows",
]
