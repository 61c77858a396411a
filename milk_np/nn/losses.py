"""Losses of margins, predictions and lengths. `reduction` is "mean" over all values, "sum", or "none".

Published programs differ in it by factors of B or B K; each system states its own.
"""

from __future__ import annotations

from typing import Any

from milk_np.nn.activations import sigmoid
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.reduction import Reduction, reduce_backward, reduce_forward
from milk_np.nn.softmax import exponentials


def bpr_forward(margin: Array, reduction: Reduction = "mean") -> tuple[Array, Any]:
    """softplus(-margin) = -log sigmoid(margin), margins (B) of any shape (Rendle et al. 2009)."""
    out, reduced = reduce_forward(array_module(margin).logaddexp(0, -margin), reduction)
    return out, (margin, reduced)


def bpr_backward(dout: Any, cache: Any) -> Array:
    """dmargin."""
    margin, reduced = cache
    return -sigmoid(-margin) * reduce_backward(dout, reduced)


def squared_error_forward(a: Array, b: Array, reduction: Reduction = "mean") -> tuple[Array, Any]:
    """(a - b)^2, of two arrays of one shape."""
    difference = a - b
    out, reduced = reduce_forward(difference * difference, reduction)
    return out, (difference, reduced)


def squared_error_backward(dout: Any, cache: Any) -> tuple[Array, Array]:
    """da and db."""
    difference, reduced = cache
    da = 2 * difference * reduce_backward(dout, reduced)
    return da, -da


def absolute_error_forward(a: Array, b: Array, reduction: Reduction = "mean") -> tuple[Array, Any]:
    """|a - b|, of two arrays of one shape."""
    difference = a - b
    out, reduced = reduce_forward(abs(difference), reduction)
    return out, (difference, reduced)


def absolute_error_backward(dout: Any, cache: Any) -> tuple[Array, Array]:
    """da and db; 0 where a = b."""
    difference, reduced = cache
    da = array_module(difference).sign(difference) * reduce_backward(dout, reduced)
    return da, -da


def squared_norm_forward(x: Array, reduction: Reduction = "mean") -> tuple[Array, Any]:
    """|x_t|^2 of every row of x (n, K): the regulariser of most systems."""
    out, reduced = reduce_forward(array_module(x).einsum("nk,nk->n", x, x), reduction)
    return out, (x, reduced)


def squared_norm_backward(dout: Any, cache: Any) -> Array:
    """dx (n, K)."""
    x, reduced = cache
    return 2 * reduce_backward(dout, reduced)[:, None] * x


def norm_forward(x: Array, reduction: Reduction = "mean") -> tuple[Array, Any]:
    """|x_t|, not squared, of every row of x (n, K): the regulariser of CLCRec."""
    xp = array_module(x)
    length = xp.sqrt(xp.einsum("nk,nk->n", x, x))
    out, reduced = reduce_forward(length, reduction)
    return out, (x, length, reduced)


def norm_backward(dout: Any, cache: Any) -> Array:
    """dx (n, K); 0 for a row of zeros."""
    x, length, reduced = cache
    return (reduce_backward(dout, reduced) / array_module(x).where(length > 0, length, 1))[:, None] * x


def variance_forward(losses: Array, ddof: int = 1) -> tuple[Array, Any]:
    """Variance of the losses (E) of several environments, as a scalar; 0 if there are no more of them than `ddof`."""
    centred = losses - losses.mean() if len(losses) else losses
    share = 1 / max(1, len(losses) - ddof)
    return (centred * centred).sum() * share, (centred, share)


def variance_backward(dout: Any, cache: Any) -> Array:
    """dlosses (E)."""
    centred, share = cache
    dlosses = centred * (2 * share)
    dlosses *= dout
    return dlosses


def softmax_kl_forward(x: Array, target: Array, reduction: Reduction = "mean") -> tuple[Array, Any]:
    """KL(softmax(target) || softmax(x)) of every row of two arrays (n, K)."""
    share, log_share = _log_softmax(x)
    wanted, log_wanted = _log_softmax(target)
    gap = log_wanted - log_share
    values = (wanted * gap).sum(axis=1)
    out, reduced = reduce_forward(values, reduction)
    return out, (share, wanted, gap - values[:, None], reduced)


def softmax_kl_backward(dout: Any, cache: Any) -> tuple[Array, Array]:
    """dx and dtarget (n, K)."""
    share, wanted, beyond, reduced = cache
    each = reduce_backward(dout, reduced)[:, None]
    return each * (share - wanted), each * wanted * beyond


def _log_softmax(x: Array) -> tuple[Array, Array]:
    """Softmax of the rows of x (n, K), and its logarithm."""
    xp = array_module(x)
    powers, top = exponentials(x, None, axis=1)
    total = powers.sum(axis=1, keepdims=True)
    return powers / total, x - top - xp.log(total)
