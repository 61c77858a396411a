"""GAR (Chen et al., *Generative Adversarial Framework for Cold-Start Item Recommendation*, SIGIR 2022,
doi 10.1145/3477495.3531897).

Vectors of users and items are learned from the pairs beforehand and frozen. A generator makes an item's vector from its
content; a recommender of two towers ranks pretrained vectors above generated ones, and the generator learns to be
ranked as high. Both take a step in turn, each with an Adam of its own. Equations: `milk_np.models.gar.objective`.

Departures from the authors' program, and why:

- `alpha` and `beta` are .5 and .5 in place of .05 and .1, which leave new items below a random order on the sets tried
  here: the generator then hardly learns from the pretrained vectors. The published ones are in the tuning space, which
  chose alpha .05 with beta .9 on Last.fm 2K.
- The pretrained vectors are brought to mean 0 and deviation 1 first: at the size that BPR gives them, the distance has
  no weight beside the ranking. They have 64 numbers, as the other models', in place of 200.
- They come from BPR, LightGCN or singular vectors, shared with other systems here, in place of the neural
  collaborative filtering (NCF) of the authors' example.
- Content is imputed and row-normalised, as for every model here, and centred, which was chosen for this project;
  the program takes it as it is. `content` is tuned: it came out centred on Last.fm 2K, standardised on TikTok.
- Both networks and the pretraining learn from the same items, as the authors' additional experiment does.
- The best epoch by the validation metric is kept, with patience 10 as in the program; theirs is NDCG@20.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from milk_np.backends.base import Array
from milk_np.data import Dataset
from milk_np.models.content_memory import ADVICE
from milk_np.models.content_model import ContentModel, Tables
from milk_np.models.gar.memory import training_bytes
from milk_np.models.gar.model_signature import GarSignature
from milk_np.models.gar.objective import (
    FIRST,
    GENERATOR,
    PARTS,
    RECOMMENDER,
    SIDES,
    Batch,
    generator,
    make_forward,
    recommender,
    side_forward,
)
from milk_np.models.gar.sampler import UserSampler
from milk_np.models.inputs import standardised
from milk_np.models.stored import Arrays
from milk_np.nn.adam import Adam
from milk_np.nn.arrays import array_module
from milk_np.nn.embedding import embedding_forward
from milk_np.nn.linear import Rows, whole
from milk_np.nn.start import glorot, tower_start
from milk_np.nn.tables import Optimiser
from milk_np.nn.tower import first_layer, named
from milk_np.training.table_trainer import TableTrainer
from milk_np.training.trainer import Trainer


class Gar(GarSignature, ContentModel):
    """Users and items are what the recommender's towers make of pretrained vectors, or of generated ones."""

    name: ClassVar[str] = "gar"
    memory_need = staticmethod(training_bytes)
    memory_advice = ADVICE
    frozen: ClassVar[tuple[str, ...]] = ("u", "v")
    names: ClassVar[tuple[str, ...]] = (
        *frozen,
        *named("make"),
        *(name for side in SIDES for name in (*named(side, *FIRST), *named(side))),
    )

    def start(self, ds: Dataset, D: int) -> Arrays:
        """Frozen vectors at unit deviation; weights by Glorot's rule."""
        tables = self.pretrained(ds)
        frozen = {"u": standardised(tables.users, np.inf), "v": standardised(tables.items, np.inf)}
        return frozen | initial(D, self.settings.hidden, self.settings.dim, self.settings.seed)

    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """A step of the recommender, then one of the generator."""
        return GarTrainer(self, ds, x)

    def users_of(self, tables: Tables) -> Array:
        """The user side of the recommender for u."""
        return side_forward(tables, "user", tables["u"], train=False)[0]

    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """The item side for v where it isn't 0, elsewhere for what the generator makes."""
        made, _ = make_forward(tables, x, train=False)
        if ids is not None:
            v, _ = embedding_forward(tables["v"], ids)
            made = array_module(made).where((v != 0).any(axis=1)[:, None], v, made)
        return side_forward(tables, "item", made, train=False)[0]


class GarTrainer(TableTrainer):
    """Both networks learn from the same batch, the recommender first."""

    parts: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, model: Gar, ds: Dataset, x: Array) -> None:
        self._settings, self._content = model.settings, whole(x)
        size, seed = model.settings.batch_size, model.settings.seed
        self._sampler = UserSampler(model.backend, ds, batch_size=size, seed=seed)
        optimisers = make_optimisers(model.tables, model.settings.lr, model.backend.kernels)
        super().__init__(model.backend, model.tables, optimisers, model.moved)

    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One step of each network."""
        s, batch = self._settings, self._batch(epoch, step)
        drop = s.seed, "gar", epoch, step
        told, gradients = recommender(self.tables, batch, s.beta, s.reg, (s.recommender_dropout, *drop))
        self.several["recommender"].step(gradients)
        made, gradients = generator(self.tables, batch, s.alpha, s.reg, (s.generator_dropout, *drop))
        self.several["generator"].step(gradients)
        return [*told, *made]

    def _batch(self, epoch: int, step: int) -> Batch:
        users, chosen, drawn = self._sampler.batch(epoch, step)
        (u, _), (v, _), (w, _) = (
            embedding_forward(self.tables[name], ids) for name, ids in (("u", users), ("v", chosen), ("v", drawn))
        )
        x = first_layer(self.tables, "make", Rows.of(self.backend.kernels, self._content, chosen))
        return Batch(u, x, v, w)


def make_optimisers(tables: Tables, lr: float, kernels: Any = None) -> dict[str, Optimiser]:
    """An Adam for each network."""
    parts = {"recommender": RECOMMENDER, "generator": GENERATOR}
    return {name: Adam({each: tables[each] for each in mine}, lr, kernels=kernels) for name, mine in parts.items()}


def initial(D: int, H: int, K: int, seed: int) -> Arrays:
    """Tables of both networks for rows of D numbers, H hidden ones and vectors of K."""

    def tower(name: str, width: int) -> Arrays:
        weights = {"W1": (width, H), "W2": (H, K)}
        return tower_start(
            name, width, H, K, {w: glorot(shape, seed, f"gar-{name}-{w}") for w, shape in weights.items()}
        )

    tables = {**tower("make", D), **tower("user", K), **tower("item", K)}
    for side in SIDES:
        beta, mean, var = (np.zeros(K, np.float32), np.zeros(K, np.float32), np.ones(K, np.float32))
        tables |= dict(zip(named(side, *FIRST), (beta, mean, var), strict=True))
    return tables
