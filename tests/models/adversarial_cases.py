"""A small adversarial model, as a system would bring it: this file and a row of the registry, nothing else.

A table of users and training items is learned beforehand and frozen: P (U, K), V (I, K), the leading singular vectors
of the pairs. A generator makes item vectors from content, a discriminator tells them from those of V:

z = tanh(dropout(batch norm(x W + b))) A             generator
s(u, v) = p_u M v                                    discriminator
L_D = mean softplus(-s(u, v_i)) + softplus(s(u, z_i))
L_G = mean softplus(-s(u, z_i)) + weight mean |z_i - v_i|^2
score: p_u z_i

Both take a step in turn, each with an Adam of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.numba import NumpyBackend
from milk_np.data import Dataset, feature_tables, make_imputer
from milk_np.data.arrays import Split
from milk_np.files import require
from milk_np.models import registry
from milk_np.models.base import Vectors
from milk_np.models.stepped import SteppedModel
from milk_np.models.stored import Arrays
from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.adam import Adam
from milk_np.nn.batch_norm import RunningStats, batch_norm_backward, batch_norm_forward
from milk_np.nn.dropout import dropout_backward, dropout_forward
from milk_np.nn.linear import linear_backward, linear_forward
from milk_np.nn.losses import bpr_backward, bpr_forward, squared_norm_backward, squared_norm_forward
from milk_np.nn.margins import row_dot_backward, row_dot_forward
from milk_np.nn.several import Several
from milk_np.rng import generator
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.ranking import TopK, cpu_top_k
from milk_np.settings.option import option
from milk_np.settings.shared import Space
from milk_np.settings.steps import StepSettings
from milk_np.training.sampler import TripletSampler
from milk_np.training.trainer import Trainer

NAME = "adversarial"
GENERATOR, DISCRIMINATOR = ("W", "b", "gamma", "beta", "A"), ("M",)
RUNNING, FROZEN = ("running_mean", "running_var"), ("P", "V")


@dataclass(frozen=True)
class AdversarialSettings(StepSettings):
    """Settings of the adversarial model."""

    title: ClassVar[str] = "adversarial"

    model: str = option(NAME, str, "model", "what to train", choices=(NAME,), metavar="NAME")
    dim: int = option(16, int, "model", "latent width K", low=1)
    dropout: float = option(0.1, float, NAME, "share of the hidden numbers that is dropped", low=0, high=0.9)
    distance: float = option(1.0, float, NAME, "weight of the distance to the frozen vectors", low=0)

    def tuning_space(self) -> Space:
        """Learning rate and dropout."""
        return {"lr": (1e-3, 1e-2), "dropout": (0.0, 0.2)}


class Adversarial(SteppedModel):
    """The model: a user is p_u, an item what the generator makes of its content."""

    name: ClassVar[str] = NAME

    def __init__(self, settings: Any = None, **options: Any) -> None:
        super().__init__(settings, **options)
        self.tables: Arrays = {}
        self._content: Vectors | None = None

    def trainer(self, ds: Dataset) -> Trainer:
        """The frozen tables, learned beforehand, and parameters to start from."""
        self.imputer, self._catalogue = make_imputer(self.settings.impute).fit(ds), Catalogue.of(ds)
        self._content = np.hstack([table.rows() for table in feature_tables(ds, self.imputer)])
        self.tables = pretrained(ds, self.settings.dim) | initial(self._content.shape[1], self.settings)
        return AdversarialTrainer(self.tables, self._content, ds, self.settings)

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        P: Vectors = self._fitted()["P"]
        return P if users is None else P[users]

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        self._fitted()
        if self._content is None:
            return self._stored_items() if items is None else self._stored_items()[items]
        return generate(self.tables, self._content if items is None else self._content[items])[0]

    def encode_items(self, features: Mapping[str, Any], available: NDArray[np.bool_] | None = None) -> Vectors:
        rows = self.fitted_imputer().complete(features, available)
        unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in rows.values()]
        return generate(self._fitted(), np.hstack(unit).astype(np.float32))[0]

    @property
    def top_k(self) -> TopK:
        return cpu_top_k()

    def arrays(self) -> Arrays:
        return {name: array.copy() for name, array in self._fitted().items()}

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        for name, array in self._fitted().items():
            array[...] = arrays[name]

    def save(self, path: str | Path) -> None:
        self._write(path, self.tables)

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        super()._read(path, arrays)
        names = (*GENERATOR, *DISCRIMINATOR, *RUNNING, *FROZEN)
        require(path, arrays, *names)
        self.tables = {name: arrays[name] for name in names}

    def _fitted(self) -> Arrays:
        if not self.tables:
            raise self._unfitted()
        return self.tables


class AdversarialTrainer(Trainer):
    """A step of the discriminator, then one of the generator, on the same batch."""

    def __init__(self, tables: Arrays, content: Vectors, ds: Dataset, settings: AdversarialSettings) -> None:
        self.tables, self.content, self.settings = tables, content, settings
        self.sampler = TripletSampler(
            NumpyBackend(), ds, negatives="train", batch_size=settings.batch_size, seed=settings.seed
        )
        optimisers = {"generator": GENERATOR, "discriminator": DISCRIMINATOR}
        self.several = Several(
            {name: Adam({key: tables[key] for key in keys}, settings.lr) for name, keys in optimisers.items()}
        )
        self.record = np.zeros((self.sampler.steps, 3))

    @property
    def steps(self) -> int:
        return self.sampler.steps

    @property
    def examples(self) -> int:
        return self.sampler.n_triplets

    def step(self, epoch: int, step: int) -> None:
        users, items = self.sampler.batch(epoch, step)
        items = items[: len(users)]
        fake, _ = self._generate(items, epoch, step)
        self.record[step, 1], gradients = discriminator_loss(self.tables, users, items, fake)
        self.several["discriminator"].step(gradients)
        fake, cache = self._generate(items, epoch, step)
        self.record[step, 0], self.record[step, 2], dfake = generator_loss(
            self.tables, users, items, fake, self.settings.distance
        )
        self.several["generator"].step(generate_backward(dfake, cache))

    def _generate(self, items: NDArray[np.int32], epoch: int, step: int) -> tuple[Vectors, Any]:
        drop = (self.settings.dropout, self.settings.seed, "adversarial", epoch, step)
        return generate(self.tables, self.content[items], drop)

    def losses(self, steps: int) -> dict[str, float]:
        generated, told, distance = self.record[:steps].mean(axis=0).tolist()
        total = generated + told + distance
        return {"total": total, "generator": generated, "discriminator": told, "distance": distance}

    def state(self) -> Arrays:
        return {**self.tables, "record": self.record, **self.several.state()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        for name, array in self.tables.items():
            array[...] = state[name]
        self.record[...] = state["record"]
        self.several.load_state({name: array for name, array in state.items() if "/" in name})

    def diagnosis(self) -> str:
        bad = [name for name, array in self.tables.items() if not np.isfinite(array).all()]
        return f"not finite: {', '.join(bad) or 'no table'}"


def pretrained(ds: Dataset, K: int) -> Arrays:
    """P (U, K) and V (I, K): singular vectors of the training pairs, at lengths of about 1."""
    pairs = np.zeros((ds.n_users, ds.n_items))
    pairs[ds.interactions(Split.TRAIN)] = 1
    u, s, vt = np.linalg.svd(pairs, full_matrices=False)
    root = np.sqrt(s[:K])
    return {"P": (u[:, :K] * root).astype(np.float32), "V": (vt[:K].T * root).astype(np.float32)}


def initial(D: int, settings: AdversarialSettings) -> Arrays:
    """Tables of the generator (D inputs) and of the discriminator, and running means."""
    K, rng = settings.dim, generator(settings.seed, "adversarial-start")
    drawn = {"W": rng.standard_normal((D, K)) / D**0.5, "A": rng.standard_normal((K, K)) / K**0.5, "M": np.eye(K)}
    fixed = {"b": np.zeros(K), "gamma": np.ones(K), "beta": np.zeros(K)}
    running = dict(zip(RUNNING, (np.zeros(K), np.ones(K)), strict=True))
    return {name: array.astype(np.float32) for name, array in {**drawn, **fixed, **running}.items()}


def generate(tables: Mapping[str, Any], x: Any, drop: tuple[Any, ...] | None = None) -> tuple[Any, Any]:
    """z (n, K) of content x (n, D); with `drop`, in training: rate, seed, name and counters of the dropout."""
    running = RunningStats(*(tables[name] for name in RUNNING))
    h, first = linear_forward(x, tables["W"], tables["b"])
    h, norm = batch_norm_forward(h, tables["gamma"], tables["beta"], running, train=drop is not None)
    h, dropped = dropout_forward(h, *(drop or (0.0, 0, "")))
    h, tanh = tanh_forward(h)
    z, last = linear_forward(h, tables["A"])
    return z, (first, norm, dropped, tanh, last)


def generate_backward(dz: Any, cache: Any) -> dict[str, Any]:
    """Gradients of the generator's tables."""
    first, norm, dropped, tanh, last = cache
    dh, dA, _ = linear_backward(dz, last)
    dh = dropout_backward(tanh_backward(dh, tanh), dropped)
    dh, dgamma, dbeta = batch_norm_backward(dh, norm)
    _, dW, db = linear_backward(dh, first, need_dx=False)
    return {"W": dW, "b": db, "gamma": dgamma, "beta": dbeta, "A": dA}


def discriminator_loss(tables: Mapping[str, Any], users: Any, items: Any, fake: Any) -> tuple[float, dict[str, Any]]:
    """L_D and the gradient of M, the vectors `fake` (B, K) being given."""
    p, real, M = tables["P"][users], tables["V"][items], tables["M"]
    q = p @ M
    s_real, _ = row_dot_forward(q, real)
    s_fake, _ = row_dot_forward(q, fake)
    loss_real, of_real = bpr_forward(s_real)
    loss_fake, of_fake = bpr_forward(-s_fake)
    dq = bpr_backward(1.0, of_real)[:, None] * real - bpr_backward(1.0, of_fake)[:, None] * fake
    return float(loss_real + loss_fake), {"M": (p.T @ dq).astype(M.dtype)}


def generator_loss(
    tables: Mapping[str, Any], users: Any, items: Any, fake: Any, weight: float
) -> tuple[float, float, Any]:
    """The two parts of L_G, and the gradient of `fake` (B, K)."""
    q = tables["P"][users] @ tables["M"]
    s, dots = row_dot_forward(q, fake)
    fooled, of_s = bpr_forward(s)
    away, of_away = squared_norm_forward(fake - tables["V"][items])
    _, dfake = row_dot_backward(bpr_backward(1.0, of_s), dots)
    return float(fooled), float(weight * away), (dfake + squared_norm_backward(weight, of_away)).astype(fake.dtype)


@contextmanager
def registered() -> Iterator[None]:
    """The row of the registry."""
    registry.MODELS[NAME] = registry.Row("adversarial_cases:AdversarialSettings", "adversarial_cases:Adversarial")
    try:
        yield
    finally:
        del registry.MODELS[NAME]
