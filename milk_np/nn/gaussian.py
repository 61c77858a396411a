"""Diagonal Gaussians: divergence between two of them, and samples that gradients go through."""

from __future__ import annotations

from typing import Any

from milk_np.nn.arrays import Array, array_module
from milk_np.nn.reduction import Reduction, reduce_backward, reduce_forward


def gaussian_kl_forward(
    mean: Array, logvar: Array, prior_mean: Array, prior_logvar: Array, reduction: Reduction = "mean"
) -> tuple[Array, Any]:
    """KL(N(mean, e^logvar) || N(prior)) of every row, of four arrays (n, K):

    1/2 sum_k [log c - log v + (v + (m - m_c)^2) / c - 1], v and c being the variances.
    """
    xp = array_module(mean)
    ratio, precision, gap = xp.exp(logvar - prior_logvar), xp.exp(-prior_logvar), mean - prior_mean
    far = gap * gap * precision
    values = ((xp.expm1(logvar - prior_logvar) - (logvar - prior_logvar) + far) / 2).sum(axis=1)
    out, reduced = reduce_forward(values, reduction)
    return out, (ratio, gap * precision, far, reduced)


def gaussian_kl_backward(dout: Any, cache: Any) -> tuple[Array, Array, Array, Array]:
    """dmean, dlogvar, dprior_mean and dprior_logvar (n, K)."""
    ratio, pull, far, reduced = cache
    each = reduce_backward(dout, reduced)[:, None]
    dmean = each * pull
    return dmean, each * (ratio - 1) / 2, -dmean, each * (1 - ratio - far) / 2


def standard_kl_forward(mean: Array, logvar: Array, reduction: Reduction = "mean") -> tuple[Array, Any]:
    """The same to N(0, 1): 1/2 sum_k [v + m^2 - 1 - log v] of every row, of two arrays (n, K)."""
    growth = array_module(mean).expm1(logvar)
    out, reduced = reduce_forward(((growth - logvar + mean * mean) / 2).sum(axis=1), reduction)
    return out, (mean, growth, reduced)


def standard_kl_backward(dout: Any, cache: Any) -> tuple[Array, Array]:
    """dmean and dlogvar (n, K)."""
    mean, growth, reduced = cache
    each = reduce_backward(dout, reduced)[:, None]
    return each * mean, each * growth / 2


def reparametrise_forward(mean: Array, logvar: Array, noise: Array) -> tuple[Array, Any]:
    """out (n, K) = mean + e^(logvar / 2) noise, with the noise of `keyed.normals` (Kingma and Welling 2014)."""
    spread = array_module(mean).exp(logvar / 2) * noise
    return mean + spread, spread


def reparametrise_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """dmean and dlogvar (n, K)."""
    return dout, dout * cache / 2
