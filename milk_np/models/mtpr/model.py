"""MTPR (Du et al., *How to Learn Item Representation for Cold-Start Multimedia Recommendation?*, ACM Multimedia 2020,
doi 10.1145/3394171.3413628).

An item has a vector of its own and content. Every triplet is ranked four times, with either item as it is and as it
would be without a vector of its own, so that content alone comes to rank new items among known ones. Equations:
`milk_np.models.mtpr.objective`.

Departures from the authors' program, and why:

- A new item is scored without a vector of its own, as the paper means it. The program scores it with the random
  vector that it started from.
- Content is imputed and row-normalised, as for every model here, and centred, which was chosen for this project;
  the program reduces it to 64 numbers by principal components. `content` is tuned: it came out uncentred.
- 64 numbers a vector, as for the other models, in place of 32.
- The last batch of an epoch, which is smaller, is used; the program drops it.
- The best epoch by the validation metric is kept, with patience 10, as for every system; theirs is the last of 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from milk_np.backends.base import Array
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.models.content_memory import ADVICE
from milk_np.models.content_model import ContentModel, Tables
from milk_np.models.mtpr.memory import training_bytes
from milk_np.models.mtpr.model_signature import MtprSignature
from milk_np.models.mtpr.objective import PARTS, WEIGHTS, Batch, objective
from milk_np.models.stored import Arrays
from milk_np.nn.adam import Adam
from milk_np.nn.embedding import distinct, embedding_backward_rows, embedding_forward
from milk_np.nn.linear import Rows, whole
from milk_np.nn.sgd import AdagradRows
from milk_np.nn.start import normal
from milk_np.nn.tables import Optimiser
from milk_np.training.sampler import TripletSampler
from milk_np.training.table_trainer import TableTrainer
from milk_np.training.trainer import Trainer

DEVIATION = 0.01
VECTORS = ("P", "Q")


class Mtpr(MtprSignature, ContentModel):
    """A user is P_u W_u, an item q_i W_q + x_i W W_x, a new item x_i W W_x."""

    name: ClassVar[str] = "mtpr"
    memory_need = staticmethod(training_bytes)
    memory_advice = ADVICE
    names: ClassVar[tuple[str, ...]] = (*VECTORS, *WEIGHTS)

    def start(self, ds: Dataset, D: int) -> Arrays:
        """Normal numbers; items without training pairs have no vector of their own."""
        K, seed = self.settings.dim, self.settings.seed
        shapes = {"P": (ds.n_users, 2 * K), "Q": (ds.n_items, K), "W": (D, K), "W_u": (2 * K, K)}
        shapes |= {"W_q": (K, K), "W_x": (K, K)}
        tables: Arrays = {name: normal(shape, DEVIATION, seed, f"mtpr-{name}") for name, shape in shapes.items()}
        for name, ids in zip(VECTORS, ds.interactions(Split.TRAIN), strict=True):
            tables[name][np.setdiff1d(np.arange(len(tables[name])), ids)] = 0
        return tables

    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """Adagrad on the vectors, Adam on the weights."""
        return MtprTrainer(self, ds, x)

    def users_of(self, tables: Tables) -> Array:
        """P W_u."""
        return tables["P"] @ tables["W_u"]

    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """x W W_x, and q W_q for items of the data; q is zero without training pairs."""
        content = x @ tables["W"] @ tables["W_x"]
        return content if ids is None else content + embedding_forward(tables["Q"], ids)[0] @ tables["W_q"]


class MtprTrainer(TableTrainer):
    """Batches of triplets, two optimisers."""

    parts: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, model: Mtpr, ds: Dataset, x: Array) -> None:
        s = self._settings = model.settings
        self._content = whole(x)
        self._sampler = TripletSampler(model.backend, ds, negatives="train", batch_size=s.batch_size, seed=s.seed)
        super().__init__(
            model.backend, model.tables, make_optimisers(model.tables, s.lr, model.backend.kernels), model.moved
        )

    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One step of both optimisers."""
        users, items = self._sampler.batch(epoch, step)
        ids, slot = distinct(items)
        P, of_P = embedding_forward(self.tables["P"], users)
        q, of_q = embedding_forward(self.tables["Q"], ids)
        x = Rows(self.backend.kernels, self._content, ids.astype(np.int32), None)
        batch, s = Batch(x, q, P, slot), self._settings
        parts, gradients = objective(self.tables, batch, s.reg, s.vector_reg)
        dP, dq = (gradients.pop(name) for name in ("P", "q"))
        rows = {"P": embedding_backward_rows(dP, of_P), "Q": embedding_backward_rows(dq, of_q)}
        self.several.step({**gradients, **rows})
        return parts


def make_optimisers(tables: Tables, lr: float, kernels: Any = None) -> dict[str, Optimiser]:
    """Adagrad on the vectors, Adam on the weights."""
    return {
        "vectors": AdagradRows({name: tables[name] for name in VECTORS}, lr),
        "weights": Adam({name: tables[name] for name in WEIGHTS}, lr, kernels=kernels),
    }
