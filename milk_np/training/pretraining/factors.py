"""Tables from the singular vectors of the training pairs: no steps, seconds in place of minutes.

R ~ P Q^T with R (U, n) ones for training pairs, P = R V S^-1/2 and Q = V S^1/2, V (n, K) its first right singular
vectors and S their singular values (Cremonesi, Koren and Turrin, RecSys 2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.kernels.blas import one_blas_thread
from milk_np.rng import generator
from milk_np.settings.pretrained import PretrainedSettings

Floats = NDArray[np.float64]
DENSE = 1024
"""Training items up to which all singular vectors are computed."""


@one_blas_thread()
def svd(backend: Backend, ds: Dataset, how: PretrainedSettings) -> tuple[Array, Array]:
    """P (U, K) and Q (I, K), computed on the host; columns beyond the number of training items are zero."""
    user, item = ds.interactions(Split.TRAIN)
    columns = np.searchsorted(ds.train_items, item)
    R = csr_array((np.ones(len(user)), (user, columns)), shape=(ds.n_users, len(ds.train_items)))
    V = singular_vectors(R, how.dim, how.seed)
    V *= np.where(V[np.abs(V).argmax(axis=0), np.arange(V.shape[1])] < 0, -1, 1)  # signs are arbitrary: fix them
    users = np.asarray(R @ V)
    root = np.maximum(np.sqrt(np.sqrt((users * users).sum(axis=0))), 1e-12)
    P, Q = np.zeros((ds.n_users, how.dim), np.float32), np.zeros((ds.n_items, how.dim), np.float32)
    P[:, : V.shape[1]], Q[ds.train_items, : V.shape[1]] = users / root, V * root
    return backend.asarray(P), backend.asarray(Q)


def singular_vectors(R: Any, dim: int, seed: int) -> Floats:
    """The first min(dim, n) right singular vectors (n, K) of R (U, n), those of large singular values first."""
    n = R.shape[1]
    if n <= max(DENSE, dim + 1):
        _, V = eigh((R.T @ R).toarray(), subset_by_index=(max(0, n - dim), n - 1))
    else:
        operator: Any = LinearOperator((n, n), matvec=lambda x: R.T @ (R @ x), dtype=np.float64)
        _, V = eigsh(operator, k=dim, v0=generator(seed, "singular vectors").standard_normal(n))
    out: Floats = np.ascontiguousarray(V[:, ::-1])
    return out
