"""Memory of the host that fitting a kernel profile needs, from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence

from milk_np.machine.memory import KERNELS
from milk_np.models.kernel_profile.need import Need
from milk_np.models.kernel_profile.settings import KernelProfileSettings

_FLOAT = 4
_ELSEWHERE = "fit on a machine with more memory"
_NARROWER = "lower --landmarks or --profile-width"
_LOWER_RANK = "lower --smoothing-rank"
ADVICE = {
    "compiled kernels": _ELSEWHERE,
    "training pairs": _ELSEWHERE,
    "sorting pairs": _ELSEWHERE,
    "smoothing": _LOWER_RANK,
    "directions of the smoothing": _LOWER_RANK,
    "held-out items": "give --whitening and --kernel-noise, so that they aren't chosen",
    "similarities": _NARROWER,
    "vectors": _NARROWER,
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
    """Bytes that fitting adds to the loaded data set, by purpose: what is held throughout, and the largest step."""
    need = Need(settings, n_users, n_items, n_items - n_new_items, n_train_pairs, widths).total()
    users = _FLOAT * n_users * (min(settings.profile_width, settings.landmarks) + 2 * max(settings.cutoffs))
    return {"compiled kernels": KERNELS // 2, **need, "vectors of users": users}
