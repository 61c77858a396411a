"""Host memory needed for training Heater, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import content_bytes


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`."""
    K, P, D = settings.dim, settings.experts, sum(sizes["widths"])
    learned = P * (D + 1) * (K + 1) + 4 * K * (K + 2)
    frozen = K * (sizes["n_users"] + sizes["n_items"])
    return content_bytes(settings, **sizes, learned=learned, frozen=frozen, slots=1, row=K * (4 * P + 30))
