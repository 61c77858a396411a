"""BPR over the vectors of a batch, with an L2 penalty: what both kinds of tables are learned by.

L = mean_t softplus(-p_t . (q_t - r_t)) + reg mean_t (|p_t|^2 + |q_t|^2 + |r_t|^2), p being users, q items they chose, r
items they did not (Rendle et al. 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milk_np.nn.arrays import Array
from milk_np.nn.losses import bpr_backward, bpr_forward, squared_norm_backward, squared_norm_forward
from milk_np.nn.margins import margin_backward, margin_forward


def ranking_forward(rows: Sequence[Array]) -> tuple[Array, Any]:
    """Mean of softplus(-p . (q - r)) of `rows` p, q and r, (B, K) each."""
    margin, of_margin = margin_forward(*rows)
    loss, of_loss = bpr_forward(margin)
    return loss, (of_margin, of_loss)


def ranking_backward(cache: Any) -> tuple[Array, Array, Array]:
    """dp, dq and dr (B, K)."""
    of_margin, of_loss = cache
    return margin_backward(bpr_backward(1.0, of_loss), of_margin)


def penalty_forward(rows: Sequence[Array], weight: float) -> tuple[Array, Any]:
    """`weight` times the mean over t of the squared lengths of the rows t of all arrays (B, K)."""
    values, caches = zip(*(squared_norm_forward(x) for x in rows), strict=True)
    return weight * sum(values), (weight, caches)


def penalty_backward(cache: Any) -> list[Array]:
    """The gradient of each array."""
    weight, caches = cache
    return [squared_norm_backward(weight, of_norm) for of_norm in caches]
