"""Rows of a feature table into a buffer by torch.index_select."""

from __future__ import annotations

import torch

from peers.gathering import Gather


class Program(Gather):
    """`index_select` into the buffer; float16 rows are selected first and widened after."""

    def __init__(self, problem, half: bool = False) -> None:
        super().__init__(problem, half)
        torch.set_num_threads(2)
        self.tables = [torch.from_numpy(x) for x in self.x]
        self.buffers = [torch.from_numpy(out) for out in self.out]
        self.narrow = [torch.empty(out.shape, dtype=x.dtype) for x, out in zip(self.tables, self.buffers, strict=True)]
        self.at = torch.from_numpy(self.rows)

    def gather(self) -> None:
        for x, out, narrow in zip(self.tables, self.buffers, self.narrow, strict=True):
            if x.dtype == out.dtype:
                torch.index_select(x, 0, self.at, out=out)
            else:
                out.copy_(torch.index_select(x, 0, self.at, out=narrow))
