"""This project's engine, step by step as in training, on the batches that all programs are given."""

from __future__ import annotations

import numpy as np
from objective import Objective

from milk_np.backends.select import get_backend
from milk_np.data import Dataset, feature_tables
from milk_np.data.arrays import Split
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.extractors import objective as nn_objective
from milk_np.models.extractors import step as milk_step
from milk_np.models.extractors.objective import BackendTable, Weights, parts
from milk_np.models.milk import environments
from milk_np.models.milk.model import Milk


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
        self.problem, self.how, self.step = problem, how, 0
        self.given, self.ds = GivenBatches(problem), dataset(problem, half)
        # This process is for this program alone, so the engine's two sources of randomness can stay replaced.
        milk_step.TripletSampler = lambda *_, **__: self.given
        environments.mixing_weights = lambda *_, **__: problem.theta
        self.model = Milk(**settings(problem, how))
        self.trainer = self.model.trainer(self.ds)
        self.model.load_arrays(problem.parameters)

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches, then bring the untouched rows of P up to date; the loss of each."""
        losses = [self.take_step() for _ in range(steps)]
        self.trainer.flush()
        return losses

    def take_step(self) -> float:
        """One step; its loss, from the means of the epoch so far."""
        at = self.step % self.problem.steps
        self.trainer.step(1, at)
        self.step += 1
        before = at * self.trainer.losses(at)["total"] if at else 0.0
        return (at + 1) * self.trainer.losses(at + 1)["total"] - before

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the step at hand and its "loss", without taking it."""
        at = self.step % self.problem.steps
        users, items = self.given.batch(1, at)
        record = np.zeros(self.problem.theta.shape[1] + 2)
        got = self.objective()(self.model.params, users, items, self.problem.theta[at], record)
        P = np.zeros_like(self.model.params.P)
        P[got.users] = got.P
        named = {f"{k}{m}": x.copy() for k, many in (("W", got.W), ("b", got.b)) for m, x in enumerate(many)}
        return {"P": P, **named, "loss": np.float64(parts(record[None], self.weights())["total"])}

    def weights(self) -> Weights:
        """The engine's form of the objective's weights."""
        return Weights(self.how.invariance, self.how.align, self.how.reg, mean=self.how.risk == "mean")

    def objective(self) -> nn_objective.Objective:
        """The engine's objective, apart from the training."""
        backend = get_backend()
        tables = [BackendTable(t.raw, t.fill, t.source, t.scale) for t in feature_tables(self.ds, self.model.imputer)]
        return nn_objective.Objective(backend, tables, self.ds.available, self.ds.n_users, self.weights())

    def evaluate(self) -> dict[str, float]:
        """Metrics on the valid new items, as in training."""
        self.trainer.flush()
        return evaluate(self.model, self.ds, Split.VALIDATION).metrics

    def state(self) -> dict[str, np.ndarray]:
        """Parameters as float32 arrays under the problem's names."""
        return self.model.arrays()
