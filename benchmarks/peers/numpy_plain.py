"""MILK training written the slow, obvious way in float64 NumPy: the oracle of the other programs.

One step is the objective of the paper (Eq. 8 to 16, weights as in `objective.py`) and its gradient by the
chain rule, term after term, over all items and without any shortcut: every environment forms its own item
vectors, and gradients are dense arrays filled with `np.add.at`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from objective import Objective

Array = np.ndarray
Params = dict[str, Array]


def step_loss(
    params: Params,
    x: list[Array],
    u: Array,
    i: Array,
    j: Array,
    theta: Array,
    how: Objective,
    owned: Array | None = None,
) -> tuple[dict[str, float], Params]:
    """Loss parts and gradients of one batch.

    Parameters
    ----------
    params : P (U, K), W0 (D_0, K), b0 (K), W1, b1, ...
    x : per modality (I, D_m) unit rows
    u, i, j : (B) users, positive items, negative items
    theta : (E, M) weights of the environments, row 0 the equal ones
    owned : bool (I, M), which modalities an item really has (all, when None); for the alignment only

    Returns
    -------
    parts : loss, risk (sum or mean), bpr (of environment 0), variance, align, reg (all unweighted but loss)
    grads : arrays like params
    """
    M, B = len(x), len(u)
    P = params["P"].astype(np.float64)
    c = [x[m].astype(np.float64) @ params[f"W{m}"].astype(np.float64) + params[f"b{m}"] for m in range(M)]
    dP = np.zeros_like(P)
    dc = [np.zeros_like(part) for part in c]
    losses, slopes = environment_losses(P, c, u, i, j, theta)
    E = len(theta)
    weight = 1.0 if how.risk == "sum" else 1.0 / E
    variance = losses.var(ddof=1) if E > 1 else 0.0
    for e in range(E):
        pull = weight + (how.invariance * 2.0 * (losses[e] - losses.mean()) / (E - 1) if E > 1 else 0.0)
        add_bpr_gradient(dP, dc, P, c, u, i, j, theta[e], pull * slopes[e])
    align = add_align_gradient(dc, c, np.unique(i), owned, how.align)
    norms = add_norm_gradient(dP, dc, P, c, u, i, j, theta[0], how.reg / B)
    risk = weight * losses.sum()
    grads = {"P": dP}
    for m in range(M):
        grads[f"W{m}"] = x[m].T.astype(np.float64) @ dc[m]
        grads[f"b{m}"] = dc[m].sum(axis=0)
    loss = risk + how.invariance * variance + how.align * align + how.reg * norms / B
    parts = {
        "loss": loss,
        "risk": risk,
        "bpr": losses[0],
        "variance": variance,
        "align": align,
        "reg": norms / B,
    }
    return {key: float(value) for key, value in parts.items()}, grads


def mixed(c: list[Array], weights: Array) -> Array:
    """Item vectors z = sum_m theta^m c^m of one environment, (I, K)."""
    return sum(weights[m].astype(np.float64) * c[m] for m in range(len(c)))


def environment_losses(P: Array, c: list[Array], u: Array, i: Array, j: Array, theta: Array) -> tuple[Array, Array]:
    """BPR loss of each environment (E) and its slope over the margins (E, B)."""
    losses, slopes = np.zeros(len(theta)), np.zeros((len(theta), len(u)))
    for e, weights in enumerate(theta):
        z = mixed(c, weights)
        margin = (P[u] * (z[i] - z[j])).sum(axis=1)
        losses[e] = np.logaddexp(0.0, -margin).mean()
        slopes[e] = -1.0 / (1.0 + np.exp(margin)) / len(u)
    return losses, slopes


def add_bpr_gradient(
    dP: Array,
    dc: list[Array],
    P: Array,
    c: list[Array],
    u: Array,
    i: Array,
    j: Array,
    weights: Array,
    slope: Array,
) -> None:
    """Add one environment's share: `slope` (B) is the loss's derivative by the margin."""
    z = mixed(c, weights)
    np.add.at(dP, u, slope[:, None] * (z[i] - z[j]))
    for m, weight in enumerate(weights.astype(np.float64)):
        np.add.at(dc[m], i, weight * slope[:, None] * P[u])
        np.add.at(dc[m], j, -weight * slope[:, None] * P[u])


def add_align_gradient(dc: list[Array], c: list[Array], items: Array, owned: Array | None, scale: float) -> float:
    """Mean squared distance of the modalities of `items`, summed over pairs of modalities; adds scale *
    gradient.
    """
    total = 0.0
    for a, b in combinations(range(len(c)), 2):
        rows = items if owned is None else items[owned[items, a] & owned[items, b]]
        if rows.size == 0:
            continue
        gap = c[a][rows] - c[b][rows]
        total += (gap**2).mean()
        dc[a][rows] += scale * 2.0 * gap / gap.size
        dc[b][rows] -= scale * 2.0 * gap / gap.size
    return total


def add_norm_gradient(
    dP: Array,
    dc: list[Array],
    P: Array,
    c: list[Array],
    u: Array,
    i: Array,
    j: Array,
    weights: Array,
    scale: float,
) -> float:
    """Sum over triplets of the squared lengths of p_u, z_i, z_j in environment 0; adds scale * gradient."""
    z = mixed(c, weights)
    np.add.at(dP, u, scale * 2.0 * P[u])
    for rows in (i, j):
        for m, weight in enumerate(weights.astype(np.float64)):
            np.add.at(dc[m], rows, scale * 2.0 * weight * z[rows])
    return float((P[u] ** 2).sum() + (z[i] ** 2).sum() + (z[j] ** 2).sum())


class Adam:
    """Adam (Kingma and Ba 2015) over a dict of arrays, in place."""

    def __init__(self, params: Params, how: Objective) -> None:
        self.how, self.t = how, 0
        self.first = {key: np.zeros(value.shape) for key, value in params.items()}
        self.second = {key: np.zeros(value.shape) for key, value in params.items()}

    def update(self, params: Params, grads: Params) -> None:
        """One step."""
        how, self.t = self.how, self.t + 1
        for key, grad in grads.items():
            first, second = self.first[key], self.second[key]
            first += (1.0 - how.beta1) * (grad - first)
            second += (1.0 - how.beta2) * (grad**2 - second)
            rate = np.sqrt(second / (1.0 - how.beta2**self.t)) + how.eps
            params[key] -= how.lr / (1.0 - how.beta1**self.t) * first / rate


class Program:
    """The program that the harness drives: `run(steps)` trains on from where it stands."""

    def __init__(self, problem, how: Objective) -> None:
        self.problem, self.how, self.step = problem, how, 0
        self.x = problem.x
        self.params = {key: value.astype(np.float64) for key, value in problem.parameters.items()}
        self.adam = Adam(self.params, how)

    def gradients(self) -> Params:
        """Gradients of the step at hand under the parameters' names, and its "loss", without taking it."""
        parts, grads = step_loss(self.params, self.x, *self.problem.batch(self.step), self.how)
        return grads | {"loss": np.float64(parts["loss"])}

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches; the loss of each."""
        losses = []
        for _ in range(steps):
            grads = self.gradients()
            losses.append(float(grads.pop("loss")))
            self.adam.update(self.params, grads)
            self.step += 1
        return losses

    def state(self) -> Params:
        """Parameters as float32 arrays under the problem's names."""
        return {key: value.astype(np.float32) for key, value in self.params.items()}
