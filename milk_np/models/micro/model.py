"""MICRO in an inductive form (Zhang et al., *Latent Structure Mining With Contrastive Modality Fusion for Multimedia
Recommendation*, TKDE 2023).

Users and training items have vectors. Each modality links an item to the most similar training items; their vectors,
summed, stand for the item in that modality; attention fuses the modalities, and a contrast keeps each near the fusion.
A graph between users and items (LightGCN) adds what the pairs say. A new item has no pairs, so it is the fusion of its
neighbours alone. Equations: `milk_np.models.micro.objective`.

Departures from the authors' program, and why:

- The program is transductive: new items stand in the graphs and have vectors of their own while it trains, so that one
  that comes later can't be served, and new items are drawn as negatives. Here the graphs link training items; a new
  item is linked to training items when it is asked for, and its own vector is 0.
- An item without a modality has no links in it, and attention runs over those that it owns. With imputed rows all items
  that miss a modality would be one another's neighbours, at cosine 1.
- The part of the graph that is learned (a tenth) is left out: the program rebuilds it once an epoch, and its gradient
  is that of one batch. So features aren't moved either.
- The contrast runs over the distinct items of a batch, not all items: its cost is quadratic.
- Cosines below 0 are no links, for they could make sums of links, whose roots are taken, negative. Negatives are
  training items; the program draws new ones too.
- The rate is .001 at first, theirs .0005 (.00001 in their cold-start example, for far longer training): .01 was
  better than .003 on Last.fm 2K. Theirs are rows of Table 2.
- The best epoch is that of the validation metric, evaluated each epoch, with patience 10, as for every system here;
  theirs is that of Recall@20, each fifth epoch, with patience 11 and up to 1,000 epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.data.rows import unit_rows
from milk_np.models.base import Vectors
from milk_np.models.content_model import ContentModel, Tables
from milk_np.models.micro import memory
from milk_np.models.micro.model_signature import MicroSignature
from milk_np.models.micro.neighbours import links, normalised, row_sums
from milk_np.models.micro.objective import (
    LEARNED,
    PARTS,
    Batch,
    Graphs,
    Weights,
    fused,
    objective,
    propagated,
)
from milk_np.models.stored import Arrays
from milk_np.nn.adam import Adam
from milk_np.nn.arrays import array_module
from milk_np.nn.embedding import embedding_forward
from milk_np.nn.graph import Graph, bipartite, graph_forward, make_graph, row_normalised
from milk_np.nn.schedules import exponential
from milk_np.nn.start import glorot, uniform
from milk_np.training.candidates import CandidateSampler, numbered
from milk_np.training.table_trainer import TableTrainer
from milk_np.training.trainer import Trainer

DECAY, DECAY_EPOCHS = 0.96, 50


class Micro(MicroSignature, ContentModel):
    """A user is their vector in the graph of pairs, an item its own there plus the fusion of its neighbours."""

    name: ClassVar[str] = "micro"
    frozen: ClassVar[tuple[str, ...]] = ("landmarks", "sums")
    names: ClassVar[tuple[str, ...]] = (*LEARNED, *frozen)
    memory_need = staticmethod(memory.training_bytes)
    memory_advice = memory.ADVICE

    def start(self, ds: Dataset, D: int) -> Arrays:
        """Vectors, attention, content of the training items, and the sums of their links."""
        x = self.backend.to_host(self._x)[ds.train_items]
        sums = [row_sums(links(self.top_k, part, part, self.settings.neighbours)) for part in self._split(x)]
        frozen = {"landmarks": x, "sums": np.stack(sums, axis=1)}
        return frozen | initial(ds.n_users, len(x), self.settings)

    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """Adam on vectors and attention."""
        return MicroTrainer(self, ds)

    def laid_out(self, x: Vectors, available: NDArray[np.bool_]) -> Vectors:
        """Each modality at unit length again, as cosines need it; zeros where an item doesn't have it."""
        parts = [unit_rows(part) * own[:, None] for part, own in zip(self._split(x), available.T, strict=True)]
        return np.concatenate(parts, axis=1)

    def users_of(self, tables: Tables) -> Array:
        """u."""
        return propagated(tables, self.pairs(), self.settings.layers)[0][: len(tables["P"])]

    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """z: the fusion of the neighbours, and for training items their vector in the graph of pairs as well."""
        graphs, owned = self._links(x, ids)
        parts = array_module(x).stack([graph_forward(graph, tables["Q"])[0] for graph in graphs])
        h, _ = fused(tables, parts, owned)
        if ids is None:
            return h
        both, _ = propagated(tables, self.pairs(), self.settings.layers)
        place = self.places()[self.backend.to_host(ids)]
        nodes = np.where(place < 0, -1, place + len(tables["P"])).astype(np.int32)
        return h + embedding_forward(both, self.backend.asarray(nodes))[0]

    def links_of(self, x: Vectors) -> tuple[tuple[Graph, ...], Array]:
        """Links (n, L) of the rows x (n, D) to the training items by modality; which of them have any, (n, M)."""
        landmarks, sums = (self.backend.to_host(self.tables[name]) for name in self.frozen)
        matrices = []
        for m, (mine, theirs) in enumerate(zip(self._split(x), self._split(landmarks), strict=True)):
            found = links(self.top_k, mine, theirs, self.settings.neighbours)
            matrices.append(normalised(found, sums[:, m], len(landmarks)))
        owned = np.stack([np.diff(matrix.indptr) > 0 for matrix in matrices], axis=1)
        return tuple(self._graph(matrix) for matrix in matrices), self.backend.asarray(owned)

    def _links(self, x: Array, ids: Array | None) -> tuple[tuple[Graph, ...], Array]:
        """`links_of` the rows x (n, D), kept for the items `ids` of the data."""
        if ids is None:
            return self.links_of(self.backend.to_host(x))
        name = self.backend.to_host(ids).tobytes()
        if name not in self._fixed:
            self._fixed[name] = self.links_of(self.backend.to_host(x))
        found: tuple[tuple[Graph, ...], Array] = self._fixed[name]
        return found

    def pairs(self) -> Graph:
        """D^-1 (A + I) over users and training items, from the training pairs."""
        if "pairs" not in self._fixed:
            self._fixed["pairs"] = self._pairs()
        graph: Graph = self._fixed["pairs"]
        return graph

    def _pairs(self) -> Graph:
        user, item = self.catalogue.interactions(Split.TRAIN)
        matrix = bipartite(user, self.places()[item], self.catalogue.n_users, len(self.tables["Q"]))
        return self._graph(row_normalised(matrix, self_loops=True))

    def places(self) -> NDArray[np.int32]:
        """Where each item (I) stands among the training items; -1 for a new one."""
        old = self.catalogue.item_split == Split.TRAIN
        return np.where(old, np.cumsum(old) - 1, -1).astype(np.int32)

    def _graph(self, matrix: Any) -> Graph:
        return make_graph(matrix, np.float32, array_module(self.tables["P"]))

    def _split(self, x: Vectors) -> list[Vectors]:
        """Columns of each modality."""
        ends = np.cumsum(list(self.fitted_imputer().widths.values()))[:-1]
        return np.split(x, ends, axis=1)


class MicroTrainer(TableTrainer):
    """Batches of distinct users, each with one of their items and one that they haven't chosen."""

    parts: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, model: Micro, ds: Dataset) -> None:
        settings = model.settings
        self._size, self._places = int(settings.batch_size), model.places()
        self._sampler = CandidateSampler(model.backend, ds, batch_size=settings.batch_size, seed=settings.seed)
        made, owned = model.links_of(model.backend.to_host(model.tables["landmarks"]))
        self._graphs, self._owned = Graphs(model.pairs(), made, owned), model.backend.to_host(owned)
        self._weights = Weights(settings.contrast, settings.temperature, settings.reg, settings.layers)
        rate = exponential(settings.lr, DECAY, DECAY_EPOCHS * self.steps)
        adam = Adam({name: model.tables[name] for name in LEARNED}, rate, kernels=model.backend.kernels)
        super().__init__(model.backend, model.tables, {"adam": adam}, model.moved)

    @property
    def steps(self) -> int:
        """Batches of an epoch: as many as pairs would fill, as in the authors' program."""
        return int(self._sampler.examples) // self._size + 1

    @property
    def examples(self) -> int:
        """Triplets of an epoch."""
        return self.steps * min(self._size, len(self._sampler.active))

    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One step of Adam."""
        parts, gradients = objective(self.tables, self._graphs, self.batch(epoch, step), self._weights)
        self.several.step(gradients)
        return parts

    def batch(self, epoch: int, step: int) -> Batch:
        """Users without repetition, and an item and a negative of each."""
        sampler, place = self._sampler, self.backend.asarray
        users = sampler.some_users(self._size, "micro-users", epoch, step)
        rows = users + np.int64(step) * self._sampler.n_users
        better = sampler.of_users(users, rows, "micro-items", epoch)
        worse = sampler.negatives(users, rows, 1, "micro-negatives", epoch)[:, 0]
        ids, places = numbered(self._places[np.stack([better, worse])], len(self.tables["Q"]))
        anchors = tuple(place(np.flatnonzero(own).astype(np.int32)) for own in self._owned[ids].T)
        return Batch(place(users), place(ids), place(places[0]), place(places[1]), anchors)


def initial(U: int, L: int, settings: Any) -> Arrays:
    """P (U, K) and Q (L, K) by Xavier's uniform numbers, attention Wq (K, K), bq (K), query (K) up to 1 / sqrt(K)."""
    K, seed = settings.dim, settings.seed
    vectors = {name: glorot((n, K), seed, f"micro-{name}") for name, n in (("P", U), ("Q", L))}
    shapes: dict[str, tuple[int, ...]] = {"Wq": (K, K), "bq": (K,), "query": (K,)}
    return vectors | {name: uniform(shape, K**-0.5, seed, f"micro-{name}") for name, shape in shapes.items()}
