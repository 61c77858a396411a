"""Noise-contrastive losses: a positive among candidates, sampled ones or all of a batch.

Oord, Li and Vinyals 2018 (InfoNCE). For cosines, put rows at unit length first (`row_norm`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.errors import SettingsError
from milk_np.nn.arrays import Array, array_module, compiled, host_kernels
from milk_np.nn.linear import product, product_transposed
from milk_np.nn.reduction import Reduction, reduce_backward, reduce_forward
from milk_np.nn.softmax import exponentials


def nce_forward(
    scores: Array,
    temperature: float = 1.0,
    *,
    positive: Array | int = 0,
    mask: Array | None = None,
    reduction: Reduction = "mean",
    overwrite: bool = False,
) -> tuple[Array, Any]:
    """log sum_n e^(s_tn / temperature) - s_tp / temperature, of scores (B, N).

    The positive p stands in the column `positive` of its row: a number, or one a row (B). `mask` (B, N) bool is false
    for candidates to leave out, such as a user's other positives; the positive always counts. With nothing else: 0.
    `overwrite` puts the slope that the backward pass reads in place of float32 scores of the host: leave them alone
    then. It saves an array of their size; elsewhere it changes nothing.
    """
    if not temperature > 0:
        raise SettingsError(f"temperature is {temperature}; it must be above 0")
    at = array_module(scores).arange(len(scores)), positive
    if mask is not None:
        mask = mask.copy()
        mask[at] = True
    if scores.size and compiled(scores):
        slope = scores if overwrite else np.empty_like(scores)
        values = _compiled(scores, float(temperature), positive, mask, slope)
    else:
        values, slope = _log_share(scores / float(temperature), at, mask)
    out, reduced = reduce_forward(values, reduction)
    return out, (slope, float(temperature), reduced)


def nce_backward(dout: Any, cache: Any) -> Array:
    """dscores (B, N) = (softmax - positive) / temperature."""
    slope, factor = _slope_and_factor(dout, cache)
    return slope * factor


def _slope_and_factor(dout: Any, cache: Any) -> tuple[Array, Array]:
    """softmax - positive (B, N), and what its rows are multiplied by (B, 1)."""
    slope, temperature, reduced = cache
    return slope, reduce_backward(dout, reduced)[:, None] / temperature


def _log_share(z: Array, at: Any, mask: Array | None) -> tuple[Array, Array]:
    """-log softmax of z (B, N) at the positives (B), and its gradient (B, N).

    The other candidates are summed separately: a loss near 0 and its slope keep all their digits.
    """
    xp = array_module(z)
    slope, top = exponentials(z, mask, axis=1)
    own, gap = slope[at], top[:, 0] - z[at]
    slope[at] = 0
    rest = slope.sum(axis=1)
    total = rest + own
    slope /= total[:, None]
    slope[at] = -rest / total
    return xp.where(gap == 0, xp.log1p(rest), xp.log(total) + gap), slope


def _compiled(scores: Array, temperature: float, positive: Array | int, mask: Array | None, slope: Array) -> Array:
    """The same through a kernel, which checks no places; the gradient goes to `slope`."""
    values, columns = np.empty(len(scores), scores.dtype), scores.shape[1]
    places = np.broadcast_to(np.asarray(positive), len(scores))
    if not (-columns <= places.min() and places.max() < columns):
        raise IndexError(f"positive is {places.min()} to {places.max()}; scores have {columns} columns")
    if mask is not None and mask.shape != scores.shape:
        raise IndexError(f"mask is {mask.shape}; scores are {scores.shape}")
    host_kernels().nce(scores, temperature, places, mask, slope, values)
    return values


def info_nce_forward(
    a: Array, b: Array, temperature: float = 1.0, *, within: bool = False, reduction: Reduction = "mean"
) -> tuple[Array, Any]:
    """NCE of every row of a (n, K) with row t of b (n, K) as its positive and all other rows of b as negatives.

    `within` takes the other rows of a as negatives too, as MICRO does (Zhang et al. 2023). Anchors are a's alone: for
    the symmetric loss take both orders. Memory grows with n^2.
    """
    n, xp = len(a), array_module(a)
    candidates = xp.concatenate([b, a]) if within else b
    scores = product(a, candidates.T)
    if within:
        # A row isn't its own negative: far below all others, so that its share is 0 without a mask as large.
        scores[xp.arange(n), xp.arange(n) + len(b)] = float(xp.finfo(a.dtype).min) / 4 * min(1.0, temperature)
    out, cache = nce_forward(scores, temperature, positive=xp.arange(n), reduction=reduction, overwrite=True)
    return out, (a, candidates, len(b), cache)


def info_nce_backward(dout: Any, cache: Any) -> tuple[Array, Array]:
    """da and db (n, K)."""
    a, candidates, others, scored = cache
    slope, factor = _slope_and_factor(dout, scored)  # scales the arrays of width K, not those of width n
    da, dcandidates = product(slope, candidates) * factor, product_transposed(slope, a * factor)
    if len(candidates) > others:
        da += dcandidates[others:]
    return da, dcandidates[:others]


def uniformity_forward(x: Array, t: float = 2.0) -> tuple[Array, Any]:
    """log mean over pairs of rows of e^(-t |x_i - x_j|^2) (Wang and Isola 2020), of x (n, K).

    Rows are usually at unit length. 0 for fewer than two rows.
    """
    n, xp = len(x), array_module(x)
    if n < 2:
        return xp.zeros((), x.dtype), (x, None, float(t))
    squares = xp.einsum("nk,nk->n", x, x)
    distances = xp.maximum(squares[:, None] + squares - 2 * (x @ x.T), 0)
    pairs = (-float(t) * distances).reshape(1, -1)
    powers, top = exponentials(pairs, ~xp.eye(n, dtype=bool).reshape(1, -1), axis=1)
    total = powers.sum()
    return top[0, 0] + xp.log(total / (n * (n - 1))), (x, (powers / total).reshape(n, n), float(t))


def uniformity_backward(dout: Any, cache: Any) -> Array:
    """dx_i = -4 t sum_j share_ij (x_i - x_j), the shares of ordered pairs summing to 1."""
    x, shares, t = cache
    if shares is None:
        return array_module(x).zeros_like(x)
    dx = shares.sum(axis=1)[:, None] * x - shares @ x
    dx *= -4 * t * dout
    return dx
