"""CCFCRec (Zhou, Zhang and Yang, *Contrastive Collaborative Filtering for Cold-Start Item Recommendation*, WWW 2023).

Users and training items have vectors p and v; a generator makes q of an item's content. A contrast draws q towards the
item's own v and those of items that the same users chose, away from others; a ranking loss puts an item's users above
others, once by v and once by q. An item is scored by p . q. Equations: `milk_np.models.ccfcrec.objective`.

Departures from the authors' program, and why:

- The program embeds categories with attention and projects an image; here each modality has a projection, for there are
  no categories. Content is normalised per modality; the program means to normalise the image but takes it raw.
- Losses are means over the batch, not sums, and the L2 penalty is 1e-4, which is their .1 over a batch of 1,024.
- The penalty covers the rows that a batch reads and all weights; theirs is a weight decay of every row at every step,
  so that vectors of rare items and users vanish.
- The rate is .001, theirs .0001 and lower: chosen here, theirs wasn't tried for it. Vectors have 64 numbers, as the
  other models', theirs 256 (Video Games) and 128 (Movielens).
- Negatives of a group are distinct, so that none counts twice.
- The best epoch is that of the validation metric, with patience 10, as for every system here; theirs is chosen by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array
from milk_np.data import Dataset
from milk_np.models.ccfcrec import memory
from milk_np.models.ccfcrec.model_signature import CcfcrecSignature
from milk_np.models.ccfcrec.objective import GENERATOR, PARTS, Batch, Weights, generate_forward, objective
from milk_np.models.content_model import ContentModel, Tables
from milk_np.models.stored import Arrays
from milk_np.nn.adam import Adam, AdamRows
from milk_np.nn.arrays import array_module
from milk_np.nn.linear import Rows, whole
from milk_np.nn.start import normal
from milk_np.training.candidates import CandidateSampler, Pairs, numbered
from milk_np.training.table_trainer import TableTrainer
from milk_np.training.trainer import Trainer

ROWS = ("P", "Q")


class Ccfcrec(CcfcrecSignature, ContentModel):
    """A user is p, an item what the generator makes of its content."""

    name: ClassVar[str] = "ccfcrec"
    names: ClassVar[tuple[str, ...]] = (*ROWS, *GENERATOR)
    memory_need = staticmethod(memory.training_bytes)
    memory_advice = memory.ADVICE

    def start(self, ds: Dataset, D: int) -> Arrays:
        """Xavier's normal numbers; biases 0."""
        return initial(ds.n_users, ds.n_items, D, ds.n_modalities, self.settings)

    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """Adam on all tables."""
        return CcfcrecTrainer(self, ds, x)

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of each modality."""
        return tuple(self.fitted_imputer().widths.values())

    def users_of(self, tables: Tables) -> Array:
        """p."""
        return tables["P"]

    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """q(x) of every item, as in the authors' program: v is for training alone."""
        return generate_forward(tables, x, self.widths)[0]


class CcfcrecTrainer(TableTrainer):
    """Batches of training pairs, each with items of its user, items that are not, and another user."""

    parts: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, model: Ccfcrec, ds: Dataset, x: Array) -> None:
        settings, backend, tables = model.settings, model.backend, model.tables
        self._settings, self._widths = settings, model.widths
        xp, ends = array_module(x), np.cumsum(model.widths)[:-1].tolist()
        self._content = [whole(xp.ascontiguousarray(part)) for part in xp.split(x, ends, axis=1)]
        self._sampler = CandidateSampler(backend, ds, batch_size=settings.batch_size, seed=settings.seed)
        self._weights = Weights(settings.contrast, settings.temperature, settings.reg)
        self._rows = AdamRows({name: tables[name] for name in ROWS}, settings.lr, backend.kernels)
        weights = Adam({name: tables[name] for name in GENERATOR}, settings.lr, kernels=backend.kernels)
        super().__init__(backend, tables, {"rows": self._rows, "generator": weights}, model.moved)

    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One step of Adam."""
        batch = self.batch(epoch, step)
        for name, ids in zip(ROWS, (batch.people, batch.ids), strict=True):
            self._rows.catch_up(name, ids)
        parts, gradients = objective(self.tables, batch, self._widths, self._weights)
        self.several.step(gradients)
        return parts

    def flush(self) -> None:
        """Bring the rows that no recent batch touched to the last step."""
        for name in ROWS:
            self._rows.catch_up(name)
        self.moved()

    def batch(self, epoch: int, step: int) -> Batch:
        """Pairs, and what is drawn for them."""
        pairs = self._sampler.batch(epoch, step)
        drawn = self._groups(pairs, epoch, step)
        ids, slots = numbered(drawn, len(self.tables["Q"]))
        others = self._sampler.other_users(pairs.items, pairs.rows, "ccfcrec-users", epoch)
        people, places = numbered(np.stack([pairs.users, others]), len(self.tables["P"]))
        mine, own = numbered(pairs.items, len(self.tables["Q"]))
        place = self.backend.asarray
        arrays = (place(array) for array in (own, ids, people, slots, *places))
        kernels, rows = self.backend.kernels, place(mine)
        return Batch(kernels, [Rows(kernels, content, rows, None) for content in self._content], *arrays)

    def _groups(self, pairs: Pairs, epoch: int, step: int) -> NDArray[np.int32]:
        """Items (B, G + 1, 1 + N): in each group a positive, then negatives; the last positive is the pair's item."""
        B, groups = len(pairs.users), self._settings.positives + 1
        users = np.repeat(pairs.users, groups)
        rows = np.repeat(pairs.rows, groups) * groups + np.tile(np.arange(groups), B)
        negatives = self._sampler.negatives(users, rows, self._settings.drawn, "ccfcrec-negatives", epoch)
        positives = self._sampler.of_users(users, rows, "ccfcrec-positives", epoch).reshape(B, groups)
        positives[:, -1] = pairs.items
        return np.concatenate([positives[:, :, None], negatives.reshape(B, groups, -1)], axis=2)


def initial(U: int, n_items: int, D: int, M: int, settings: Any) -> Arrays:
    """P (U, K), Q (I, K), and the generator's Wp (D, K), Wa (M K, H), ba (H), Wb (H, K), bb (K)."""
    K, H, seed = settings.dim, settings.hidden, settings.seed
    shapes = {"P": (U, K), "Q": (n_items, K), "Wp": (D, K), "Wa": (M * K, H), "Wb": (H, K)}
    tables = {name: normal(shape, (2 / sum(shape)) ** 0.5, seed, f"ccfcrec-{name}") for name, shape in shapes.items()}
    return tables | {"ba": np.zeros(H, np.float32), "bb": np.zeros(K, np.float32)}
