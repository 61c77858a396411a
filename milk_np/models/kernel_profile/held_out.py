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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.cpu import lapack, places
from milk_np.kernels.cpu.tasks import side_by_side
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.folds import Fold, without_one
from milk_np.models.kernel_profile.limits import FOLDS, HELD_LANDMARKS
from milk_np.models.kernel_profile.ranked import Ranked
from milk_np.models.kernel_profile.ridge import choose_sets
from milk_np.models.kernel_profile.shared_features import Memory, SharedFeatures
from milk_np.models.kernel_profile.smoothing import Smoothing
from milk_np.models.kernel_profile.whitening import whitened

Numbers = NDArray[np.intp]

LEAST_NOISE = 0.01
CUTOFF = 20


class HeldOut:
    """Folds of training items, and what ranking them says of kernels.

    Attributes
    ----------
    cosines : for each modality, by exponent of its whitening, those of the items, by folds, to the landmarks (n, L)
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
        self.sets = _sets(owned.shape[1])
        self.which = choose_sets(without_one(owned, rng), self.sets)
        fold = np.concatenate([np.full(L, -1), rng.permutation(n - L) % FOLDS])
        order = np.lexsort((self.which * (fold >= 0), fold))  # the landmarks stay in front, in their order
        self.cosines = self._cosines((x[order] for x in content), axes, L)
        both, ends = (R.tocsr(), R.tocsc()), np.searchsorted(fold[order], np.arange(FOLDS + 1))
        self.folds = [
            Fold.of(both, smoothing, items[order], slice(*ends[f : f + 2]), order[slice(*ends[f : f + 2])], rng)
            for f in range(FOLDS)
        ]
        self._right = np.ascontiguousarray(smoothing.right[items[order]].T, np.float32)
        self._found = [np.empty((len(fold.left), len(fold.order)), np.float32) for fold in self.folds]
        self._shared: tuple[ContentKernel, SharedFeatures] | None = None
        self._memory = Memory()

    def _cosines(
        self, content: Iterable[Vectors], axes: Sequence[Mapping[float, Vectors]], L: int
    ) -> list[dict[float, Vectors]]:
        return [
            {e: _cosines(whitened(x, A), L) for e, A in each.items()} for x, each in zip(content, axes, strict=True)
        ]

    def scores(self, kernel: ContentKernel) -> list[Vectors]:
        """Of each fold's users for its items, (U, items inside)."""
        found = zip(self._scores(kernel), self.folds, strict=True)
        return [self._at_home(x)[:, np.argsort(fold.order)] for x, fold in found]

    def ranked(self, kernel: ContentKernel, most: int) -> list[Ranked]:
        """Scores and pairs of each fold's users; of `most` users spread over all where there are more."""
        out = []
        for scores, fold in zip(self._scores(kernel), self.folds, strict=True):
            users = np.unique(np.linspace(0, len(scores) - 1, min(most, len(scores)), dtype=np.intp))
            lacks = ~self.sets[self.which[fold.order]]
            out.append(Ranked.of_some(users, self._at_home(scores[users]), lacks, fold.user, fold.item))
        return out

    def _at_home(self, scores: Any) -> Vectors:
        """`scores` (U, N) in the host's memory."""
        return np.asarray(scores)

    def ndcg(self, kernel: ContentKernel) -> Floats:
        """NDCG at CUTOFF of every user in every fold with an item of theirs."""
        found = zip(self._scores(kernel), self.folds, strict=True)
        return np.concatenate([ndcg(scores, fold.user, fold.item) for scores, fold in found])

    def _scores(self, kernel: ContentKernel) -> list[Vectors]:
        """`scores` with the items inside of each fold in its `order`; the next call overwrites them."""
        shared = self._shared_by(replace(kernel, noise=0.0))
        for s in np.unique(self.which):
            self._fill_in(int(s), shared, kernel.noise)
        return self._found

    def _shared_by(self, kernel: ContentKernel) -> SharedFeatures:
        """What kernels like `kernel` but for their noise share."""
        if self._shared is None or self._shared[0] != kernel:
            cosines = [each[exponent] for each, exponent in zip(self.cosines, kernel.whitening, strict=True)]
            shared = SharedFeatures(kernel, cosines, self.folds, self._right, self.sets, self._memory)
            self._shared = kernel, shared
        return self._shared[1]

    def _fill_in(self, s: int, shared: SharedFeatures, noise: float) -> None:
        """Fill in the scores of the items held out with set `s`."""
        features, tasks = shared.of(s), list[tuple[int, slice, slice, Vectors]]()

        def solve(f: int) -> None:
            fold = self.folds[f]
            mine = slice(*np.searchsorted(self.which[fold.order], [s, s + 1]))
            if mine.start < mine.stop:
                rows = _solved(features.whole - features.grams[f], noise, features.rows[fold.rows][mine])
                tasks.extend((f, users, mine, rows) for users, _ in fold.direct)

        def rank(task: tuple[int, slice, slice, Vectors]) -> None:
            f, users, mine, rows = task
            np.matmul(features.known[f][users], rows.T, out=self._found[f][users, mine])

        side_by_side(solve, range(len(self.folds)))
        side_by_side(rank, tasks)


def _solved(gram: Vectors, noise: float, features: Vectors) -> Vectors:
    """`features` (n, L) times (gram + noise I)^-1; `gram` (L, L) is overwritten."""
    gram[np.diag_indices_from(gram)] += np.float32(max(noise, LEAST_NOISE))
    lapack.cholesky(gram)
    out = features.copy()
    lapack.divide_rows(out, gram, transposed=True)
    lapack.divide_rows(out, gram, transposed=False)
    return out


def _sets(M: int) -> NDArray[np.bool_]:
    """All of `M` modalities, all but one, and each alone: (S, M), the largest first."""
    alone = np.eye(M, dtype=np.bool_)
    return np.vstack([np.ones((1, M), np.bool_), ~alone[: M if M > 2 else 0], alone[: M if M > 1 else 0]])


def _cosines(rows: Vectors, L: int) -> Vectors:
    """Those of `rows` (n, D) to the first L of them, (n, L)."""
    out: Vectors = rows @ rows[:L].T
    return out


def ndcg(scores: Vectors, user: Numbers, item: Numbers) -> Floats:
    """NDCG at CUTOFF of each user who has a pair (`user`, `item`) (P,), from `scores` (U, candidates).

    Equal scores share their places: of a user with nothing outside of the fold, all are equal.
    """
    place = np.empty(len(user), np.int64)
    places(scores, user, item, place)
    return ndcg_of_places(place, user, len(scores))


def ndcg_of_folds(scores: Iterable[Vectors], folds: Iterable[Ranked]) -> Floats:
    """`ndcg` of all folds one after the other, from their `scores`; empty without folds."""
    parts = [ndcg(x, fold.user, fold.item) for x, fold in zip(scores, folds, strict=True)]
    return np.concatenate([np.zeros(0), *parts])


def ndcg_of_places(place: NDArray[np.int64], user: Numbers, users: int) -> Floats:
    """NDCG at CUTOFF of each of `users` who has a pair, from the place (P,) of each pair's item among his scores."""
    gain, found = 1 / np.log2(np.arange(2, CUTOFF + 2)), np.zeros(users)
    listed = place < CUTOFF
    np.add.at(found, user[listed], gain[place[listed]])
    chosen = np.bincount(user, minlength=users)
    some = chosen > 0
    out: Floats = found[some] / np.cumsum(gain)[np.minimum(chosen[some], CUTOFF) - 1]
    return out
