"""Types of arrays in the signatures of kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Array = Any
"""Of a device: CuPy has no types."""
Table = tuple[Floats, Floats, Ints, Floats]
"""raw (., D), fill (., D), source (I) and scale (I) of a modality; see `milk_np.kernels.reference.extract`."""
