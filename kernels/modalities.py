"""What goes through the modalities one after the other, the same for every kernel of one modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from milk_np.kernels.arrays import Floats, Ints, Table


def each_modality(
    extract: Callable[..., None], extract_backward: Callable[..., None]
) -> tuple[Callable[..., list[Any]], Callable[..., None]]:
    """`extract_all` and `extract_all_backward`, which call these for one modality after the other."""

    def extract_all(
        tables: Sequence[Table], rows: Ints, weights: Sequence[Floats], biases: Sequence[Floats], out: Floats
    ) -> list[Any]:
        """`extract` of every modality into `out` (M, n, K); what the backward pass may want of each: here nothing."""
        for table, weight, bias, c in zip(tables, weights, biases, out, strict=True):
            extract(*table, rows, weight, bias, c)
        return [None] * len(tables)

    def extract_all_backward(
        tables: Sequence[Table],
        rows: Ints,
        dout: Floats,
        dweights: Sequence[Floats],
        dbiases: Sequence[Floats],
        caches: Sequence[Any],
    ) -> None:
        """`extract_backward` of every modality, `dout` (M, n, K), with what `extract_all` returned as `caches`."""
        for table, dc, dweight, dbias, cache in zip(tables, dout, dweights, dbiases, caches, strict=True):
            extract_backward(*table, rows, dc, dweight, dbias, cache)

    return extract_all, extract_all_backward
