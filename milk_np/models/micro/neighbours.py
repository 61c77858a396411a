"""Links between items in one modality: the most similar training items, by cosine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from milk_np.models.base import Vectors
from milk_np.serving.ranking import TopK


class Links(NamedTuple):
    """Of n items: the places (n, k) of their neighbours among the training items, and cosines (n, k), 0 for no link."""

    places: NDArray[np.int32]
    cosines: Vectors


def links(top_k: TopK, x: Vectors, landmarks: Vectors, k: int) -> Links:
    """The k most similar rows of `landmarks` (L, d) to each row x (n, d), those that are similar at all.

    Rows have unit length, or are zero for an item without the modality: it has no links and is nobody's neighbour. Of
    equal cosines the first counts. A training item is its own first neighbour, and of its k.
    """
    if not len(x) or not len(landmarks):
        return Links(np.zeros((len(x), 0), np.int32), np.zeros((len(x), 0), np.float32))
    places, cosines = top_k(np.ascontiguousarray(x), np.ascontiguousarray(landmarks), min(k, len(landmarks)))
    linked = (places >= 0) & (cosines > 0)
    return Links(np.where(linked, places, 0), np.where(linked, cosines, 0).astype(np.float32))


def row_sums(found: Links) -> Vectors:
    """Sums (n) of the cosines of each item's links."""
    sums: Vectors = found.cosines.sum(axis=1)
    return sums


def normalised(found: Links, sums: Vectors, n_landmarks: int) -> csr_array:
    """Weights (n, L) cos_ij / sqrt(r_i r_j): r_i is an item's own sum, r_j, in `sums` (L), that of a training item."""
    own, theirs = row_sums(found)[:, None], sums[found.places]
    product = own * theirs
    weights = np.where(product > 0, found.cosines / np.sqrt(np.where(product > 0, product, 1)), 0)
    n, k = found.places.shape
    starts = np.arange(n + 1) * k
    matrix = csr_array((weights.ravel().astype(np.float32), found.places.ravel(), starts), (n, n_landmarks))
    matrix.eliminate_zeros()
    return matrix
