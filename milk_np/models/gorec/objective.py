"""The objective of GoRec with its gradients, on arrays of either device.

h = tanh(BN([x, v] We));  m = h Wm + bm;  s = h Ws + bs          encoder: N(m, e^s) of content x and CF vector v
m' = x Wpm + bpm;  s' = x Wps + bps                               prior: N(m', e^s') of content alone
z = m + e^(s/2) noise                                             a sample
v^ = tanh(BN([drop(x), z] Wd)) W1 + b1) W2 + b2                   decoder
L = mean (v^ - v)^2 + uniformity log mean_(i<j) e^(-2 |m_i/|m_i| - m_j/|m_j||^2) + weight D

D between the two distributions: "gaussian", mean over rows of KL(N(m, e^s) || N(m', e^s')); "softmax", mean over the
rows' numbers of KL(softmax(z') || softmax(z)), z' = m' + e^(s'/2) noise' being a sample of the prior; "samples", mean
over the rows' numbers of z' (log z' - z) where z' > 0, as PyTorch's KL of the authors' program took raw samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.batch_norm import RunningStats, batch_norm_backward, batch_norm_forward
from milk_np.nn.contrastive import uniformity_backward, uniformity_forward
from milk_np.nn.dropout import dropout_forward
from milk_np.nn.gaussian import (
    gaussian_kl_backward,
    gaussian_kl_forward,
    reparametrise_backward,
    reparametrise_forward,
)
from milk_np.nn.linear import Rows, linear_backward, linear_forward, parts_backward, parts_forward
from milk_np.nn.losses import (
    softmax_kl_backward,
    softmax_kl_forward,
    squared_error_backward,
    squared_error_forward,
)
from milk_np.nn.row_norm import row_norm_backward, row_norm_forward

Tables = Mapping[str, Array]
Gradients = dict[str, Array]
Input = Array | Rows
Gaussian = tuple[Array, Array]
"""Mean and logarithm of the variance, (n, K) each."""

LEARNED = (
    "We", "e_gamma", "e_beta", "Wm", "bm", "Ws", "bs", "Wpm", "bpm", "Wps", "bps",
    "Wd", "d_gamma", "d_beta", "W1", "b1", "W2", "b2",
)  # fmt: skip
RUNNING = ("e_mean", "e_var", "d_mean", "d_var")
PARTS = ("error", "uniformity", "divergence")


class Batch(NamedTuple):
    """n training items: x (n, D) content, an array or `Rows`, v (n, K) CF vectors, seen (n, K) those that the encoder

    sees, two noises (n, K), and rate, seed, name and counters of the dropout.
    """

    x: Input
    v: Array
    seen: Array
    noise: Array
    prior_noise: Array
    drop: tuple[Any, ...]


@dataclass(frozen=True)
class Weights:
    """Weights of the objective, and which divergence."""

    uniformity: float
    divergence: float
    kind: str


def _normed_forward(tables: Tables, part: str, x: list[Input], W: str, *, train: bool) -> tuple[Array, Any]:
    """tanh(BN([x] W)), of parts x side by side."""
    running = RunningStats(tables[f"{part}_mean"], tables[f"{part}_var"])
    h, first = parts_forward(x, tables[W])
    h, normed = batch_norm_forward(h, tables[f"{part}_gamma"], tables[f"{part}_beta"], running, train=train)
    h, tanh = tanh_forward(h)
    return h, (part, W, first, normed, tanh)


def _normed_backward(dout: Array, cache: Any, *, need_dx: bool) -> tuple[list[Array], Gradients]:
    part, W, first, normed, tanh = cache
    dh, dgamma, dbeta = batch_norm_backward(tanh_backward(dout, tanh), normed)
    dx, dW, _ = parts_backward(dh, first, need_dx=need_dx)
    return dx, {W: dW, f"{part}_gamma": dgamma, f"{part}_beta": dbeta}


def posterior_forward(tables: Tables, x: Input, seen: Array, *, train: bool) -> tuple[Gaussian, Any]:
    """m and s of content x (n, D) and vectors `seen` (n, K)."""
    h, of_h = _normed_forward(tables, "e", [x, seen], "We", train=train)
    mean, of_mean = linear_forward(h, tables["Wm"], tables["bm"])
    logvar, of_logvar = linear_forward(h, tables["Ws"], tables["bs"])
    return (mean, logvar), (of_h, of_mean, of_logvar)


def posterior_backward(dmean: Array, dlogvar: Array, cache: Any) -> Gradients:
    """Gradients of the encoder."""
    of_h, of_mean, of_logvar = cache
    dh, dWm, dbm = linear_backward(dmean, of_mean)
    more, dWs, dbs = linear_backward(dlogvar, of_logvar)
    _, gradients = _normed_backward(dh + more, of_h, need_dx=False)
    return gradients | {"Wm": dWm, "bm": dbm, "Ws": dWs, "bs": dbs}


def prior_forward(tables: Tables, x: Input) -> tuple[Gaussian, Any]:
    """m' and s' of content x (n, D)."""
    mean, of_mean = linear_forward(x, tables["Wpm"], tables["bpm"])
    logvar, of_logvar = linear_forward(x, tables["Wps"], tables["bps"])
    return (mean, logvar), (of_mean, of_logvar)


def prior_backward(dmean: Array, dlogvar: Array, cache: Any) -> Gradients:
    """Gradients of the prior."""
    of_mean, of_logvar = cache
    _, dWpm, dbpm = linear_backward(dmean, of_mean, need_dx=False)
    _, dWps, dbps = linear_backward(dlogvar, of_logvar, need_dx=False)
    return {"Wpm": dWpm, "bpm": dbpm, "Wps": dWps, "bps": dbps}


def decode_forward(
    tables: Tables, x: Input, z: Array, *, train: bool, drop: tuple[Any, ...] = (0.0, 0, "")
) -> tuple[Array, Any]:
    """v^ (n, K) of content x (n, D) and z (n, K)."""
    h, of_h = _normed_forward(tables, "d", [_dropped(x, drop), z], "Wd", train=train)
    h, first = linear_forward(h, tables["W1"], tables["b1"])
    out, last = linear_forward(h, tables["W2"], tables["b2"])
    return out, (of_h, first, last)


def _dropped(x: Input, drop: tuple[Any, ...]) -> Input:
    if isinstance(x, Rows) and drop[0]:
        return Rows.whole(x.kernels, dropout_forward(x.dense(), *drop)[0])
    return x if isinstance(x, Rows) else dropout_forward(x, *drop)[0]


def decode_backward(dout: Array, cache: Any) -> tuple[Array, Gradients]:
    """dz (n, K), and the gradients of the decoder."""
    of_h, first, last = cache
    dh, dW2, db2 = linear_backward(dout, last)
    dh, dW1, db1 = linear_backward(dh, first)
    (_, dz), gradients = _normed_backward(dh, of_h, need_dx=True)
    return dz, gradients | {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def objective(tables: Tables, batch: Batch, weights: Weights) -> tuple[list[Any], Gradients]:
    """The parts of L for a batch, and the gradient of every table in LEARNED."""
    posterior, of_posterior = posterior_forward(tables, batch.x, batch.seen, train=True)
    prior, of_prior = prior_forward(tables, batch.x)
    z, of_z = reparametrise_forward(*posterior, batch.noise)
    made, of_made = decode_forward(tables, batch.x, z, train=True, drop=batch.drop)
    error, of_error = squared_error_forward(made, batch.v)
    spread, dspread = _spread(posterior[0], weights.uniformity)
    apart, dz, dposterior, dprior = _DIVERGENCES[weights.kind](posterior, prior, z, batch, weights.divergence)
    back, gradients = decode_backward(squared_error_backward(1.0, of_error)[0], of_made)
    dmean, dlogvar = reparametrise_backward(back if dz is None else back + dz, of_z)
    gradients |= posterior_backward(dmean + dspread + dposterior[0], dlogvar + dposterior[1], of_posterior)
    return [error, spread, apart], gradients | prior_backward(*dprior, of_prior)


def _spread(mean: Array, weight: float) -> tuple[Any, Array]:
    """The weighted uniformity of the means' directions, and its gradient by the means."""
    unit, of_unit = row_norm_forward(mean)
    value, of_value = uniformity_forward(unit)
    return weight * value, row_norm_backward(uniformity_backward(weight, of_value), of_unit)


Divergence = tuple[Any, Any, tuple[Any, Any], Gaussian]
"""The weighted value, and its gradients by z (None for none), the encoder's mean and log variance, and the prior's."""


def _between_gaussians(posterior: Gaussian, prior: Gaussian, z: Array, batch: Batch, weight: float) -> Divergence:
    value, cache = gaussian_kl_forward(*posterior, *prior)
    dmean, dlogvar, dprior_mean, dprior_logvar = gaussian_kl_backward(weight, cache)
    return weight * value, None, (dmean, dlogvar), (dprior_mean, dprior_logvar)


def _between_softmaxes(posterior: Gaussian, prior: Gaussian, z: Array, batch: Batch, weight: float) -> Divergence:
    sample, of_sample = reparametrise_forward(*prior, batch.prior_noise)
    share = weight / z.shape[1]
    value, cache = softmax_kl_forward(z, sample)
    dz, dsample = softmax_kl_backward(share, cache)
    return share * value, dz, (0, 0), reparametrise_backward(dsample, of_sample)


def _between_samples(posterior: Gaussian, prior: Gaussian, z: Array, batch: Batch, weight: float) -> Divergence:
    xp = array_module(z)
    sample, of_sample = reparametrise_forward(*prior, batch.prior_noise)
    share, positive = weight / max(1, z.size), sample > 0
    log = xp.log(xp.where(positive, sample, 1))
    value = (xp.where(positive, sample * (log - z), 0)).sum()
    dz = -share * xp.where(positive, sample, 0)
    dsample = share * xp.where(positive, log + 1 - z, 0)
    return share * value, dz, (0, 0), reparametrise_backward(dsample, of_sample)


_DIVERGENCES = {"gaussian": _between_gaussians, "softmax": _between_softmaxes, "samples": _between_samples}
