"""Host memory needed for training CCFCRec, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import ADVICE as SHARED
from milk_np.models.content_memory import content_bytes

ADVICE = {**SHARED, "a batch": "lower --batch-size, --positives or --drawn"}
"""By purpose, how to reduce the need."""


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`. A row has scores, slots, masks and gradients of all its candidates."""
    K, H, D, M = settings.dim, settings.hidden, sum(sizes["widths"]), len(sizes["widths"])
    N, B = (settings.positives + 1) * (settings.drawn + 1), settings.batch_size
    learned = K * (sizes["n_users"] + sizes["n_items"]) + K * D + M * K * H + H + H * K + K
    row = 9 * N + (30 + 3 * M) * K + 4 * H + 8 * K * min(B * N, sizes["n_items"]) // B
    need = content_bytes(settings, **sizes, learned=learned, row=row)
    need["rows of content"] += 4 * D * sizes["n_items"]  # once more, by modality
    return need
