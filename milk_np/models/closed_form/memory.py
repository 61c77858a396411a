"""Memory of the host that fitting a quick rival needs, from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence

from milk_np.machine.memory import KERNELS
from milk_np.models.closed_form.settings import ClosedFormSettings

_FLOAT, _DOUBLE = 4, 8
_ELSEWHERE = "fit on a machine with more memory"
ADVICE = {
    "compiled kernels": _ELSEWHERE,
    "content of the items": _ELSEWHERE,
    "regression": "reduce the features' widths before",
    "training items by training items": "this model is for small catalogues: take svd-ridge or kernel-profile",
    "training pairs": _ELSEWHERE,
    "vectors": _ELSEWHERE,
}
"""By purpose, what makes its need smaller."""


def training_bytes(
    settings: ClosedFormSettings,
    *,
    n_users: int,
    n_items: int,
    n_new_items: int,
    n_train_pairs: int,
    widths: Sequence[int],
) -> dict[str, int]:
    """Bytes that fitting adds to the loaded data set, by purpose."""
    n, D = n_items - n_new_items, sum(widths)
    K = settings.vector_width(n, D)
    return {
        "compiled kernels": KERNELS // 2,
        "content of the items": _FLOAT * n_items * (2 * D + max(widths)) + 2 * _DOUBLE * n * D,
        "regression": 2 * _DOUBLE * D**2 if settings.regression else 0,
        "training items by training items": _DOUBLE * settings.square_tables * n**2,
        "training pairs": 40 * n_train_pairs,
        "vectors": _FLOAT * K * (n_items + min(n_users, 65536)) + 2 * _DOUBLE * K * (n + n_users) * (n > K),
    }
