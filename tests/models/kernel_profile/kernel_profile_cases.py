"""A data set small enough to write the kernel profile's formulas out on."""

from __future__ import annotations

import numpy as np

import milk_np.kernels.reference as reference
from milk_np.data import Dataset, apply_protocol, make_synthetic

OPTIONS = {"topk": (5,), "valid_metric": "ndcg@5", "smoothing": 5.0, "length_power": "0", "even_exposure": "0"}
WIDTHS = {"image": 9, "text": 5, "audio": 6, "video": 4, "tags": 7}
EMPTY = 30
"""A user without any pair, so that R has fewer directions than users and the smoothing at full rank is exact."""


def small(M: int = 2, protocol: str = "MTMT", mix: tuple[float, ...] = (), half: bool = False) -> Dataset:
    """Fewer users than training items; the last user has no pair."""
    widths = dict(list(WIDTHS.items())[:M])
    ds = make_synthetic(EMPTY, 60, 400, widths, new_items=0.3, seed=2, half=half)
    ds = ds.with_available(ds.available, {"n_users": EMPTY + 1})
    return apply_protocol(ds, protocol, mix=mix, seed=1)


def plain_content(
    raw: list[np.ndarray], ids: np.ndarray, owned: np.ndarray, centres: list[np.ndarray], axes: list[np.ndarray]
) -> list[np.ndarray]:
    """Content (n, r or D) of each modality of the items `ids`, whitened where it has axes, by the reference."""
    out = []
    for m, rows in enumerate(raw):
        x = np.empty((len(ids), rows.shape[1]), np.float32)
        reference.content_rows(rows, ids, owned[:, m], centres[m], x)
        if axes[m].shape[1]:
            inside = x @ axes[m]
            reference.whiten_rows(x, np.linalg.norm(axes[m], axis=0), inside)
            x = inside
        out.append(x)
    return out
