"""Memory of the host that fitting a kernel profile needs, from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence

from milk_np.machine.memory import KERNELS
from milk_np.models.kernel_profile.limits import HELD_ITEMS, HELD_LANDMARKS, HELD_USERS, MOST_SETS, TRIED
from milk_np.models.kernel_profile.settings import KernelProfileSettings

_FLOAT, _INT, _DOUBLE = 4, 4, 8
_ELSEWHERE = "fit on a machine with more memory"
_NARROWER = "lower --landmarks or --profile-width"
ADVICE = {
    "compiled kernels": _ELSEWHERE,
    "content": _ELSEWHERE,
    "held-out items": "give --whitening and --kernel-noise, so that they aren't chosen",
    "similarities": _NARROWER,
    "vectors": _NARROWER,
    "training pairs": _ELSEWHERE,
    "vectors of users": _NARROWER,
}
"""By purpose, what makes its need smaller."""


def training_bytes(
    settings: KernelProfileSettings,
    *,
    n_users: int,
    n_items: int,
    n_new_items: int,
    n_train_pairs: int,
    widths: Sequence[int],
) -> dict[str, int]:
    """Bytes that fitting adds to the loaded data set, by purpose.

    There are features and similarities of n items to L landmarks, for one set of owned modalities at a time, and the
    coefficients of all S sets.
    """
    L, M = min(settings.landmarks, n_items), len(widths)
    K, S = min(settings.profile_width, L), 2**M - 1
    held = 0 if settings.whitening and settings.kernel_noise else min(n_items, HELD_ITEMS)
    tried = 1 if settings.whitening else len(TRIED)
    if S > MOST_SETS:
        S = min(S, n_items + M + 1)  # those that occur
    return {
        "compiled kernels": KERNELS,
        "content": _FLOAT
        * (3 * n_items * sum(widths) + L * (2 * sum(widths) + 5 * max(widths))),  # axes, one decomposition
        "held-out items": _FLOAT
        * held
        * (sum(widths) + max(widths) + (tried * M + M + 4) * min(L, HELD_LANDMARKS) + min(n_users, HELD_USERS)),
        "similarities": n_items * L * (M * _FLOAT + 3 * _DOUBLE) + 4 * _DOUBLE * L * L,
        "vectors": n_items * K * (2 * _FLOAT + 4 * _DOUBLE) + S * L * K * (_FLOAT + _DOUBLE),
        "training pairs": n_train_pairs * (2 * _INT + 2 * _DOUBLE) + _DOUBLE * n_users * (settings.smoothing_rank + 64),
        "vectors of users": _FLOAT * n_users * (K + 2 * max(settings.cutoffs)),
    }
