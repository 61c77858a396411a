"""How well a kernel ranks items that it hasn't seen: training items held out in folds, as if they were new.

Squared errors hardly tell kernels apart where pairs are few, and a kernel may lower them and rank worse. So some
training items are divided into folds, each of which in turn is what users choose from: neither the users' histories
nor the regression know of it. Half of the items are held out with all modalities that they own, the others without one
of them. What counts is NDCG of every user in every fold, whose differences between two kernels are paired.

With f(x) the features of `.ridge`, F those of the items outside of the fold and Y their columns of
R B, R without the pairs of the fold, the scores of an item are Y F (F^T F + noise I)^-1 f(x). B is that of all training
items, the axes of the whitening those of all landmarks; `rarity` and `prior` are left out. The landmarks are never held
out, for new items are never landmarks. Most of it is in float32, which bears no noise below LEAST_NOISE: the scores
only have to rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from milk_np.kernels.cpu import places
from milk_np.kernels.cpu.tasks import side_by_side
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.limits import HELD_LANDMARKS, HELD_USERS
from milk_np.models.kernel_profile.ridge import choose_sets, jittered
from milk_np.models.kernel_profile.smoothing import Smoothing
from milk_np.models.kernel_profile.whitening import whitened

Numbers = NDArray[np.intp]

FOLDS = 4
LEAST_NOISE = 0.01
CUTOFF = 20


@dataclass(frozen=True, eq=False)
class Fold:
    """Items that are held out together, and the users as they are known without them."""

    inside: NDArray[np.bool_]
    """(n,) whether each of the items is held out."""
    direct: Any
    """(U, n), sparse; with `left` (U, r) and `right` (r, n), direct + left right is Y of the users who chose items
    inside, zero in the columns of these."""
    left: Vectors
    right: Vectors
    user: Numbers
    """(P,) and `item` (P,): the pairs of users with items inside, by their number among these."""
    item: Numbers
    order: Numbers
    """The items inside, those that are held out with the same modalities next to each other: their places among all
    items, (items inside,)."""

    @classmethod
    def of(
        cls,
        R: Any,
        smoothing: Smoothing,
        items: Numbers,
        inside: NDArray[np.bool_],
        which: Numbers,
        rng: np.random.Generator,
    ) -> Fold:
        """The fold `inside` (n,) of the training items `items` (n,), for at most HELD_USERS users of `R` (U, all).

        `which` (n,) is the set of modalities that each item is held out with.
        """
        pairs = R[:, items[inside]].tocsr()
        users = np.sort(rng.permutation(np.flatnonzero(np.diff(pairs.indptr)))[:HELD_USERS])
        chosen = pairs[users].tocoo()
        outside = np.ones(R.shape[1])
        outside[items[inside]] = 0
        known = R.tocsr()[users] @ sparse.diags_array(outside)
        direct, left, right = (x.astype(np.float32) for x in smoothing.parts(known, items))
        places = np.flatnonzero(inside)
        order = places[np.argsort(which[places], kind="stable")]
        return cls(inside, direct, left, right * ~inside, chosen.row, chosen.col, order)

    def known(self, features: Vectors) -> Vectors:
        """Y F (U, L) for the `features` F (n, L) of all items."""
        out: Vectors = self.direct @ features + self.left @ (self.right @ features)
        return out


class HeldOut:
    """Folds of training items, and what ranking them says of kernels.

    Attributes
    ----------
    cosines : for each modality, by exponent of its whitening, those of the items to the landmarks (n, L)
    sets : (S, M) bool, sets of modalities: all, all but one, and each alone
    which : (n,) the number of the set that each item is held out with
    folds : list of Fold
    """

    def __init__(
        self,
        R: Any,
        smoothing: Smoothing,
        items: Numbers,
        content: Sequence[Vectors],
        axes: Sequence[Mapping[float, Vectors]],
        owned: NDArray[np.bool_],
        landmarks: int,
        rng: np.random.Generator,
    ) -> None:
        """Folds of the training items `items` (n,) of `R` (U, all), in a random order whose first are the landmarks.

        `content` of each modality, not whitened, and `owned` (n, M) are theirs; `axes` are those of each modality's
        whitening, by the exponents that may be chosen. At most half of the items, `landmarks` and HELD_LANDMARKS are
        landmarks.
        """
        n = len(owned)
        L = min(landmarks, HELD_LANDMARKS, max(n // 2, 1))
        self.cosines = self._cosines(content, axes, L)
        self.sets = _sets(owned.shape[1])
        self.which = choose_sets(without_one(owned, rng), self.sets)
        fold = np.concatenate([np.full(L, -1), rng.permutation(n - L) % FOLDS])
        columns = R.tocsc()
        self.folds = [Fold.of(columns, smoothing, items, fold == f, self.which, rng) for f in range(FOLDS)]

    def _cosines(
        self, content: Sequence[Vectors], axes: Sequence[Mapping[float, Vectors]], L: int
    ) -> list[dict[float, Vectors]]:
        return [
            {e: _cosines(whitened(x, A), L) for e, A in each.items()} for x, each in zip(content, axes, strict=True)
        ]

    def scores(self, kernel: ContentKernel) -> list[Vectors]:
        """Of each fold's users for its items, (U, items inside)."""
        sorted_ = self._scores(kernel)
        return [x[:, np.argsort(fold.order)] for x, fold in zip(sorted_, self.folds, strict=True)]

    def ndcg(self, kernel: ContentKernel) -> Floats:
        """NDCG at CUTOFF of every user in every fold with an item of hers."""
        out = []
        for scores, fold in zip(self._scores(kernel), self.folds, strict=True):
            out.append(ndcg(scores, fold.user, np.argsort(fold.order)[fold.item]))
        return np.concatenate(out)

    def _scores(self, kernel: ContentKernel) -> list[Vectors]:
        """`scores` with the items inside of each fold in its `order`."""
        similar = [
            np.float32(weight) * np.exp(np.float32(kernel.scale) * (each[exponent] - 1))
            for weight, exponent, each in zip(kernel.weights, kernel.whitening, self.cosines, strict=True)
        ]
        out = [np.empty((len(fold.left), len(fold.order)), np.float32) for fold in self.folds]
        for s in np.unique(self.which):
            owned = [k for k, mine in zip(similar, self.sets[s], strict=True) if mine]
            self._fill_in(_features(sum(owned[1:], owned[0])), kernel.noise, s, out)
        return out

    def _fill_in(self, features: Vectors, noise: float, s: int, scores: list[Vectors]) -> None:
        """Fill in the columns of the items held out with set `s`, whose `features` (n, L) are those of all items."""
        parts = [features[fold.order] for fold in self.folds]
        grams = [x.T @ x for x in parts]
        outside = features[: features.shape[1]]  # the landmarks
        ridge = np.float32(max(noise, LEAST_NOISE)) * np.eye(outside.shape[1], dtype=np.float32)
        whole = outside.T @ outside + sum(grams, ridge)

        def fill(f: int) -> None:
            fold = self.folds[f]
            mine = slice(*np.searchsorted(self.which[fold.order], [s, s + 1]))
            if mine.start < mine.stop:
                solved = linalg.cho_solve(linalg.cho_factor(whole - grams[f]), parts[f][mine].T)
                np.matmul(fold.known(features), solved, out=scores[f][:, mine])

        side_by_side(fill, range(len(self.folds)))


def _sets(M: int) -> NDArray[np.bool_]:
    """All of `M` modalities, all but one, and each alone: (S, M), the largest first."""
    alone = np.eye(M, dtype=np.bool_)
    return np.vstack([np.ones((1, M), np.bool_), ~alone[: M if M > 2 else 0], alone[: M if M > 1 else 0]])


def without_one(owned: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """`owned` (n, M), less one at random for half of the items that own several."""
    out = owned.copy()
    some = np.flatnonzero((owned.sum(axis=1) > 1) & (rng.random(len(owned)) < 0.5))
    out[some, np.argmax(rng.random(owned[some].shape) * owned[some], axis=1)] = False
    return out


def _cosines(rows: Vectors, L: int) -> Vectors:
    """Those of `rows` (n, D) to the first L of them, (n, L)."""
    out: Vectors = rows @ rows[:L].T
    return out


def _features(similar: Vectors) -> Vectors:
    """F (n, L) of items by their similarities (n, L) to the landmarks, which are the first L items."""
    root = linalg.cholesky(jittered(similar[: similar.shape[1]].astype(np.float64)), lower=True).astype(np.float32)
    features: Vectors = np.ascontiguousarray(linalg.solve_triangular(root, similar.T, lower=True).T)
    return features


def ndcg(scores: Vectors, user: Numbers, item: Numbers) -> Floats:
    """NDCG at CUTOFF of each user who has a pair (`user`, `item`) (P,), from `scores` (U, candidates).

    Equal scores share their places: of a user with nothing outside of the fold, all are equal.
    """
    place = np.empty(len(user), np.int64)
    places(scores, user, item, place)
    return ndcg_of_places(place, user, len(scores))


def ndcg_of_places(place: NDArray[np.int64], user: Numbers, users: int) -> Floats:
    """NDCG at CUTOFF of each of `users` who has a pair, from the place (P,) of each pair's item among his scores."""
    gain, found = 1 / np.log2(np.arange(2, CUTOFF + 2)), np.zeros(users)
    listed = place < CUTOFF
    np.add.at(found, user[listed], gain[place[listed]])
    chosen = np.bincount(user, minlength=users)
    some = chosen > 0
    out: Floats = found[some] / np.cumsum(gain)[np.minimum(chosen[some], CUTOFF) - 1]
    return out
