"""What the subjects share: timing, libraries that may be absent, the card's name."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def timed(call: Callable[[], Any]) -> Callable[[], float]:
    """Seconds of a call that ends with a copy to the host, and so with the device idle."""

    def seconds() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return seconds


ALONE = False
"""Whether other projects' programs are left out."""


def torch_on_gpu() -> bool:
    """Whether PyTorch is wanted and computes on the GPU."""
    if ALONE:
        return False
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def peer(name: str) -> Any:
    """The module of a program of peers/."""
    return importlib.import_module(f"peers.{name}")


def gap(mine: np.ndarray, truth: np.ndarray) -> float:
    """Greatest difference over the greatest element."""
    return float(np.abs(mine - truth).max() / np.abs(truth).max())


def card() -> str:
    """The card's name as a folder's, such as `nvidia-h200`."""
    return re.sub(r"[^a-z0-9]+", "-", device_name().split(",")[0].lower()).strip("-")


def device_name() -> str:
    """Name, memory and versions of the card."""
    return importlib.import_module("milk_np.backends.cupy").description()
