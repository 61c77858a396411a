"""This project's engine, step by step as in training, on the batches that all programs are given."""

from __future__ import annotations

import numpy as np
from objective import Objective

from milk_np.data import Dataset
from milk_np.models.milk import Milk
from milk_np.nn.objective import parts


class GivenBatches:
    """Stands in for the engine's sampler: the problem's triplets, assembled beforehand."""

    def __init__(self, problem) -> None:
        self.steps, self.n_triplets = problem.steps, problem.u.size
        batches = [problem.batch(step) for step in range(problem.steps)]
        self._batches = [(u, np.concatenate((i, j))) for u, i, j, _ in batches]

    def batch(self, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Users and items of a step."""
        return self._batches[step]


def dataset(problem, half: bool = False) -> Dataset:
    """The problem as a data set of the project, nothing missing; `half` stores the features as float16."""
    features = {f"x{m}": rows.astype(np.float16) if half else rows for m, rows in enumerate(problem.x)}
    available = np.ones((problem.shape.items, len(features)), bool)
    pairs = (problem.user, problem.item, problem.split, problem.item_split)
    return Dataset(*pairs, tuple(features), features, available)


def settings(problem, how: Objective) -> dict:
    """Options of `Milk` that give this objective."""
    return {
        "preset": "reference",
        "risk": how.risk,
        "dim": problem.shape.dim,
        "lr": how.lr,
        "batch_size": problem.shape.batch,
        "invariance_weight": how.invariance,
        "align_weight": how.align,
        "reg": how.reg,
        "dirichlet_alpha": problem.shape.alpha,
    }


class Program:
    """`run(steps)` trains on; see peers/numpy_plain.py for the contract."""

    def __init__(self, problem, how: Objective, half: bool = False) -> None:
        self.step = 0
        self.model = Milk(**settings(problem, how))
        self.model.begin(dataset(problem, half))
        self.model.restore(problem.parameters)
        self.engine = self.model._step
        self.engine.sampler = GivenBatches(problem)
        self.theta = problem.theta
        self.steps = problem.steps

    def take_step(self) -> float:
        """One step; its loss."""
        at = self.step % self.steps
        self.engine._theta = (1, self.theta)
        self.engine.run(1, at)
        self.step += 1
        return self.loss(at)

    def loss(self, at: int) -> float:
        """The objective's value at step `at` of the present epoch."""
        return parts(self.engine._record[at : at + 1], self.engine._weights)["total"]

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the step at hand and its "loss", without taking it."""
        at = self.step % self.steps
        users, items = self.engine.sampler.batch(1, at)
        self.model.settle()
        got = self.engine._objective(self.model.params, users, items, self.theta[at], self.engine._record[at])
        P = np.zeros_like(self.model.params.P)
        P[got.users] = got.P
        named = {f"{k}{m}": x.copy() for k, many in (("W", got.W), ("b", got.b)) for m, x in enumerate(many)}
        return {"P": P, **named, "loss": np.float64(self.loss(at))}

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches, then bring the untouched rows of P up to date; the loss of each."""
        losses = [self.take_step() for _ in range(steps)]
        self.model.settle()
        return losses

    def state(self) -> dict[str, np.ndarray]:
        """Parameters as float32 arrays under the problem's names."""
        return self.model.parameters()
