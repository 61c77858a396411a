"""DropoutNet (Volkovs, Yu and Poutanen, *DropoutNet: Addressing Cold Start in Recommender Systems*, NeurIPS 2017).

Vectors of users and items are learned from the pairs beforehand and frozen. Towers learn to give the same scores from
them and the items' content while half of a batch's item vectors are zeroed: a new item is one whose vector is always
zero. Equations: `milk_np.models.dropoutnet.objective`.

Departures from the paper or the authors' program, and why:

- User vectors are not dropped by default. That prepares for users without a vector but with content of their own; here
  users have no content, so half of the work would go into one constant. `user_dropout` .5 is as published.
- Nor does the mean of a user's items stand in for their vector in some rows, which the paper adds for users who come
  later: they aren't served here.
- Scores to reach are scaled to deviation 0.1, about that of a factorisation of ones and zeros: those of BPR have no
  size of their own and are many times larger, so that momentum descent diverges.
- The pretrained vectors come from BPR, LightGCN or singular vectors, 64 numbers, shared with other systems here, in
  place of weighted matrix factorisation, 200.
- 100 best and 100 random items a user in place of 2,500 each: the sets here have 1,000 to 6,000 training items.
- 1,024 rows a batch in place of 100, at four times the rate: a tenth of the steps.
- The rows of all users are shuffled together; the program shuffles those of 1,000 users at a time, which bounds what it
  holds. Here the order is computed, not stored.
- An epoch is a tenth of a pass over all users and their items: the best vectors come within the first passes, and
  patience would wait ten of them for better ones.
- Content is imputed and row-normalised before it is standardised, as for every model here.
- The best epoch by the validation metric is kept, with patience 10, in place of the best sum of recalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from milk_np.backends.base import Array
from milk_np.data import Dataset
from milk_np.models.base import Vectors
from milk_np.models.content_memory import ADVICE
from milk_np.models.content_model import ContentModel, Tables
from milk_np.models.dropoutnet.memory import training_bytes
from milk_np.models.dropoutnet.model_signature import DropoutNetSignature
from milk_np.models.dropoutnet.objective import MOVED, PARTS, Batch, item_forward, objective, user_forward
from milk_np.models.dropoutnet.sampler import ScoreSampler
from milk_np.models.inputs import CLIP, standardised
from milk_np.models.stored import Arrays
from milk_np.nn.arrays import array_module
from milk_np.nn.embedding import embedding_forward
from milk_np.nn.linear import Rows, whole
from milk_np.nn.margins import row_dot_forward
from milk_np.nn.schedules import staircase
from milk_np.nn.sgd import SGD
from milk_np.nn.start import tower_start, truncated
from milk_np.nn.switch import choose_rows
from milk_np.nn.tower import named
from milk_np.training.pretraining.cache import Pretrained
from milk_np.training.table_trainer import TableTrainer
from milk_np.training.trainer import Trainer

DEVIATION = 0.01
SPREAD = 0.1
"""Standard deviation of the scores to reach."""
DECAY_USERS = 100_000
"""Users after whose rows the learning rate falls."""


class DropoutNet(DropoutNetSignature, ContentModel):
    """Users and items are what two towers make of pretrained vectors and content; a new item's vector is zero."""

    name: ClassVar[str] = "dropoutnet"
    memory_need = staticmethod(training_bytes)
    memory_advice = ADVICE
    frozen: ClassVar[tuple[str, ...]] = ("P", "Q", "u", "v")
    names: ClassVar[tuple[str, ...]] = (*frozen, *named("user"), *named("item"))

    def start(self, ds: Dataset, D: int) -> Arrays:
        """Frozen vectors as they are (P, Q) and standardised (u, v); truncated normal weights."""
        P, Q = self.pretrained(ds)
        scale = np.float32(SPREAD / max(score_deviation(P, Q[ds.train_items]), 1e-12))
        frozen = {"P": P * scale, "Q": Q, "u": standardised(P, CLIP), "v": standardised(Q, CLIP)}
        return frozen | initial(D, self.settings.hidden, self.settings.dim, self.settings.seed)

    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """Momentum descent on both towers."""
        return DropoutNetTrainer(self, ds, x)

    def users_of(self, tables: Tables) -> Array:
        """The user tower's output."""
        return user_forward(tables, tables["u"], train=False)[0]

    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """The item tower's output; the pretrained vector of an item without training pairs is zero."""
        K = tables["v"].shape[1]
        v = array_module(x).zeros((len(x), K), x.dtype) if ids is None else embedding_forward(tables["v"], ids)[0]
        return item_forward(tables, v, x, train=False)[0]


class DropoutNetTrainer(TableTrainer):
    """Batches of users with one of their best or a random item."""

    parts: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, model: DropoutNet, ds: Dataset, x: Array) -> None:
        s = self._settings = model.settings
        tables, home = model.tables, model.backend.to_host
        pairs = Pretrained(home(tables["P"]), home(tables["Q"]))
        self._content = whole(x)
        self._sampler = ScoreSampler(model.backend, ds, pairs, top=s.top_items, batch_size=s.batch_size, seed=s.seed)
        decay = max(1, DECAY_USERS * self._sampler.rows_of_a_user // s.batch_size)
        super().__init__(model.backend, tables, {"momentum": make_optimiser(tables, s, decay)}, model.moved)

    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One step of momentum descent."""
        parts, gradients = objective(self.tables, self._batch(epoch, step))
        self.several.step(gradients)
        return parts

    def _batch(self, epoch: int, step: int) -> Batch:
        place = self._sampler.place(epoch, step)
        users, items = self._sampler.batch(*place)
        at = {"P": users, "u": users, "Q": items, "v": items}
        rows = {name: embedding_forward(self.tables[name], ids)[0] for name, ids in at.items()}
        y, _ = row_dot_forward(rows["P"], rows["Q"])
        xp, s = array_module(users), self._settings
        keep = [
            ~choose_rows(xp, len(users), share, s.seed, f"dropoutnet-{side}", *place)
            for side, share in (("user", s.user_dropout), ("item", s.item_dropout))
        ]
        return Batch(rows["u"], rows["v"], Rows.of(self.backend.kernels, self._content, items), y, *keep)


def score_deviation(P: Vectors, Q: Vectors) -> float:
    """Standard deviation of the scores p . q over all users and items."""
    P, Q = P.astype(np.float64), Q.astype(np.float64)
    squares = float(((P.T @ P) * (Q.T @ Q)).sum()) / (len(P) * len(Q))
    return float(np.sqrt(max(squares - float(P.mean(axis=0) @ Q.mean(axis=0)) ** 2, 0.0)))


def make_optimiser(tables: Tables, settings: Any, decay: int) -> SGD:
    """Momentum descent whose rate falls every `decay` steps."""
    rate = staircase(settings.lr, settings.lr_decay, decay)
    return SGD({name: tables[name] for name in MOVED}, rate, settings.momentum)


def initial(D: int, H: int, K: int, seed: int) -> Arrays:
    """Tables of both towers for rows of D numbers, H hidden ones and vectors of K."""
    tables: Arrays = {}
    for tower, width in (("user", K), ("item", K + D)):
        shapes = {"W1": (width, H), "W2": (H, K)}
        drawn = {
            name: truncated(shape, DEVIATION, seed, f"dropoutnet-{tower}-{name}") for name, shape in shapes.items()
        }
        tables |= tower_start(tower, width, H, K, drawn)
    return tables
