"""PyTorch autograd at its best: unique rows of the batch, margins for all environments at once, fused Adam.

The same algebra as this project's engine, with gradients by autograd. `compiled` puts the step through
torch.compile.
"""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import torch
from objective import Objective
from torch.nn import functional


def batch_loss(P, W, b, x, u, at_i, at_j, positive, theta, how: Objective):
    """The objective of a batch.

    P (U, K), W[m] (D_m, K), b[m] (K); x[m] (n, D_m) rows of the batch's unique items; u (B); at_i, at_j (B)
    places of the items in those rows; positive (n) 1.0 where a row is a positive item; theta (E, M).
    """
    c = [torch.addmm(bias, rows, weight) for bias, rows, weight in zip(b, x, W, strict=True)]
    p = functional.embedding(u, P)
    # M dot products a triplet serve every environment, because an environment's margin is linear in them.
    ci = [functional.embedding(at_i, part) for part in c]
    cj = [functional.embedding(at_j, part) for part in c]
    margins = torch.stack([(p * (a - d)).sum(1) for a, d in zip(ci, cj, strict=True)])
    losses = functional.softplus(-(theta @ margins)).mean(1)
    risk = losses.sum() if how.risk == "sum" else losses.mean()
    zi, zj = sum(ci) / len(c), sum(cj) / len(c)
    norms = (p.square().sum() + zi.square().sum() + zj.square().sum()) / len(u)
    elements = positive.sum() * P.shape[1]
    align = sum(((c[a] - c[d]).square().sum(1) @ positive) / elements for a, d in combinations(range(len(c)), 2))
    return risk + how.invariance * losses.var() + how.align * align + how.reg * norms


class Program:
    """`run(steps)` trains on; see peers/numpy_plain.py for the contract."""

    def __init__(self, problem, how: Objective, compiled: str = "") -> None:
        torch.set_num_threads(2)
        self.problem, self.how, self.step = problem, how, 0
        self.M = len(problem.shape.widths)
        self.x = [torch.from_numpy(rows) for rows in problem.x]
        # Rows are gathered into the same memory at every step: fresh memory would cost as much as the gather.
        most = 2 * problem.shape.batch
        self.buffer = [torch.empty(most, rows.shape[1]) for rows in self.x]
        start = problem.parameters
        self.params = {key: torch.from_numpy(value).requires_grad_() for key, value in start.items()}
        self.adam = torch.optim.Adam(self.params.values(), how.lr, (how.beta1, how.beta2), how.eps, fused=True)
        self.loss = torch.compile(batch_loss, dynamic=compiled == "dynamic") if compiled else batch_loss

    def inputs(self) -> tuple:
        """Arguments of `batch_loss` for the step at hand: the batch's distinct items and their rows."""
        u, i, j, theta = (torch.from_numpy(part) for part in self.problem.batch(self.step))
        items, at = torch.unique(torch.cat((i, j)), return_inverse=True)
        at_i, at_j = at[: len(u)], at[len(u) :]
        positive = torch.zeros(len(items)).index_fill_(0, at_i, 1.0)
        x = [
            torch.index_select(rows, 0, items, out=buffer[: len(items)])
            for rows, buffer in zip(self.x, self.buffer, strict=True)
        ]
        W = [self.params[f"W{m}"] for m in range(self.M)]
        b = [self.params[f"b{m}"] for m in range(self.M)]
        return self.params["P"], W, b, x, u, at_i, at_j, positive, theta, self.how

    def forward(self) -> torch.Tensor:
        """The loss of the step at hand."""
        return self.loss(*self.inputs())

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the step at hand and its "loss", without taking it."""
        self.adam.zero_grad()
        loss = self.forward()
        loss.backward()
        grads = {key: value.grad.numpy().copy() for key, value in self.params.items()}
        return grads | {"loss": loss.item()}

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches; the loss of each."""
        losses = []
        for _ in range(steps):
            self.adam.zero_grad()
            loss = self.forward()
            loss.backward()
            self.adam.step()
            self.step += 1
            losses.append(loss.item())
        return losses

    def phases(self, steps: int) -> dict[str, float]:
        """Seconds per step of distinct items and their rows, forward, backward and Adam."""
        seconds = dict.fromkeys(("distinct rows", "forward", "backward", "Adam"), 0.0)
        for _ in range(steps):
            self.adam.zero_grad()
            marks = [time.perf_counter()]
            inputs = self.inputs()
            marks.append(time.perf_counter())
            loss = self.loss(*inputs)
            marks.append(time.perf_counter())
            loss.backward()
            marks.append(time.perf_counter())
            self.adam.step()
            marks.append(time.perf_counter())
            self.step += 1
            for name, start, end in zip(seconds, marks, marks[1:], strict=False):
                seconds[name] += (end - start) / steps
        return seconds

    def state(self) -> dict[str, np.ndarray]:
        """Parameters as float32 arrays under the problem's names."""
        return {key: value.detach().numpy().copy() for key, value in self.params.items()}
