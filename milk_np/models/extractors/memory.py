"""Host memory needed for training on triplets, computed from sizes."""

from __future__ import annotations

from collections.abc import Sequence

from milk_np.machine.memory import KERNELS
from milk_np.settings.triplets import TripletSettings

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
    settings: TripletSettings,
    *,
    n_users: int,
    n_items: int,
    n_new_items: int,
    n_train_pairs: int,
    widths: Sequence[int],
    E: int = 1,
) -> dict[str, int]:
    """Bytes that training in E environments adds to the loaded data set, by purpose.

    Raw rows are read in place.
    """
    K, M = settings.dim, len(widths)
    B = batch_length(settings, n_train_pairs)
    return {
        "compiled kernels": KERNELS,
        "parameters and optimiser": parameter_bytes(n_users, widths, K),
        "a batch": batch_bytes(B, min(2 * B, n_items), K, M, E),
        "training pairs": n_train_pairs * (3 * _INT + _LONG) + _LONG * (n_users + 1),
        "normalisation and imputation": n_items * M * 3 * _FLOAT,
        "evaluation": _FLOAT * (2 * n_items * K + n_new_items * K + n_users * (K + 2 * max(settings.cutoffs))),
    }


def parameter_bytes(n_users: int, widths: Sequence[int], K: int) -> int:
    """Parameters are stored five times: value, gradient, two moments and the best epoch's."""
    return 5 * _FLOAT * K * (n_users + sum(widths) + len(widths))


def batch_bytes(B: int, items: int, K: int, M: int, E: int) -> int:
    """A batch of B triplets; the latent vectors and gradients of its `items` are kept per modality."""
    return _FLOAT * (4 * items * K * M + 3 * B * K + B * (2 * M + E))


def batch_length(settings: TripletSettings, n_train_pairs: int) -> int:
    """Most triplets in a batch, B."""
    return min(settings.batch_size, max(n_train_pairs, 1))
