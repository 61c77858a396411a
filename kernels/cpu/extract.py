"""Products with rows of a feature table, multiplied in place (contract: kernels/reference/extract.py).

Every number of a result is one chain of multiply-adds in a fixed order, whatever the number of threads. The lock of
the interpreter is released meanwhile, so that the next batch's rows can be read ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.gathering import gather_half, gather_rows
from milk_np.kernels.cpu.packing import kept, packed_weight
from milk_np.kernels.cpu.products import backward, forward
from milk_np.kernels.modalities import each_modality

Places = tuple[NDArray[np.int64], Floats]
"""Addresses of rows, and their scales: what the forward pass finds and the backward pass needs again."""

WIDEN_BYTES = 4 << 20  # buffer through which rows of another type pass, small enough for the last-level cache


def extract(
    raw: Floats,
    fill: Floats,
    source: Ints,
    scale: Floats,
    rows: Ints,
    weight: Floats,
    bias: Floats,
    out: Floats,
) -> Places | None:
    """c = x W + b for the rows `rows`, into `out`."""
    panels, width = packed_weight(weight), len(weight)
    if raw.dtype == weight.dtype and fill.dtype == weight.dtype:
        places = _places(raw, fill, source, scale, rows)
        forward(*places, panels, width, bias, out)
        return places
    for part in _parts(raw, rows, weight):
        buffer = _widened(raw, fill, source, scale, rows[part], weight)
        forward(_addresses_of(buffer), _ones(buffer), panels, width, bias, out[part])
    return None


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
    """dW = x^T dout and db = sum of dout, for the rows `rows`, into `dweight` and `dbias`."""
    column_sums(dout, dbias)
    if not len(rows):
        dweight[...] = 0
        return
    if raw.dtype == dweight.dtype and fill.dtype == dweight.dtype:
        addresses, scales = cache or _places(raw, fill, source, scale, rows)
        backward(addresses, scales, dout, dweight, False)
        return
    dweight[...] = 0
    for part in _parts(raw, rows, dweight):
        buffer = _widened(raw, fill, source, scale, rows[part], dweight)
        backward(_addresses_of(buffer), _ones(buffer), dout[part], dweight, True)


def backward_columns(
    raw: Floats,
    fill: Floats,
    source: Ints,
    scale: Floats,
    rows: Ints,
    dout: Floats,
    dweight: Floats,
    low: int,
    high: int,
) -> None:
    """Rows `low` ... `high - 1` of dW = x^T dout, with the bits of `extract_backward`."""
    out = dweight[low:high]
    if raw.dtype == dweight.dtype and fill.dtype == dweight.dtype and len(rows):
        addresses, scales = _places(raw, fill, source, scale, rows)
        backward(addresses + low * raw.itemsize, scales, dout, out, False)
        return
    out[...] = 0
    for part in _parts(raw, rows, dweight):
        buffer = _widened(raw, fill, source, scale, rows[part], dweight)
        backward(_addresses_of(buffer) + low * buffer.itemsize, _ones(buffer), dout[part], out, True)


extract_all, extract_all_backward = each_modality(extract, extract_backward)


def gather(raw: Floats, fill: Floats, source: Ints, scale: Floats, rows: Ints, out: Floats) -> Floats:
    """Rows `rows` of the virtual table, widened to the type of `out`, into `out`."""
    if raw.dtype == np.float16:
        gather_half(raw.view(np.uint16), fill, source, scale, rows, out)
    else:
        gather_rows(raw, fill, source, scale, rows, out)
    return out


def _base(table: Floats) -> int:
    return int(table.ctypes.data) if table.size else 0


def _ones(buffer: Floats) -> Floats:
    return np.ones(len(buffer), np.float32)


def _parts(raw: Floats, rows: Ints, like: Floats) -> list[slice]:
    """Slices of `rows` whose widened rows fit the buffer."""
    size = max(1, WIDEN_BYTES // (raw.shape[1] * like.itemsize))
    return [slice(i, min(i + size, len(rows))) for i in range(0, len(rows), size)]


def _widened(raw: Floats, fill: Floats, source: Ints, scale: Floats, rows: Ints, like: Floats) -> Floats:
    shape = len(rows), raw.shape[1]
    return gather(raw, fill, source, scale, rows, kept("rows", shape[0] * shape[1], like).reshape(shape))


def _places(raw: Floats, fill: Floats, source: Ints, scale: Floats, rows: Ints) -> Places:
    """Address and scale of each row of the virtual table."""
    addresses, scales = np.empty(len(rows), np.int64), np.empty(len(rows), scale.dtype)
    _find(_base(raw), _base(fill), raw.shape[1] * raw.itemsize, source, scale, rows, addresses, scales)
    return addresses, scales


def _addresses_of(buffer: Floats) -> NDArray[np.int64]:
    step = buffer.strides[0]
    return _base(buffer) + step * np.arange(len(buffer), dtype=np.int64)


@njit(cache=True)
def _find(
    raw: int, fill: int, row_bytes: int, source: Ints, scale: Floats, rows: Ints, addresses: Ints, scales: Floats
) -> None:
    for r, row in enumerate(rows):
        s = np.int64(source[row])
        addresses[r] = raw + s * row_bytes if s >= 0 else fill + ~s * row_bytes
        scales[r] = scale[row]


@njit(cache=True)
def column_sums(g: Floats, out: Floats) -> None:
    for k in range(g.shape[1]):
        out[k] = 0
    for r in range(g.shape[0]):
        for k in range(g.shape[1]):
            out[k] += g[r, k]
