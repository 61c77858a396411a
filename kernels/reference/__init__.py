"""Each kernel in plain NumPy: the specification that the fast versions are compared with."""

from milk_np.kernels.reference.adam import adam, adam_catch_up, adam_rows
from milk_np.kernels.reference.als import solve_rows
from milk_np.kernels.reference.candidates import candidate_dots, candidate_dots_backward, draw_distinct
from milk_np.kernels.reference.content import content_rows, exponentials, weighted_sum, whiten_rows
from milk_np.kernels.reference.contrast import nce
from milk_np.kernels.reference.descent import add_penalty, momentum_step
from milk_np.kernels.reference.extract import extract, extract_all, extract_all_backward, extract_backward, gather
from milk_np.kernels.reference.gram import add_gram, add_products, combine, multiply, multiply_triangle
from milk_np.kernels.reference.grouping import Groups, group
from milk_np.kernels.reference.histories import (
    histories_backward,
    leave_one_out,
    leave_one_out_backward,
    owned_mean,
    owned_mean_backward,
    read_histories,
    sum_histories,
    sum_rows,
)
from milk_np.kernels.reference.lists import sum_lists, transpose_lists
from milk_np.kernels.reference.margins import margins, margins_backward_items, margins_backward_users
from milk_np.kernels.reference.masking import mask_numbers
from milk_np.kernels.reference.matmul import matmul, matmul_transposed
from milk_np.kernels.reference.normalise import batch_norm, batch_norm_backward
from milk_np.kernels.reference.penalties import alignment, regulariser
from milk_np.kernels.reference.places import places
from milk_np.kernels.reference.risk import risk
from milk_np.kernels.reference.sampling import draw_batch, shuffle
from milk_np.kernels.reference.shared import draw_shared, extract_backward_shared
from milk_np.kernels.reference.sparse import sparse_product
from milk_np.kernels.reference.topk import top_k

__all__ = [
    "Groups",
    "adam",
    "adam_catch_up",
    "adam_rows",
    "add_gram",
    "add_penalty",
    "add_products",
    "alignment",
    "batch_norm",
    "batch_norm_backward",
    "candidate_dots",
    "candidate_dots_backward",
    "combine",
    "content_rows",
    "draw_batch",
    "draw_distinct",
    "draw_shared",
    "exponentials",
    "extract",
    "extract_all",
    "extract_all_backward",
    "extract_backward",
    "extract_backward_shared",
    "gather",
    "group",
    "histories_backward",
    "leave_one_out",
    "leave_one_out_backward",
    "margins",
    "margins_backward_items",
    "margins_backward_users",
    "mask_numbers",
    "matmul",
    "matmul_transposed",
    "momentum_step",
    "multiply",
    "multiply_triangle",
    "nce",
    "owned_mean",
    "owned_mean_backward",
    "places",
    "read_histories",
    "regulariser",
    "risk",
    "shuffle",
    "solve_rows",
    "sparse_product",
    "sum_histories",
    "sum_lists",
    "sum_rows",
    "top_k",
    "transpose_lists",
    "weighted_sum",
    "whiten_rows",
]
