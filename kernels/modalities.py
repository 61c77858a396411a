"""What goes through the modalities one after the other, the same for every kernel of one modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from milk_np.kernels.arrays import Floats, Ints, Table


def each_modality(
    extract: Callable[..., Any], extract_backward: Callable[..., None]
) -> tuple[Callable[..., list[Any]], Callable[..., None]]:
    """`extract_all` and `extract_all_backward`, which call these for one modality after the other."""

    def extract_all(
        tables: Sequence[Table], rows: Ints, weights: Sequence[Floats], biases: Sequence[Floats], out: Floats
    ) -> list[Any]:
        """`extract` of every modality into `out` (M, n, K); what it returns for the backward pass, if anything."""
        parts = zip(tables, weights, biases, out, strict=True)
        return [extract(*table, rows, weight, bias, c) for table, weight, bias, c in parts]

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
            kept = () if cache is None else (cache,)
            extract_backward(*table, rows, dc, dweight, dbias, *kept)

    return extract_all, extract_all_backward
