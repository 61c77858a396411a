"""PyTorch: matmul and topk by blocks of queries, so that the scores never take more than `tile` numbers."""

from __future__ import annotations

import torch

from peers.search import Search


class Program(Search):
    """Blocks of scores in one reused buffer."""

    def __init__(self, folder: str, k: int, tile: int = 1 << 25) -> None:
        super().__init__(folder, k)
        torch.set_num_threads(2)
        self.q, self.x = torch.from_numpy(self.queries), torch.from_numpy(self.items).T
        self.rows = max(1, tile // len(self.items))
        self.buffer = torch.empty(self.rows, len(self.items))

    def search(self) -> None:
        with torch.inference_mode():
            index = torch.empty(len(self.q), self.k, dtype=torch.int64)
            score = torch.empty(len(self.q), self.k)
            for start in range(0, len(self.q), self.rows):
                part = self.q[start : start + self.rows]
                scores = torch.matmul(part, self.x, out=self.buffer[: len(part)])
                torch.topk(scores, self.k, out=(score[start : start + len(part)], index[start : start + len(part)]))
        self.index, self.score = index, score
