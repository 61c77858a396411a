"""Softmax fusion: each row weights its own modalities by attention (MICRO, Zhang et al. 2023)."""

from __future__ import annotations

from typing import Any

from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.arrays import Array
from milk_np.nn.linear import linear_backward, linear_forward
from milk_np.nn.softmax import mix_backward, mix_forward, softmax_backward, softmax_forward


def fusion_forward(parts: Array, W: Array, b: Array, query: Array, owned: Array | None = None) -> tuple[Array, Any]:
    """out (n, K) = sum_m w_m a_m, with w = softmax over m of tanh(a_m W + b) . query.

    parts a (M, n, K), W (K, H), b (H), query (H). Only a row's available modalities, `owned` (n, M) bool, take part:
    a row without any is zeros.
    """
    logits, projected = linear_forward(parts.reshape(-1, parts.shape[2]), W, b)
    hidden, tanhs = tanh_forward(logits)
    weights, weighed = softmax_forward((hidden @ query).reshape(parts.shape[:2]).T, owned)
    out, mixed = mix_forward(weights, parts)
    return out, (projected, query, tanhs, weighed, mixed)


def fusion_backward(dout: Array, cache: Any) -> tuple[Array, Array, Array, Array]:
    """dparts (M, n, K), dW (K, H), db (H) and dquery (H)."""
    projected, query, hidden, weighed, mixed = cache
    dweights, dparts = mix_backward(dout, mixed)
    dscores = softmax_backward(dweights, weighed).T.reshape(-1)
    dx, dW, db = linear_backward(tanh_backward(dscores[:, None] * query, hidden), projected)
    return dparts + dx.reshape(dparts.shape), dW, db, dscores @ hidden
