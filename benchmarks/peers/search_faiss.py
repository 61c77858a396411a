"""faiss-cpu: exact inner product over all items. Building the index, a copy, is not timed."""

from __future__ import annotations

import faiss

from peers.search import Search


class Program(Search):
    """IndexFlatIP."""

    def __init__(self, folder: str, k: int) -> None:
        super().__init__(folder, k)
        faiss.omp_set_num_threads(2)
        self.flat = faiss.IndexFlatIP(self.items.shape[1])
        self.flat.add(self.items)

    def search(self) -> None:
        self.score, self.index = self.flat.search(self.queries, self.k)
