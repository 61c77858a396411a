"""The kernels in Numba. Importing this package loads Numba; only `milk-doctor` does so too, to report on it."""

import sys

import numba

from milk_np.kernels.cpu.disk_cache import own_folder
from milk_np.kernels.cpu.parallel import guard
from milk_np.kernels.idle import let_idle_threads_sleep

let_idle_threads_sleep()  # before Numba starts them, which the first kernel lets it do

with own_folder():
    from milk_np.kernels.cpu.adam import adam, adam_catch_up, adam_rows
    from milk_np.kernels.cpu.als import solve_rows
    from milk_np.kernels.cpu.candidates import candidate_dots, candidate_dots_backward, draw_distinct
    from milk_np.kernels.cpu.content import content_rows, exponentials, weighted_sum, whiten_rows
    from milk_np.kernels.cpu.contrast import nce
    from milk_np.kernels.cpu.descent import add_penalty, momentum_step
    from milk_np.kernels.cpu.extract import extract, extract_all, extract_all_backward, extract_backward, gather
    from milk_np.kernels.cpu.gram import add_gram, add_products, combine, multiply, multiply_triangle
    from milk_np.kernels.cpu.grouping import group
    from milk_np.kernels.cpu.histories import (
        histories_backward,
        leave_one_out,
        leave_one_out_backward,
        owned_mean,
        owned_mean_backward,
        read_histories,
        sum_histories,
        sum_rows,
    )
    from milk_np.kernels.cpu.lists import sum_lists, transpose_lists
    from milk_np.kernels.cpu.margins import margins, margins_backward_items, margins_backward_users
    from milk_np.kernels.cpu.masking import mask_numbers
    from milk_np.kernels.cpu.matmul import matmul, matmul_transposed
    from milk_np.kernels.cpu.normalise import batch_norm, batch_norm_backward
    from milk_np.kernels.cpu.penalties import alignment, regulariser
    from milk_np.kernels.cpu.places import places
    from milk_np.kernels.cpu.risk import risk
    from milk_np.kernels.cpu.sampling import draw_batch, shuffle
    from milk_np.kernels.cpu.shared import draw_shared, extract_backward_shared
    from milk_np.kernels.cpu.sparse import sparse_product
    from milk_np.kernels.cpu.topk import top_k


guard([module for name, module in sys.modules.items() if name.startswith(__name__)])


def set_threads(count: int) -> None:
    """Let the kernels use `count` threads, or as many as Numba was started with if that is fewer."""
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


__all__ = [
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
