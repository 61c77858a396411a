"""Exact search by libraries for a GPU, where they are installed; each as its users call it, results on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

Found = tuple[np.ndarray, np.ndarray]


class Faiss:
    """faiss.GpuIndexFlatIP."""

    def __init__(self, queries: np.ndarray, items: np.ndarray, k: int) -> None:
        import faiss

        if not hasattr(faiss, "GpuIndexFlatIP"):
            raise ImportError("faiss is installed without its GPU part")
        self._queries, self._k = queries, k
        self._index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), items.shape[1])
        self._index.add(items)

    def search(self) -> Found:
        """Positions and scores."""
        score, index = self._index.search(self._queries, self._k)
        return index, score


class Cuvs:
    """cuvs.neighbors.brute_force with inner products."""

    def __init__(self, queries: np.ndarray, items: np.ndarray, k: int) -> None:
        import cupy
        from cuvs.neighbors import brute_force

        self._search, self._k = brute_force.search, k
        self._queries = cupy.asarray(queries)
        self._index = brute_force.build(cupy.asarray(items), metric="inner_product")

    def search(self) -> Found:
        """Positions and scores."""
        import cupy

        score, index = self._search(self._index, self._queries, self._k)
        return cupy.asnumpy(cupy.asarray(index)), cupy.asnumpy(cupy.asarray(score))


class Implicit:
    """implicit.gpu.KnnQuery."""

    def __init__(self, queries: np.ndarray, items: np.ndarray, k: int) -> None:
        from implicit.gpu import HAS_CUDA

        if not HAS_CUDA:
            raise ImportError("implicit is installed, but its GPU part can't be loaded")
        from implicit.gpu import KnnQuery, Matrix

        self._knn, self._k = KnnQuery(), k
        self._queries, self._items = Matrix(queries), Matrix(items)

    def search(self) -> Found:
        """Positions and scores."""
        index, score = self._knn.topk(self._items, self._queries, self._k)
        return index, score


LIBRARIES: dict[str, Any] = {"faiss, flat index": Faiss, "cuVS, brute force": Cuvs, "implicit, KnnQuery": Implicit}
