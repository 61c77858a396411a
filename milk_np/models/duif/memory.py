"""Memory of the host that training DUIF needs, from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milk_np.models.milk import memory
from milk_np.settings.triplets import TripletSettings

_FLOAT = 4
ADVICE = {**memory.ADVICE, "modalities side by side": "train on a machine with more memory"}
"""By purpose, what makes its need smaller."""


def training_bytes(settings: TripletSettings, *, n_items: int, widths: Sequence[int], **sizes: Any) -> dict[str, int]:
    """What MILK's step needs on one modality, and the items' modalities side by side: (I, D) float32.

    A modality's rows are made on their own before they are laid into place.
    """
    joined = _FLOAT * n_items * (sum(widths) + max(widths))
    step = memory.training_bytes(settings, n_items=n_items, widths=[sum(widths)], **sizes)
    return {"modalities side by side": joined, **step}
