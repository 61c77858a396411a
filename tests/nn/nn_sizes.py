"""Sizes and random inputs of the cases of blocks, their register, and modules with an error planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from planting import Mutation
from scipy.sparse import csr_array

MODULES = (
    "activations", "batch_norm", "contrastive", "dropout", "embedding", "experts", "fusion", "gaussian", "graph",
    "linear", "losses", "margins", "penalty", "row_norm", "softmax", "switch",
)  # fmt: skip
REDUCTIONS = ("mean", "sum", "none")


def library(**replaced: ModuleType) -> SimpleNamespace:
    """The modules of `milk_np.nn` by name, some of them replaced by others."""
    return SimpleNamespace(**{name: import_module(f"milk_np.nn.{name}") for name in MODULES} | replaced)


def planted(module: str, old: str, new: str) -> ModuleType:
    """A module of `milk_np.nn` with `old`, which stands in it exactly once, replaced by `new`."""
    original = import_module(f"milk_np.nn.{module}")
    mutation = Mutation(new, f"milk_np/nn/{module}.py", old, new)
    wrong = ModuleType(original.__name__)
    exec(compile(mutation.planted(Path(original.__file__).read_text()), original.__file__, "exec"), wrong.__dict__)
    return wrong


@dataclass
class Sizes:
    """Random inputs of a case; `put` moves constants to the device, `kernels` are the engine's for it."""

    seed: int = 0
    n: int = 4
    D: int = 3
    K: int = 3
    scale: float = 1.0
    reduction: str = "mean"
    full: bool = True  # False: nothing owned, mask or kept
    put: Callable = np.asarray
    kernels: str = "reference"
    xp: ModuleType = np
    dtype: type = np.float64
    rng: np.random.Generator = field(init=False)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def normal(self, *shape, scale=None):
        return self.rng.standard_normal(shape) * (self.scale if scale is None else scale)

    def away(self, *shape):
        """Normal numbers that keep away from 0, where some functions have a kink."""
        x = self.normal(*shape)
        return x + np.copysign(0.05, x)

    def ids(self, count, below):
        return self.put(self.rng.integers(0, max(1, below), count).astype(np.int32))

    def sparse(self, rows, columns):
        filled = (self.rng.random((rows, columns)) < 0.5) & self.full
        return csr_array(np.where(filled, self.rng.random((rows, columns)), 0))

    def mask(self, *shape):
        return self.put((self.rng.random(shape) < 0.6) & self.full)


BLOCKS: dict[str, Callable] = {}
"""By name `module.block`: a function of the library and the sizes to the variables and the call."""


def block(module):
    return lambda make: BLOCKS.setdefault(f"{module}.{make.__name__}", make)
