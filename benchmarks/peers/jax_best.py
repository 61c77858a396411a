"""JAX at its best: one jitted step (unique rows, margins, Adam), donated parameters, few shapes.

XLA compiles for fixed shapes, so the batch's unique items, found on the host, are padded to a multiple of
`pad` rows: a handful of compilations serve a whole run. `pad = 0` skips the unique step and extracts all 2 B
rows of the batch. W^m is kept transposed, (K, D_m): XLA forms dC^T X nearly three times as fast as X^T dC.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from objective import Objective


def batch_loss(params, x, items, u, at_i, at_j, positive, theta, how: Objective):
    """The objective of a batch; arguments as in peers/torch_best.py, x (I, D_m) all rows, items (n) the
    unique ones.
    """
    M = len(x)
    rows = [jax.lax.optimization_barrier(part.at[items].get(mode="promise_in_bounds")) for part in x]
    c = [rows[m] @ params[f"W{m}"].T + params[f"b{m}"] for m in range(M)]
    p = params["P"].at[u].get(mode="promise_in_bounds")
    ci, cj = (
        [part.at[at_i].get(mode="promise_in_bounds") for part in c],
        [part.at[at_j].get(mode="promise_in_bounds") for part in c],
    )
    margins = jnp.stack([(p * (a - d)).sum(1) for a, d in zip(ci, cj, strict=True)])
    losses = jax.nn.softplus(-(theta @ margins)).mean(1)
    risk = losses.sum() if how.risk == "sum" else losses.mean()
    zi, zj = sum(ci) / M, sum(cj) / M
    norms = ((p**2).sum() + (zi**2).sum() + (zj**2).sum()) / len(u)
    elements = positive.sum() * p.shape[1]
    align = sum((((c[a] - c[d]) ** 2).sum(1) @ positive) / elements for a, d in combinations(range(M), 2))
    return risk + how.invariance * losses.var(ddof=1) + how.align * align + how.reg * norms


@partial(jax.jit, static_argnames="how", donate_argnums=(0, 1))
def train_step(params, moments, t, x, items, u, at_i, at_j, positive, theta, how: Objective):
    """One optimiser step; parameters and moments are updated in their own memory."""
    loss, grads = jax.value_and_grad(batch_loss)(params, x, items, u, at_i, at_j, positive, theta, how)
    scale1, scale2 = 1.0 - how.beta1**t, 1.0 - how.beta2**t

    def adam(value, moment, grad):
        first = how.beta1 * moment[0] + (1.0 - how.beta1) * grad
        second = how.beta2 * moment[1] + (1.0 - how.beta2) * grad**2
        return value - how.lr * (first / scale1) / (jnp.sqrt(second / scale2) + how.eps), (first, second)

    new = {key: adam(params[key], moments[key], grads[key]) for key in params}
    return {key: pair[0] for key, pair in new.items()}, {key: pair[1] for key, pair in new.items()}, loss


loss_and_gradients = jax.jit(jax.value_and_grad(batch_loss), static_argnames="how")


def turned(key: str, value: np.ndarray) -> np.ndarray:
    """Between the problem's layout and this program's: W transposed, the rest as it is."""
    return np.ascontiguousarray(np.asarray(value).T) if key.startswith("W") else np.asarray(value)


class Program:
    """`run(steps)` trains on; see peers/numpy_plain.py for the contract."""

    def __init__(self, problem, how: Objective, pad: int = 128) -> None:
        self.problem, self.how, self.step, self.pad = problem, how, 0, int(pad)
        self.x = [jnp.asarray(rows) for rows in problem.x]
        self.params = {key: jnp.array(turned(key, value)) for key, value in problem.parameters.items()}
        self.moments = {key: (jnp.zeros_like(value), jnp.zeros_like(value)) for key, value in self.params.items()}

    def inputs(self) -> tuple:
        """Arguments of `batch_loss` after the features, for the step at hand."""
        u, i, j, theta = self.problem.batch(self.step)
        both = np.concatenate((i, j))
        if self.pad:
            items, at = np.unique(both, return_inverse=True)
            at = at.astype(np.int32)
            n = items.size
            items = np.pad(items, (0, -n % self.pad))
            positive = np.zeros(items.size, np.float32)
            positive[at[: len(u)]] = 1.0
        else:
            items, at = both, np.arange(both.size, dtype=np.int32)
            positive = np.zeros(both.size, np.float32)
            positive[np.unique(i, return_index=True)[1]] = 1.0
        return items, u, at[: len(u)], at[len(u) :], positive, theta

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the step at hand and its "loss", without taking it."""
        loss, grads = loss_and_gradients(self.params, self.x, *self.inputs(), how=self.how)
        return {key: turned(key, value) for key, value in grads.items()} | {"loss": float(loss)}

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches; the loss of each."""
        losses = []
        for _ in range(steps):
            t = np.float32(self.step + 1)
            args = (self.params, self.moments, t, self.x, *self.inputs())
            self.params, self.moments, loss = train_step(*args, how=self.how)
            self.step += 1
            losses.append(loss)
        return [float(loss) for loss in losses]

    def state(self) -> dict[str, np.ndarray]:
        """Parameters as float32 arrays under the problem's names."""
        return {key: turned(key, value) for key, value in self.params.items()}
