"""Host memory needed for training MILK, computed from sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milk_np.machine.memory import KERNELS

_FLOAT, _INT, _LONG = 4, 4, 8
_ELSEWHERE = "train on a machine with more memory"
ADVICE = {
    "compiled kernels": _ELSEWHERE,
    "parameters and optimiser": "lower --dim",
    "a batch": "lower --batch-size",
    "training pairs": _ELSEWHERE,
    "normalisation and imputation": _ELSEWHERE,
    "evaluation": "lower --dim",
}
"""By purpose, how to reduce the need."""


def training_bytes(
    settings: Any,
    *,
    n_users: int,
    n_items: int,
    n_new_items: int,
    n_train_pairs: int,
    widths: Sequence[int],
) -> dict[str, int]:
    """Bytes that training adds to the loaded data set, by purpose.

    A batch of B triplets touches at most min(2 B, I) items, whose latent vectors and gradients are kept per
    modality; raw rows are read in place. Parameters are stored five times: value, gradient, two moments
    and the best epoch's. With profiles of users a batch may touch every training pair, so every item, and the
    vectors of all users and items are kept in addition to the parameters.
    """
    K, M, D = settings.dim, len(widths), sum(widths)
    B = min(settings.batch_size, max(n_train_pairs, 1))
    items = min(2 * B, n_items)
    environments = 1 if "ceim" in settings.without else settings.env_draws * M + 1
    free, by_history = settings.users != "profile", settings.users != "free"
    if by_history:
        items = n_items
    histories = by_history * (_INT * 6 * n_train_pairs + _FLOAT * K * (5 * B + 2 * items + n_users + n_items))
    return {
        "compiled kernels": KERNELS,
        "parameters and optimiser": 5 * _FLOAT * (free * n_users * K + D * K + M * K),
        "a batch": _FLOAT * (4 * items * K * M + 3 * B * K + B * (2 * M + environments)) + histories,
        "training pairs": n_train_pairs * (3 * _INT + _LONG) + _LONG * (n_users + 1),
        "normalisation and imputation": n_items * M * 3 * _FLOAT,
        "evaluation": _FLOAT * (2 * n_items * K + n_new_items * K + n_users * (K + 2 * max(settings.cutoffs))),
    }
