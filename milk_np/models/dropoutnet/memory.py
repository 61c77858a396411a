"""Host memory needed for training DropoutNet, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import content_bytes


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`."""
    K, H, D = settings.dim, settings.hidden, sum(sizes["widths"])
    learned = H * (D + 2 * K) + 2 * H * (K + 4)
    frozen = 2 * K * (sizes["n_users"] + sizes["n_items"]) + settings.top_items * sizes["n_users"]
    return content_bytes(settings, **sizes, learned=learned, frozen=frozen, slots=1, row=20 * (H + K))
