"""Masked softmax, and weighted sums of parts: what gates, experts and fusions are made of."""

from __future__ import annotations

from typing import Any

from milk_np.nn.arrays import Array, array_module


def exponentials(x: Array, mask: Array | None, axis: int) -> tuple[Array, Array]:
    """e^(x - top) and top, the largest x along `axis`, where `mask` (bool, the shape of x) is true; 0 elsewhere."""
    xp = array_module(x)
    if mask is not None:
        x = xp.where(mask, x, float(xp.finfo(x.dtype).min) / 2)
    top = x.max(axis=axis, keepdims=True) if x.size else x.sum(axis=axis, keepdims=True)
    powers = x - top
    xp.exp(powers, out=powers)
    if mask is not None:
        powers *= mask.any(axis=axis, keepdims=True)  # all false: every power was e^0
    return powers, top


def softmax_forward(x: Array, mask: Array | None = None, axis: int = -1) -> tuple[Array, Any]:
    """Softmax along `axis` over the places where `mask` (bool, the shape of x) is true; zeros where none is."""
    powers, _ = exponentials(x, mask, axis)
    total = powers.sum(axis=axis, keepdims=True)
    out = powers / array_module(x).where(total > 0, total, 1)
    return out, (out, axis)


def softmax_backward(dout: Array, cache: Any) -> Array:
    """dx = out (dout - sum of out dout); 0 where the mask is false."""
    out, axis = cache
    return out * (dout - (out * dout).sum(axis=axis, keepdims=True))


def mix_forward(weights: Array, parts: Array) -> tuple[Array, Any]:
    """out (n, K) = sum over p of weights (n, P) times parts (P, n, K)."""
    return array_module(parts).einsum("np,pnk->nk", weights, parts), (weights, parts)


def mix_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """dweights (n, P) and dparts (P, n, K)."""
    weights, parts = cache
    xp = array_module(parts)
    return xp.einsum("nk,pnk->np", dout, parts), xp.ascontiguousarray(weights.T)[:, :, None] * dout
