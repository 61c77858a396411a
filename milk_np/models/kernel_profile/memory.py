"""Memory of the host that fitting a kernel profile needs, from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milk_np.errors import SettingsError
from milk_np.machine.memory import KERNELS
from milk_np.models.kernel_profile.need import Need, plan_for
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.text import bytes_text

_ELSEWHERE = "fit on a machine with more memory"
_NARROWER = "lower --landmarks or --profile-width"
_LOWER_RANK = "lower --smoothing-rank"
ADVICE = {
    "compiled kernels": _ELSEWHERE,
    "training pairs": _ELSEWHERE,
    "sorting pairs": _ELSEWHERE,
    "smoothing": _LOWER_RANK,
    "directions of the smoothing": _LOWER_RANK,
    "held-out items": "give --whitening, --kernel-noise, --length-power and --even-exposure: they aren't chosen then",
    "similarities": _NARROWER,
    "vectors": _NARROWER,
    "axes of the vectors": _NARROWER,
    "the whole width": "give a number to --width",
    "evaluation": _ELSEWHERE,
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
    need = need_of(
        settings, n_users=n_users, n_items=n_items, n_new_items=n_new_items, n_train_pairs=n_train_pairs, widths=widths
    ).total()
    return {"compiled kernels": KERNELS // 2, **need}


def need_of(
    settings: KernelProfileSettings,
    *,
    n_users: int,
    n_items: int,
    n_new_items: int,
    n_train_pairs: int,
    widths: Sequence[int],
) -> Need:
    """The need of a fit under the plan that `settings.memory` asks for."""
    need = Need(settings, n_users, n_items, n_items - n_new_items, n_train_pairs, widths)
    given = settings.memory_bytes
    return need if given is None else plan_for(need, given - KERNELS // 2)


def refuse_too_little(settings: KernelProfileSettings, **sizes: Any) -> None:
    """Raise SettingsError if a fit can't do with `settings.memory`."""
    given, need = settings.memory_bytes, training_bytes(settings, **sizes)
    if given is None or sum(need.values()) <= given:
        return
    largest, least = max(need, key=lambda name: need[name]), bytes_text(1.01 * sum(need.values()))
    raise SettingsError(
        f"memory (--memory): got {settings.memory}, expected at least {least} for these data and settings; the largest "
        f"part is {largest} ({bytes_text(need[largest])}): {ADVICE[largest]}"
    )
