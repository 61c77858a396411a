"""Host memory needed for training MICRO, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.models.content_memory import ADVICE as SHARED
from milk_np.models.content_memory import content_bytes

_FLOAT, _INT = 4, 4
ADVICE = {**SHARED, "graphs": "lower --neighbours", "a batch": "lower --batch-size"}
"""By purpose, how to reduce the need."""


def training_bytes(settings: Any, **sizes: Any) -> dict[str, int]:
    """Bytes by purpose; see `content_bytes`.

    The contrast compares all distinct items of a batch, at most 2 B, with one another, twice. Graphs are kept with
    their transposes; a layer of the graph of pairs holds a table of its own.
    """
    K, M, nodes = settings.dim, len(sizes["widths"]), sizes["n_users"] + sizes["n_items"]
    old = sizes["n_items"] - sizes["n_new_items"]
    items = min(2 * settings.batch_size, max(old, 1))
    edges = 2 * sizes["n_train_pairs"] + nodes + M * settings.neighbours * (old + sizes["n_items"])
    need = content_bytes(
        settings,
        **sizes,
        learned=K * (nodes + K + 2),
        frozen=old * (sum(sizes["widths"]) + M),
        row=2 * (8 * items + (4 * M + 12) * K),
    )
    return {**need, "graphs": 2 * edges * (_FLOAT + 2 * _INT) + _FLOAT * 8 * nodes * K}
