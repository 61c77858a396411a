"""Host memory needed for training GAR, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import content_bytes


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`."""
    K, H, D = settings.dim, settings.hidden, sum(sizes["widths"])
    learned = H * (D + K + 4) + 2 * (2 * K * H + 4 * H + 4 * K)
    frozen = K * (sizes["n_users"] + sizes["n_items"])
    return content_bytes(settings, **sizes, learned=learned, frozen=frozen, slots=2, row=3 * 10 * (H + K))
