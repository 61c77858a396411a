"""CLCRec (Wei et al., *Contrastive Learning for Cold-Start Recommendation*, ACM MM 2021, doi 10.1145/3474085.3475665).

Users and training items have vectors p and q; an encoder f makes a vector of an item's content. One contrast brings
f(x) of an item near its own q, another ranks a user's item above others, where some of them are seen by f(x) in place
of q. So f can stand in for q: a training item is scored by p . q, a new one by p . f(x). Equations:
`milk_np.models.clcrec.objective`.

Departures from the authors' program, and why:

- Negatives lie outside of a user's training history. The program also leaves out the validation and test histories,
  which tells training what is going to be chosen.
- The share of replaced candidates is exact on average. The program draws places with repetition, so that a share of .5
  replaces 39 %.
- A batch's distinct items pass the encoder once, not all items of the data: the same numbers, less work.
- Ranking uses the vectors after the last step of an epoch; the program's are one step old.
- The weight of the lengths is .001, which the authors use on Amazon; on Movielens .1. All else is as on Movielens (128
  negatives, both contrasts alike, temperature 2); on Amazon they take 512 negatives, a mutual weight of .9 and
  temperature 1. The mix was chosen here; both of theirs are rows of Table 2, and `reg` is tuned.
- The mean length of candidates counts those that a user has: a user with fewer free items than negatives has fewer.
- The best epoch is that of the validation metric, with patience 10, as for every system here; theirs was 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from milk_np.backends.base import Array
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.models.clcrec import memory
from milk_np.models.clcrec.model_signature import ClcrecSignature
from milk_np.models.clcrec.objective import ENCODER, PARTS, Batch, Weights, encoded, objective
from milk_np.models.content_model import ContentModel, Tables
from milk_np.models.stored import Arrays
from milk_np.nn.adam import Adam, AdamRows
from milk_np.nn.embedding import embedding_forward
from milk_np.nn.keyed import LANES, lanes
from milk_np.nn.linear import whole
from milk_np.nn.start import normal, uniform
from milk_np.nn.switch import switch_forward
from milk_np.training.candidates import CandidateSampler, numbered
from milk_np.training.table_trainer import TableTrainer
from milk_np.training.trainer import Trainer


class Clcrec(ClcrecSignature, ContentModel):
    """A user is p; a training item its own vector q, a new one what the encoder makes of its content."""

    name: ClassVar[str] = "clcrec"
    names: ClassVar[tuple[str, ...]] = ("P", "Q", *ENCODER)
    memory_need = staticmethod(memory.training_bytes)
    memory_advice = memory.ADVICE

    def start(self, ds: Dataset, D: int) -> Arrays:
        """Xavier's normal numbers for the vectors, uniform ones for the encoder."""
        return initial(ds.n_users, ds.n_items, D, self.settings)

    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """Adam on all tables."""
        return ClcrecTrainer(self, ds, x)

    def users_of(self, tables: Tables) -> Array:
        """p."""
        return tables["P"]

    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """q of training items, f(x) of new ones."""
        made = encoded(tables, x)
        if ids is not None:
            old = self.catalogue.item_split[self.backend.to_host(ids)] == Split.TRAIN
            made, _ = switch_forward(self.backend.asarray(old), embedding_forward(tables["Q"], ids)[0], made)
        return made


class ClcrecTrainer(TableTrainer):
    """Batches of training pairs with negatives of their own."""

    parts: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, model: Clcrec, ds: Dataset, x: Array) -> None:
        settings, backend, tables = model.settings, model.backend, model.tables
        self._settings, self._n_items = settings, ds.n_items
        self._sampler = CandidateSampler(backend, ds, batch_size=settings.batch_size, seed=settings.seed)
        self._content = whole(x)
        self._weights = Weights(settings.mutual, settings.temperature, settings.reg)
        rows = AdamRows({name: tables[name] for name in ("P", "Q")}, settings.lr, backend.kernels)
        encoder = Adam({name: tables[name] for name in ENCODER}, settings.lr, kernels=backend.kernels)
        self._rows = rows
        super().__init__(backend, tables, {"rows": rows, "encoder": encoder}, model.moved)

    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One step of Adam."""
        batch = self.batch(epoch, step)
        self._rows.catch_up("P", batch.people)
        self._rows.catch_up("Q", batch.ids)
        parts, gradients = objective(self.tables, batch, self._weights)
        self.several.step(gradients)
        return parts

    def flush(self) -> None:
        """Bring the rows that no recent batch touched to the last step."""
        for name in ("P", "Q"):
            self._rows.catch_up(name)
        self.moved()

    def batch(self, epoch: int, step: int) -> Batch:
        """Pairs, their negatives, and which candidates are seen by content."""
        settings, place = self._settings, self.backend.asarray
        pairs = self._sampler.batch(epoch, step)
        drawn = self._sampler.negatives(pairs.users, pairs.rows, settings.drawn, "negatives", epoch)
        ids, slots = numbered(np.concatenate([pairs.items[:, None], drawn], axis=1), self._n_items)
        people, user = numbered(pairs.users, len(self.tables["P"]))
        bound = round(settings.replaced * LANES)
        replaced = lanes(np, slots.size, settings.seed, "clcrec-replaced", epoch, step).reshape(slots.shape) < bound
        arrays = (place(array) for array in (ids, people, user, slots, replaced))
        return Batch(self.backend.kernels, self._content, *arrays)


def initial(U: int, n_items: int, D: int, settings: Any) -> Arrays:
    """P (U, K), Q (I, K), and the encoder's W1 (D, H), b1 (H), W2 (H, K), b2 (K)."""
    K, H, seed = settings.dim, settings.hidden, settings.seed
    bounds = {"1": D**-0.5, "2": H**-0.5}
    deviation = (2 / (U + n_items + K)) ** 0.5  # the authors keep both in one table
    vectors = {name: normal((n, K), deviation, seed, f"clcrec-{name}") for name, n in (("P", U), ("Q", n_items))}
    shapes = {"W1": (D, H), "b1": (H,), "W2": (H, K), "b2": (K,)}
    return vectors | {name: uniform(shape, bounds[name[1]], seed, f"clcrec-{name}") for name, shape in shapes.items()}
