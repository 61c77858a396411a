"""Host memory needed for training GoRec, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import ADVICE as SHARED
from milk_np.models.content_memory import content_bytes

_FLOAT = 4
ADVICE = {**SHARED, "clusters": "lower --clusters"}
"""By purpose, how to reduce the need."""


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`. Clusters are made of a copy of the training items' content."""
    K, D, B = settings.dim, sum(sizes["widths"]), settings.batch_size
    old = sizes["n_items"] - sizes["n_new_items"]
    C = min(settings.clusters, old)
    frozen = K * (sizes["n_users"] + sizes["n_items"] + C + 2) + C * D
    learned = 4 * D * K + 8 * K * K + 13 * K
    need = content_bytes(settings, **sizes, learned=learned, frozen=frozen, row=4 * D + 40 * K + 4 * B)
    return {**need, "clusters": _FLOAT * (old * (D + 2 * C) + 2 * C * D)}
