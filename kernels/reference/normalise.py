"""Batch normalisation by the batch's own statistics."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats


def batch_norm(
    x: Floats,
    gamma: Floats,
    beta: Floats,
    eps: float,
    mean: Floats,
    var: Floats,
    inverse: Floats,
    unit: Floats,
    out: Floats,
) -> None:
    """`out` = gamma unit + beta, with `unit` = (x - mean) inverse, `inverse` = 1 / sqrt(var + eps), of x (n, K), n > 0.

    `mean` and `var` (K) are those of the rows, the biased variance; unit and out (n, K).
    """
    mean[...] = x.mean(axis=0)
    var[...] = ((x - mean) ** 2).mean(axis=0)
    inverse[...] = 1 / np.sqrt(var + x.dtype.type(eps))
    unit[...] = (x - mean) * inverse
    out[...] = unit * gamma + beta


def batch_norm_backward(
    dout: Floats, unit: Floats, inverse: Floats, gamma: Floats, dx: Floats, dgamma: Floats, dbeta: Floats
) -> None:
    """`dx` (n, K), through the batch's statistics, `dgamma` and `dbeta` (K), of `dout` (n, K)."""
    dgamma[...] = (dout * unit).sum(axis=0)
    dbeta[...] = dout.sum(axis=0)
    dunit = dout * gamma
    dx[...] = (dunit - dunit.mean(axis=0) - unit * (dunit * unit).mean(axis=0)) * inverse
