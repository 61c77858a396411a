"""PyTorch: matmul, topk and metrics for all users at once, from a dense table of hits."""

from __future__ import annotations

import numpy as np
import torch

from peers.evaluation import CUTOFFS, METRICS, Evaluation


class Program(Evaluation):
    """Users by blocks; the table of relevant items (users, new items) is made once, beforehand."""

    def __init__(self, problem, rows: int = 2048) -> None:
        super().__init__(problem)
        torch.set_num_threads(2)
        self.rows = rows
        who, at = np.unique(self.pairs[0], return_inverse=True)
        self.who = torch.from_numpy(who).long()
        self.wanted = torch.zeros(len(who), len(self.new))
        self.wanted[torch.from_numpy(at), torch.from_numpy(np.searchsorted(self.new, self.pairs[1]))] = 1.0
        self.count = self.wanted.sum(1)
        self.P, self.Z = torch.from_numpy(self.users), torch.from_numpy(self.items)
        self.place = torch.from_numpy(self.new).long()
        self.discount = 1.0 / torch.log2(torch.arange(2, max(CUTOFFS) + 2, dtype=torch.float64))

    def evaluate(self) -> None:
        with torch.inference_mode():
            items, blocks = self.Z[self.place].T, []
            for start in range(0, len(self.who), self.rows):
                some = slice(start, start + self.rows)
                best = torch.topk(self.P[self.who[some]] @ items, max(CUTOFFS)).indices
                blocks.append(self.wanted[some].gather(1, best))
            hit = torch.cat(blocks).double()
            self.figures = {}
            for k in CUTOFFS:
                for name, value in zip(METRICS, self.metrics(hit[:, :k]), strict=True):
                    self.figures[f"{name}@{k}"] = float(value.mean())

    def metrics(self, hit: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The metrics of each user, in the order of METRICS, from the hits (users, k)."""
        k = hit.shape[1]
        ranks, found = torch.arange(1, k + 1), hit.cumsum(1)
        reachable = self.count.clamp(max=k)
        gain = (hit @ self.discount[:k]) / self.discount.cumsum(0)[reachable.long() - 1]
        some = found[:, -1] > 0
        first = some / (hit.argmax(1) + 1)
        precision = (hit * found / ranks).sum(1) / reachable
        return found[:, -1] / self.count, gain, some.double(), first, precision
