"""Rows at unit length."""

from __future__ import annotations

from typing import Any

from milk_np.nn.arrays import Array, array_module

EPS = 1e-12


def row_norm_forward(x: Array, eps: float = EPS) -> tuple[Array, Any]:
    """out = x / |x| along the last axis. A row no longer than `eps` has no direction: zeros, and no gradient.

    Lengths are taken of rows divided by their largest number, so squares neither overflow nor vanish. PyTorch's
    `normalize` divides shorter rows by eps instead, which makes gradients of 1e12 at a row of zeros.
    """
    xp = array_module(x)
    largest = abs(x).max(axis=-1, keepdims=True) if x.size else x[..., :1]
    scaled = x / xp.where(largest > 0, largest, 1)
    length = xp.sqrt((scaled * scaled).sum(axis=-1, keepdims=True)) * largest
    inverse = xp.where(length > eps, 1 / xp.where(length > eps, length, 1), 0).astype(x.dtype)
    out = x * inverse
    return out, (out, inverse)


def row_norm_backward(dout: Array, cache: Any) -> Array:
    """dx = (dout - out (out . dout)) / |x|."""
    out, inverse = cache
    return (dout - out * (out * dout).sum(axis=-1, keepdims=True)) * inverse
