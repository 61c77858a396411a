"""Host memory needed for training MTPR, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import content_bytes


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`."""
    K, D = settings.dim, sum(sizes["widths"])
    learned = K * (2 * sizes["n_users"] + sizes["n_items"] + D + 4 * K)
    return content_bytes(settings, **sizes, learned=learned, slots=2, row=30 * K)
