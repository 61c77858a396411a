"""Risk of the environments (paper Eq. 10 to 13): BPR of every environment, their mean or sum, and their variance."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats


def risk(s: Floats, theta: Floats, base: float, invariance: float, losses: Floats, ds: Floats) -> None:
    """Losses of the E environments and the gradient of the whole risk with respect to the margins.

    y^e_t = sum_m theta_e^m s^m_t with `s` (M, B) and `theta` (E, M); L_e = mean_t softplus(-y^e_t) go to `losses`.
    The risk is `base` * sum_e L_e + `invariance` * Var_e(L_e) with the unbiased variance, zero where E = 1; `base` is
    1/E for the mean and 1 for the sum. `ds` (M, B) receives sum_e theta_e^m w_e (-sigmoid(-y^e_t) / B) with
    w_e = base + 2 invariance (L_e - mean L) / (E - 1).
    """
    E, B = len(theta), s.shape[1]
    y = theta @ s
    losses[...] = np.logaddexp(0, -y).mean(axis=1)
    weights = np.full(E, base, s.dtype)
    if E > 1:
        weights += 2 * invariance / (E - 1) * (losses - losses.mean()).astype(s.dtype)
    slope = -np.exp(-np.logaddexp(0, y)) / B
    ds[...] = theta.T @ (weights[:, None] * slope)
