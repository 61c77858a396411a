"""PyTorch autograd the way the authors' program works: every environment extracts all items, at every step.

Linear layers over the whole feature tables, once per environment; gradients by autograd; the default Adam.
The alignment takes the vectors of environment 0; `align_apart` extracts all items once more for it.
"""

from __future__ import annotations

import numpy as np
import torch
from objective import Objective
from torch import nn


class Model(nn.Module):
    """User table and one linear extractor per modality."""

    def __init__(self, start: dict[str, np.ndarray], widths: tuple[int, ...]) -> None:
        super().__init__()
        users, dim = start["P"].shape
        self.user = nn.Embedding(users, dim)
        self.extract = nn.ModuleList(nn.Linear(width, dim) for width in widths)
        with torch.no_grad():
            self.user.weight.copy_(torch.from_numpy(start["P"]))
            for m, layer in enumerate(self.extract):
                layer.weight.copy_(torch.from_numpy(start[f"W{m}"]).T)
                layer.bias.copy_(torch.from_numpy(start[f"b{m}"]))

    def items(self, x: list[torch.Tensor], weights: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Extracted vectors of all items and their mix in one environment."""
        parts = [layer(rows) for layer, rows in zip(self.extract, x, strict=True)]
        return parts, sum(weight * part for weight, part in zip(weights, parts, strict=True))


class Program:
    """`run(steps)` trains on; see peers/numpy_plain.py for the contract."""

    def __init__(self, problem, how: Objective, align_apart: bool = False) -> None:
        self.align_apart = align_apart
        torch.set_num_threads(2)
        self.problem, self.how, self.step = problem, how, 0
        self.x = [torch.from_numpy(rows) for rows in problem.x]
        self.model = Model(problem.parameters, problem.shape.widths)
        self.adam = torch.optim.Adam(self.model.parameters(), how.lr, (how.beta1, how.beta2), how.eps)

    def loss(self, u: torch.Tensor, i: torch.Tensor, j: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """The objective of one batch."""
        how, p = self.how, self.model.user(u)
        losses = []
        for e, weights in enumerate(theta):
            parts, z = self.model.items(self.x, weights)
            losses.append(-nn.functional.logsigmoid((p * (z[i] - z[j])).sum(1)).mean())
            if e == 0:
                norms = (p.square().sum() + z[i].square().sum() + z[j].square().sum()) / len(u)
                if self.align_apart:
                    parts = [layer(rows) for layer, rows in zip(self.model.extract, self.x, strict=True)]
                positive = torch.unique(i)
                align = sum(
                    nn.functional.mse_loss(parts[a][positive], parts[b][positive])
                    for a in range(len(parts))
                    for b in range(a + 1, len(parts))
                )
        stacked = torch.stack(losses)
        risk = stacked.sum() if how.risk == "sum" else stacked.mean()
        return risk + how.invariance * stacked.var() + how.align * align + how.reg * norms

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the step at hand and its "loss", without taking it."""
        self.adam.zero_grad()
        loss = self.loss(*(torch.from_numpy(part).long() for part in self.problem.batch(self.step)[:3]), self.theta())
        loss.backward()
        return self.named(lambda tensor: tensor.grad) | {"loss": loss.item()}

    def theta(self) -> torch.Tensor:
        return torch.from_numpy(self.problem.batch(self.step)[3])

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches; the loss of each."""
        losses = []
        for _ in range(steps):
            u, i, j = (torch.from_numpy(part).long() for part in self.problem.batch(self.step)[:3])
            self.adam.zero_grad()
            loss = self.loss(u, i, j, self.theta())
            loss.backward()
            self.adam.step()
            self.step += 1
            losses.append(loss.item())
        return losses

    def named(self, take) -> dict[str, np.ndarray]:
        """`take(parameter)` of every parameter, under the problem's names and in its layout."""
        out = {"P": take(self.model.user.weight)}
        for m, layer in enumerate(self.model.extract):
            out |= {f"W{m}": take(layer.weight).T, f"b{m}": take(layer.bias)}
        return {key: value.detach().numpy().copy() for key, value in out.items()}

    def state(self) -> dict[str, np.ndarray]:
        return self.named(lambda tensor: tensor)
