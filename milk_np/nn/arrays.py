"""NumPy or CuPy: the blocks are one array program for both, and load CuPy only if the array at hand is CuPy's."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array as Array


def array_module(x: Array) -> Any:
    """The module whose functions work on `x`: cupy for CuPy's arrays, numpy for all else."""
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(x, cupy.ndarray) else np


def on_device(x: Array) -> bool:
    """Whether `x` is an array of CuPy."""
    return array_module(x) is not np


def to_host(x: Array) -> NDArray[Any]:
    """A copy of `x` as a NumPy array."""
    return x.get() if on_device(x) else np.array(x)


@cache
def host_kernels() -> Any:
    """The compiled kernels of the host, loaded when a block first has a use for them."""
    return import_module("milk_np.kernels.cpu")


def compiled(*arrays: Array) -> bool:
    """Whether compiled kernels take these arrays: float32 of the host. Proofs, in float64, see the formulas."""
    return all(isinstance(x, np.ndarray) and x.dtype == np.float32 for x in arrays)
