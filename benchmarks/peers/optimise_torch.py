"""PyTorch's fused Adam on a dense gradient, which is what an embedding's backward pass makes."""

from __future__ import annotations

import numpy as np
import torch

from peers.optimiser import LR, Optimiser


class Program(Optimiser):
    """The gradient is put into a zeroed table of the same memory at every step, as autograd would."""

    def __init__(self, n: int, width: int, touched: int) -> None:
        super().__init__(n, width, touched)
        torch.set_num_threads(2)
        self.param = torch.from_numpy(self.table).requires_grad_()
        self.param.grad = torch.zeros_like(self.param)
        self.adam = torch.optim.Adam([self.param], lr=LR, fused=True)

    def step(self, rows: np.ndarray, grad: np.ndarray) -> None:
        if self.whole:
            self.param.grad = torch.from_numpy(grad)
        else:
            self.param.grad.zero_()
            self.param.grad.index_copy_(0, torch.from_numpy(rows).long(), torch.from_numpy(grad))
        self.adam.step()
