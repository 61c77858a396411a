"""Host memory needed for training CLCRec, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import ADVICE as SHARED
from milk_np.models.content_memory import content_bytes

ADVICE = {**SHARED, "a batch": "lower --batch-size or --drawn"}
"""By purpose, how to reduce the need."""


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`. A row has scores, slots, masks and gradients of its candidates twice."""
    K, H, D, N = settings.dim, settings.hidden, sum(sizes["widths"]), settings.drawn + 1
    learned = K * (sizes["n_users"] + sizes["n_items"]) + D * H + H + H * K + K
    items = min(settings.batch_size * N, sizes["n_items"]) * (10 * K + 4 * H)
    row = 17 * N + 8 * K + items // settings.batch_size
    return content_bytes(settings, **sizes, learned=learned, row=row)
