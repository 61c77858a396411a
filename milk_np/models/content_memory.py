"""Host memory needed for training a model of named tables and rows of content, computed from sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milk_np.machine.memory import KERNELS

_FLOAT, _INT, _LONG = 4, 4, 8
_ELSEWHERE = "train on a machine with more memory"
ADVICE = {
    "compiled kernels": _ELSEWHERE,
    "rows of content": _ELSEWHERE,
    "tables and optimisers": "lower --dim",
    "a batch": "lower --batch-size",
    "training pairs": _ELSEWHERE,
    "pretraining": "lower --dim",
    "evaluation": "lower --dim",
}
"""By purpose, how to reduce the need."""
ON_DEVICE = ("rows of content", "tables and optimisers", "a batch")
"""What the device holds."""


def content_bytes(
    settings: Any,
    *,
    n_users: int,
    n_items: int,
    n_new_items: int,
    n_train_pairs: int,
    widths: Sequence[int],
    learned: int,
    frozen: int = 0,
    slots: int = 2,
    row: int = 0,
) -> dict[str, int]:
    """Bytes that training adds to the loaded data set, by purpose.

    The model has `learned` numbers, of which the optimisers keep `slots` more each, the gradient and the best epoch one
    more each; `frozen` numbers that stay; a row of a batch takes `row` numbers on top of its content.
    """
    K, D = settings.dim, sum(widths)
    B = min(settings.batch_size, max(n_train_pairs, 1))
    pretraining = {}
    if hasattr(settings, "backbone"):
        layers = settings.backbone_layers + 2 if settings.backbone == "light-gcn" else 0
        pretraining = {"pretraining": _FLOAT * K * (n_users + n_items) * (5 + layers)}
    return {
        "compiled kernels": KERNELS,
        "rows of content": _FLOAT * n_items * (D + max(widths)),
        "tables and optimisers": _FLOAT * ((3 + slots) * learned + 2 * frozen),
        "a batch": _FLOAT * B * (2 * D + row),
        "training pairs": n_train_pairs * (3 * _INT + _LONG) + _LONG * (n_users + 1),
        **pretraining,
        "evaluation": _FLOAT * (3 * n_items * K + n_new_items * K + n_users * (3 * K + 2 * max(settings.cutoffs))),
    }
