"""Heater (Zhu et al., *Recommendation for New Users and New Items via Randomized Training and Mixture-of-Experts
Transformation*, SIGIR 2020, doi 10.1145/3397271.3401178).

Vectors of users and items are learned from the pairs beforehand and frozen: u and v. A mixture of experts makes v' of
an item's content, close to v; in training a tower takes v' in half of the rows, v in the others, so that at serving it
can take v' for items that have no v. Equations: `milk_np.models.heater.objective`.

Departures from the authors' program, and why:

- Users have no experts: the paper's make a new user's vector of content of users, of which there is none here.
- A batch's distinct items pass the experts once, not each row: the same numbers, less work.
- Content is imputed and row-normalised, as for every model here, and centred; the program standardises what it is given
  (`content` "standard"), which was worse here. Such rows are shorter, so the rate is .02 in place of .005.
- alpha is per 1024 rows: with another batch size the sum is scaled, so that the balance of the terms stays.
- The pretrained vectors have 64 numbers in place of 200, as wide as the other models', and so have the experts. They
  come from BPR as the authors', or, if asked for, from LightGCN or singular vectors.
- The best epoch by the validation metric is kept, with patience 10, as everywhere here; the program runs 100 epochs and
  keeps that of the best sum of recalls.
- Users without training pairs have the vector 0; the program gives them what the pretraining started from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.models.content_memory import ADVICE
from milk_np.models.content_model import ContentModel, Tables
from milk_np.models.heater.memory import training_bytes
from milk_np.models.heater.model_signature import HeaterSignature
from milk_np.models.heater.objective import EXPERTS, MOVED, NORM, PARTS, Batch, content_forward, objective
from milk_np.models.heater.sampler import PointSampler
from milk_np.models.inputs import standardised
from milk_np.models.stored import Arrays
from milk_np.nn.arrays import array_module
from milk_np.nn.embedding import distinct, embedding_forward
from milk_np.nn.linear import Rows, whole
from milk_np.nn.schedules import staircase
from milk_np.nn.sgd import SGD
from milk_np.nn.start import tower_start, truncated
from milk_np.nn.switch import choose_rows
from milk_np.nn.tower import named, tower_forward
from milk_np.training.table_trainer import TableTrainer
from milk_np.training.trainer import Trainer

DEVIATION = 0.01
USER_CLIP, ITEM_CLIP = 5.0, 1.0
"""Where standardised vectors are cut; those of items are what a tanh has to reach."""
ROWS = 1024
"""The batch size that alpha is given for."""
DECAY_EPOCHS = 10


class Heater(HeaterSignature, ContentModel):
    """Users and items are what two towers make of pretrained vectors; for a new item content stands in for its own."""

    name: ClassVar[str] = "heater"
    memory_need = staticmethod(training_bytes)
    memory_advice = ADVICE
    frozen: ClassVar[tuple[str, ...]] = ("u", "v")
    names: ClassVar[tuple[str, ...]] = ("u", "v", *EXPERTS, *named("user"), *named("item"))

    def start(self, ds: Dataset, D: int) -> Arrays:
        """Frozen vectors, standardised; truncated normal weights."""
        tables = self.pretrained(ds)
        frozen = {"u": standardised(tables.users, USER_CLIP), "v": standardised(tables.items, ITEM_CLIP)}
        return frozen | initial(D, self.settings.dim, self.settings.experts, self.settings.seed)

    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """Momentum descent on all weights."""
        return HeaterTrainer(self, ds, x)

    def users_of(self, tables: Tables) -> Array:
        """The user tower's output for u."""
        return tower_forward(tables, "user", tables["u"], NORM, train=False)[0]

    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """The item tower's output for v where it isn't 0, elsewhere for v', made of content."""
        made, _ = content_forward(tables, x)
        if ids is not None:
            v, _ = embedding_forward(tables["v"], ids)
            known = (v != 0).any(axis=1)
            made = array_module(made).where(known[:, None], v, made)
        return tower_forward(tables, "item", made, NORM, train=False)[0]


class HeaterTrainer(TableTrainer):
    """Batches of pairs and drawn non-pairs."""

    parts: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, model: Heater, ds: Dataset, x: Array) -> None:
        settings = self._settings = model.settings
        self._content, self._sampler = whole(x), _sampler(model.backend, ds, settings)
        optimiser = make_optimiser(model.tables, settings, self.steps)
        super().__init__(model.backend, model.tables, {"momentum": optimiser}, model.moved)

    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One step of momentum descent."""
        settings, batch = self._settings, self._batch(epoch, step)
        parts, gradients = objective(self.tables, batch, settings.alpha * ROWS / settings.batch_size, settings.reg)
        self.several.step(gradients)
        return parts

    def _batch(self, epoch: int, step: int) -> Batch:
        users, items, labels = self._sampler.batch(epoch, step)
        ids, slot = distinct(items)
        xp, settings = array_module(users), self._settings
        replaced = choose_rows(xp, len(users), settings.replaced, settings.seed, "heater-replaced", epoch, step)
        u, v = (embedding_forward(self.tables[name], at)[0] for name, at in (("u", users), ("v", items)))
        x = Rows(self.backend.kernels, self._content, ids.astype(np.int32), None)
        return Batch(x, slot, u, v, labels, replaced)


def _sampler(backend: Backend, ds: Dataset, settings: Any) -> PointSampler:
    return PointSampler(backend, ds, drawn=settings.drawn, batch_size=settings.batch_size, seed=settings.seed)


def make_optimiser(tables: Tables, settings: Any, steps: int) -> SGD:
    """Momentum descent whose rate falls every ten epochs of `steps` steps."""
    rate = staircase(settings.lr, settings.lr_decay, DECAY_EPOCHS * steps)
    return SGD({name: tables[name] for name in MOVED}, rate, settings.momentum)


def initial(D: int, K: int, P: int, seed: int) -> Arrays:
    """Tables of gates, experts and both towers for rows of D numbers and vectors of K."""

    def draw(name: str, *shape: int) -> Any:
        return truncated(shape, DEVIATION, seed, f"heater-{name}")

    experts = {
        "gate_W": draw("gate_W", D, P),
        "gate_b": np.zeros(P, np.float32),
        "experts_W": draw("experts_W", P, D, K),
        "experts_b": np.zeros((P, K), np.float32),
    }
    for tower in ("user", "item"):
        weights = {name: draw(f"{tower}-{name}", K, K) for name in ("W1", "W2")}
        experts |= tower_start(tower, K, K, K, weights)
    return experts
