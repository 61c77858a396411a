"""Every system of the paper's table as the contract tests see it.

A system stands in a file of its own, `NAME_cases.py`, with one `CASE`; it is found by its name. `problems` makes the
objective's parts on small random inputs: each is a dictionary of tables, our loss with its gradients, and the loss as
an independent program for PyTorch writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from planting import Mutation

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.kernels import cpu
from milk_np.nn.adam import Adam, AdamRows
from milk_np.nn.embedding import RowGradient, scatter_add

Tables = dict[str, NDArray[Any]]


@dataclass
class Sizes:
    """Shapes and random numbers of a problem: B rows, n items, M modalities of `width` numbers in all, width K."""

    seed: int = 0
    B: int = 6
    n: int = 4
    M: int = 2
    K: int = 3
    dtype: type = np.float64
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    @property
    def width(self) -> int:
        """Numbers of all modalities together."""
        return 2 * self.M + 1

    def normal(self, *shape: int, scale: float = 1.0) -> NDArray[Any]:
        return (self.rng.standard_normal(shape) * scale).astype(self.dtype)

    def ids(self, count: int, below: int) -> NDArray[np.int64]:
        return self.rng.integers(0, below, count)

    def mask(self, count: int) -> NDArray[np.bool_]:
        return self.rng.random(count) < 0.5


@dataclass
class Problem:
    """One objective: `ours(tables)` gives its parts and the gradients of what it moves, `theirs(tensors)` the loss.

    Both may move running means among their tables.
    """

    tables: Tables
    ours: Callable[[Mapping[str, Any]], tuple[Sequence[Any], dict[str, Any]]]
    theirs: Callable[[Mapping[str, Any]], Any]


@dataclass
class Case:
    """A system. `problems` may be called with other copies of the module `objective`, in which errors are planted."""

    name: str
    options: dict[str, Any]
    """Settings for a short training of the set `small_set`."""
    objective: str
    problems: Callable[[ModuleType, Sizes], list[Problem]]
    planted: list[tuple[str, str]]
    """Errors: text that stands once in the module `objective`, and what it becomes."""
    optimisers: Callable[[Tables], list[Any]]
    """The system's optimisers, one for each problem, over these tables."""
    their_optimisers: Callable[[Mapping[str, Any]], list[Any]]
    """The same of PyTorch."""
    accurate: dict[str, Any] = field(default_factory=dict)
    """Settings with which it learns a set of 400 items in seconds, besides `options`; without any it isn't tried."""
    cancelling: tuple[str, ...] = ("_b1",)
    """Ends of the names of tables that the loss doesn't depend on, such as a bias below a batch norm: their gradients
    are rounding, of the size of the terms that cancel."""


def cases() -> list[Case]:
    """All systems."""
    files = sorted(path.stem for path in Path(__file__).parent.glob("*_cases.py"))
    return [import_module(name).CASE for name in files]


def planted(module: str, old: str, new: str) -> ModuleType:
    """A copy of a module in which `old`, which stands in it once, is `new`."""
    original = import_module(module)
    text = Path(str(original.__file__)).read_text()
    wrong = ModuleType(original.__name__)
    code = compile(Mutation(new, module, old, new).planted(text), str(original.__file__), "exec")
    exec(code, wrong.__dict__)
    return wrong


def modality_widths(s: Sizes) -> tuple[int, ...]:
    """Numbers of each modality, `s.width` together."""
    return (3, *(2 for _ in range(s.M - 1)))


def content(s: Sizes, n: int) -> NDArray[Any]:
    """Rows (n, width) of M modalities side by side, each at unit length, or zeros where missing, never all of them."""
    parts = [s.normal(n, width) for width in modality_widths(s)]
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    kept = s.rng.random((n, s.M)) < 0.6
    kept[np.arange(n), s.rng.integers(0, s.M, n)] = True
    return np.hstack([part * own[:, None] for part, own in zip(parts, kept.T, strict=True)]).astype(s.dtype)


def dense(gradient: Any, table: NDArray[Any]) -> NDArray[Any]:
    """A gradient of rows as one of the whole table."""
    rows = isinstance(gradient, RowGradient)
    return scatter_add(gradient.ids, gradient.values, len(table)) if rows else gradient


class RowOptimisers:
    """Adam by rows on P and Q, which stay behind where they have no gradient, and dense Adam on the tables `whole`."""

    def __init__(self, tables: Tables, whole: Sequence[str], lr: float) -> None:
        self.rows = AdamRows({name: tables[name] for name in ("P", "Q")}, lr, cpu)
        self.whole = Adam({name: tables[name] for name in whole}, lr, kernels=cpu)

    def step(self, gradients: Mapping[str, Any]) -> None:
        there = {name: np.flatnonzero(gradients[name].any(axis=1)).astype(np.int32) for name in ("P", "Q")}
        for name, ids in there.items():
            self.rows.catch_up(name, ids)
        self.rows.step({name: RowGradient(ids, gradients[name][ids]) for name, ids in there.items()})
        self.whole.step({name: gradients[name] for name in self.whole.tables})
        for name in there:
            self.rows.catch_up(name)


def small_set(M: int = 2, protocol: str = "FTMT") -> Dataset:
    """A built-in set small enough to train on in a second."""
    widths = {f"m{m}": 8 + m for m in range(M)}
    ds = make_synthetic(120, 110, 1800, widths, new_items=0.3, seed=4)
    return apply_protocol(ds, protocol) if M > 1 else ds


# What programs for PyTorch share


def torch_norm(t: Mapping[str, Any], tower: str, x: Any, *, train: bool, momentum: float, eps: float) -> Any:
    """Batch norm as TensorFlow 1 has it: the running variance takes the biased one."""
    import torch

    mean, var = t[f"{tower}_mean"], t[f"{tower}_var"]
    if train:
        batch_mean, batch_var = x.mean(0), x.var(0, unbiased=False)
        with torch.no_grad():
            mean.mul_(1 - momentum).add_(momentum * batch_mean)
            var.mul_(1 - momentum).add_(momentum * batch_var)
        mean, var = batch_mean, batch_var
    gamma = t.get(f"{tower}_gamma", 1.0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + t[f"{tower}_beta"]


def torch_tower(t: Mapping[str, Any], tower: str, x: Any, *, train: bool, momentum: float, eps: float = 1e-3) -> Any:
    """Linear, batch norm, tanh, linear."""
    import torch

    h = x @ t[f"{tower}_W1"] + t[f"{tower}_b1"]
    h = torch.tanh(torch_norm(t, tower, h, train=train, momentum=momentum, eps=eps))
    return h @ t[f"{tower}_W2"] + t[f"{tower}_b2"]


def tower_tables(s: Sizes, tower: str, D: int, H: int, K: int) -> Tables:
    """Random tables of `milk_np.nn.tower`."""
    drawn = {"W1": s.normal(D, H), "b1": s.normal(H), "gamma": 1 + s.normal(H, scale=0.2), "beta": s.normal(H)}
    drawn |= {"mean": s.normal(H), "var": (1 + s.rng.random(H)).astype(s.dtype)}
    return {f"{tower}_{name}": x for name, x in {**drawn, "W2": s.normal(H, K), "b2": s.normal(K)}.items()}
