"""The paper's other systems in PyTorch, as an expert writes them: gradients by autograd, each distinct row once.

Tables, content and batches are those of `systems_milk`; batches are drawn beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from peers import systems_torch_losses as losses


class Program:
    """`run(steps)` trains on; `gradients` are those of the first step. `still`: no dropout, noise as given."""

    def __init__(self, given: str, system: str, still: bool = False, compiled: bool = False) -> None:
        torch.set_num_threads(2)
        with np.load(given) as arrays:
            found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        part = lambda letter: {n[2:]: x for n, x in found.items() if n.startswith(f"{letter}/")}  # noqa: E731
        self.tables, self.system, self.at = part("t"), system, 0
        self.batches = batches(part("b"))
        make = losses.SYSTEMS[system]
        self.model = make(self.tables, losses.Content(found["x"]), part("g"), still)
        self.phases = [(torch.compile(phase, dynamic=True) if compiled else phase, o) for phase, o in self.model.phases]

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches; the loss of each."""
        found = []
        for _ in range(steps):
            found.append(learn(self.phases, self.model.prepared(self.batches[self.at % len(self.batches)])))
            self.at += 1
        return found

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of all tables at the first step, without taking it."""
        batch = self.model.prepared(self.batches[0])
        running = {name: x.clone() for name, x in self.model.t.items() if name.endswith(("_mean", "_var"))}
        for phase, optimisers in self.phases:
            phase(*batch).backward()
            for optimiser in optimisers:  # one network's gradient must not reach the other's
                for group in optimiser.param_groups:
                    for x in group["params"]:
                        x.kept, x.grad = x.grad, None
        for name, x in running.items():
            self.model.t[name].copy_(x)
        found = {name: dense(x.kept).numpy() for name, x in self.model.learned.items() if x.kept is not None}
        return self.model.named(found)


class Learner:
    """Trains from given tables ("t/NAME"), content ("x") and graphs on batches that are handed in one by one."""

    def __init__(self, given: dict[str, np.ndarray], system: str, seed: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        found = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in given.items()}
        part = lambda letter: {n[2:]: x for n, x in found.items() if n.startswith(f"{letter}/")}  # noqa: E731
        self.model = losses.SYSTEMS[system](part("t"), losses.Content(found["x"]), part("g"), False)
        self.rates = [(group, group["lr"]) for _, each in self.model.phases for o in each for group in o.param_groups]

    def step(self, batch: dict[str, np.ndarray], rate: float) -> float:
        """Learn from a batch at so many times the first learning rates; its loss."""
        for group, lr in self.rates:
            group["lr"] = rate * lr
        arrays = {f"0/{name}": torch.from_numpy(np.array(x)) for name, x in batch.items()}
        return learn(self.model.phases, self.model.prepared(batches(arrays)[0]))

    def tables(self) -> dict[str, np.ndarray]:
        """What was learned, and running means, in the forms and names of the tables that were given."""
        learned = self.model.named({name: x.detach().numpy() for name, x in self.model.learned.items()})
        running = {name: x.numpy() for name, x in self.model.t.items() if name.endswith(("_mean", "_var"))}
        return learned | running


def learn(phases: list[losses.Phase], batch: tuple[Any, ...]) -> float:
    """A step of every phase's optimisers; the sum of the losses."""
    total = 0.0
    for phase, optimisers in phases:
        loss = phase(*batch)
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        total += loss.item()
    return total


def batches(arrays: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """The batches by name; indices in the type that PyTorch's own take."""
    count = 1 + max(int(name.split("/")[0]) for name in arrays)
    found: list[dict[str, torch.Tensor]] = [{} for _ in range(count)]
    for name, x in arrays.items():
        step, _, rest = name.partition("/")
        found[int(step)][rest] = x.long() if x.dtype in (torch.int32, torch.int64) else x
    return found


def dense(x: torch.Tensor) -> torch.Tensor:
    """The whole of a gradient of rows."""
    return x.to_dense() if x.is_sparse else x
