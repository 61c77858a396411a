"""PyTorch autograd on a GPU at its best: eager on the batch's distinct items, compiled, or captured in a CUDA graph.

What depends on the triplets alone (which rows are a first appearance) is worked out before anything is timed.
A compiled or captured step needs sizes that never change: it takes the batch's 2B rows as they are. The last batch of
an epoch, which is smaller, runs eagerly.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from objective import Objective
from torch.nn import functional


def loss_of(P, W, b, x, u, at_i, at_j, first, theta, how: Objective) -> torch.Tensor:
    """The objective of a batch.

    P (U, K), W[m] (D_m, K), b[m] (K); x[m] (n, D_m) rows of items; u (B); at_i, at_j (B) places of the items in those
    rows; first (n) 1.0 where a row is the first appearance of a positive; theta (E, M).
    """
    c = [torch.addmm(bias, rows, weight) for bias, rows, weight in zip(b, x, W, strict=True)]
    p = functional.embedding(u, P)
    ci, cj = ([functional.embedding(at, part) for part in c] for at in (at_i, at_j))
    margins = torch.stack([(p * (a - d)).sum(1) for a, d in zip(ci, cj, strict=True)])
    losses = functional.softplus(-(theta @ margins)).mean(1)
    risk = losses.sum() if how.risk == "sum" else losses.mean()
    zi, zj = sum(ci) / len(c), sum(cj) / len(c)
    norms = (p.square().sum() + zi.square().sum() + zj.square().sum()) / len(u)
    elements = first.sum() * P.shape[1]
    align = sum(((c[a] - c[d]).square().sum(1) @ first) / elements for a, d in combinations(range(len(c)), 2))
    return risk + how.invariance * losses.var() + how.align * align + how.reg * norms


MODES = {
    "eager": (False, False),
    "compiled": (True, False),
    "graph": (False, True),
    "compiled graph": (True, True),
}
"""Whether the loss is compiled, and whether the step is captured in a CUDA graph."""


class Program:
    """`run(steps)` trains on; see peers/numpy_plain.py for the contract. mode: a key of MODES."""

    def __init__(self, problem, how: Objective, mode: str = "eager", device: str = "cuda") -> None:
        torch.backends.cuda.matmul.allow_tf32 = False  # the same arithmetic for all
        self.problem, self.how, self.mode, self.step = problem, how, mode, 0
        self.M, self.device = len(problem.shape.widths), device
        self.x = [self.put(rows) for rows in problem.x]
        self.params = {key: self.put(value).requires_grad_() for key, value in problem.parameters.items()}
        compiled, captured = MODES[mode]
        options = {"fused": True, "capturable": captured}
        self.adam = torch.optim.Adam(self.params.values(), how.lr, (how.beta1, how.beta2), how.eps, **options)
        self.batches = [self.fixed(step) for step in range(problem.steps)]
        self.loss = torch.compile(self.loss_of_rows, mode="default") if compiled else self.loss_of_rows
        self.captured = self.capture() if captured else None

    def put(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def fixed(self, step: int) -> tuple[torch.Tensor, ...]:
        """Users, items (2B), first appearances of a positive, and theta of a step, on the device."""
        u, i, j, theta = self.problem.batch(step)
        first = np.zeros(2 * len(u), np.float32)
        first[np.unique(i, return_index=True)[1]] = 1
        return tuple(map(self.put, (u, np.concatenate((i, j)), first, theta)))

    def weights(self) -> tuple:
        W, b = ([self.params[f"{k}{m}"] for m in range(self.M)] for k in "Wb")
        return self.params["P"], W, b

    def loss_of_rows(self, u, items, first, theta) -> torch.Tensor:
        """The loss on the batch's 2B rows as they are."""
        at = torch.arange(len(items), device=items.device)
        x = [rows.index_select(0, items) for rows in self.x]
        return loss_of(*self.weights(), x, u, at[: len(u)], at[len(u) :], first, theta, self.how)

    def loss_of_distinct(self, u, items, first, theta) -> torch.Tensor:
        """The loss on the batch's distinct items; finding them makes the host wait."""
        distinct, at = torch.unique(items, return_inverse=True)
        positive = torch.zeros(len(distinct), device=items.device).index_fill_(0, at[: len(u)], 1.0)
        x = [rows.index_select(0, distinct) for rows in self.x]
        return loss_of(*self.weights(), x, u, at[: len(u)], at[len(u) :], positive, theta, self.how)

    def capture(self):
        """A CUDA graph of one whole step on fixed inputs, and these inputs; the parameters are left as they were."""
        inputs = tuple(x.clone() for x in self.batches[0])
        saved = [x.detach().clone() for x in self.params.values()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.take(self.loss, inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        self.adam.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            loss = self.take(self.loss, inputs)
        with torch.no_grad():
            for x, start in zip(self.params.values(), saved, strict=True):
                x.copy_(start)
            for state in self.adam.state.values():
                for value in state.values():
                    value.zero_()
        return graph, inputs, loss

    def take(self, loss_of_batch, batch) -> torch.Tensor:
        """One step; its loss, still on the device."""
        self.adam.zero_grad(set_to_none=True)
        loss = loss_of_batch(*batch)
        loss.backward()
        self.adam.step()
        return loss.detach()

    def take_step(self) -> torch.Tensor:
        """The step at hand, in the program's mode."""
        batch = self.batches[self.step % self.problem.steps]
        self.step += 1
        whole = len(batch[0]) == len(self.batches[0][0])
        if self.captured is not None and whole:
            graph, inputs, loss = self.captured
            for mine, new in zip(inputs, batch, strict=True):
                mine.copy_(new)
            graph.replay()
            return loss.clone()
        compiled = self.mode == "compiled" and whole
        return self.take(self.loss if compiled else self.loss_of_distinct, batch)

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the step at hand and its "loss", without taking it."""
        self.adam.zero_grad(set_to_none=True)
        batch = self.batches[self.step % self.problem.steps]
        loss = (self.loss_of_distinct if self.mode == "eager" else self.loss_of_rows)(*batch)
        loss.backward()
        return {key: value.grad.cpu().numpy() for key, value in self.params.items()} | {"loss": loss.item()}

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches; the losses come home at the end."""
        return torch.stack([self.take_step() for _ in range(steps)]).tolist()

    def state(self) -> dict[str, np.ndarray]:
        """Parameters as float32 arrays under the problem's names."""
        return {key: value.detach().cpu().numpy() for key, value in self.params.items()}


class Search:
    """`search()` finds the k best by matmul and topk, in blocks of queries whose scores fit `tile` numbers."""

    def __init__(
        self, queries: np.ndarray, items: np.ndarray, k: int, tile: int = 1 << 26, device: str = "cuda"
    ) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        self.queries, self.items = (torch.from_numpy(x).to(device) for x in (queries, items))
        self.k, self.rows = k, max(1, tile // len(items))

    def search(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and scores, brought home."""
        with torch.inference_mode():
            parts = [torch.topk(part @ self.items.T, self.k) for part in self.queries.split(self.rows)]
            score, index = (torch.cat(each) for each in zip(*parts, strict=True))
            return index.cpu().numpy(), score.cpu().numpy()
