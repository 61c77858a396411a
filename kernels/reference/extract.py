"""Linear extractor on rows of a feature table: c = x W + b and its backward pass.

The table is virtual: row i of the features is `scale[i] * (raw[s] if s >= 0 else fill[~s])`, s = source[i]. Scaling
commutes with the product, so no normalised or imputed copy of the features is ever made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.modalities import each_modality


def gather(raw: Floats, fill: Floats, source: Ints, scale: Floats, rows: Ints, out: Floats) -> Floats:
    """Rows `rows` (n) of the virtual table, widened to the type of `out` (n, D), into `out`."""
    origin = source[rows]
    present = origin >= 0
    out[present] = raw[origin[present]]
    out[~present] = fill[~origin[~present]]
    out *= scale[rows, None].astype(out.dtype)
    return out


def extract(
    raw: Floats,
    fill: Floats,
    source: Ints,
    scale: Floats,
    rows: Ints,
    weight: Floats,
    bias: Floats,
    out: Floats,
) -> None:
    """`out` (n, K) = x[rows] W + b, with W = `weight` (D, K) and b = `bias` (K).

    Returns what `extract_backward` may want as its `cache`: here nothing.
    """
    x = gather(raw, fill, source, scale, rows, np.empty((len(rows), raw.shape[1]), weight.dtype))
    np.matmul(x, weight, out=out)
    out += bias


def extract_backward(
    raw: Floats,
    fill: Floats,
    source: Ints,
    scale: Floats,
    rows: Ints,
    dout: Floats,
    dweight: Floats,
    dbias: Floats,
    cache: Any = None,
) -> None:
    """`dweight` (D, K) = x[rows]^T dout and `dbias` (K) = sum of `dout` (n, K) over the rows."""
    x = gather(raw, fill, source, scale, rows, np.empty((len(rows), raw.shape[1]), dweight.dtype))
    np.matmul(x.T, dout, out=dweight)
    np.sum(dout, axis=0, out=dbias)


extract_all, extract_all_backward = each_modality(extract, extract_backward)
