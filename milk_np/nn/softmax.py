"""Softmax over some of an axis, and weighted sums of parts: what gates, experts and fusions are made of."""

from __future__ import annotations

from typing import Any

from milk_np.nn.arrays import Array, array_module


def exponentials(x: Array, counted: Array | None, axis: int) -> tuple[Array, Array]:
    """e^(x - top), 0 where not `counted` (bool, the shape of x), and top, the largest x that counts, along `axis`."""
    xp = array_module(x)
    if counted is not None:
        x = xp.where(counted, x, float(xp.finfo(x.dtype).min) / 2)
    top = x.max(axis=axis, keepdims=True) if x.size else x.sum(axis=axis, keepdims=True)
    powers = x - top
    xp.exp(powers, out=powers)
    if counted is not None:
        powers *= counted.any(axis=axis, keepdims=True)  # where nothing counts, all were as low as the top
    return powers, top


def softmax_forward(x: Array, counted: Array | None = None, axis: int = -1) -> tuple[Array, Any]:
    """Shares along `axis`, of those that are `counted` (bool, the shape of x); zeros where nothing is."""
    powers, _ = exponentials(x, counted, axis)
    total = powers.sum(axis=axis, keepdims=True)
    out = powers / array_module(x).where(total > 0, total, 1)
    return out, (out, axis)


def softmax_backward(dout: Array, cache: Any) -> Array:
    """dx = out (dout - sum of out dout); 0 where nothing is counted."""
    out, axis = cache
    return out * (dout - (out * dout).sum(axis=axis, keepdims=True))


def mix_forward(shares: Array, parts: Array) -> tuple[Array, Any]:
    """out (n, K) = sum over p of shares (n, P) times parts (P, n, K)."""
    return array_module(parts).einsum("np,pnk->nk", shares, parts), (shares, parts)


def mix_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """dshares (n, P) and dparts (P, n, K)."""
    shares, parts = cache
    xp = array_module(parts)
    return xp.einsum("nk,pnk->np", dout, parts), xp.ascontiguousarray(shares.T)[:, :, None] * dout
