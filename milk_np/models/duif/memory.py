"""Host memory needed for training DUIF, computed from sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milk_np.models.extractors import memory
from milk_np.settings.triplets import TripletSettings

_FLOAT = 4
ADVICE = {**memory.ADVICE, "concatenated modalities": "train on a machine with more memory"}
"""By purpose, how to reduce the need."""


def training_bytes(settings: TripletSettings, *, n_items: int, widths: Sequence[int], **sizes: Any) -> dict[str, int]:
    """The need of a step on one modality, and the items' concatenated modalities: (I, D) float32.

    Each modality's rows are computed separately before they are copied into place.
    """
    joined = _FLOAT * n_items * (sum(widths) + max(widths))
    step = memory.training_bytes(settings, n_items=n_items, widths=[sum(widths)], **sizes)
    return {"concatenated modalities": joined, **step}
