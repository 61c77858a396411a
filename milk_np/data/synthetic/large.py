"""Synthetic sets of any size, written to a folder in blocks: memory doesn't grow with the number of users."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from milk_np.data.missing import Mask
from milk_np.data.split import draw_new_items
from milk_np.data.storage import FEATURE, new_folder, write_meta
from milk_np.data.synthetic.planted import Plan, item_content, modality_rows, pair_blocks

_PAIRS_READ = 1 << 22


def write_synthetic(path: str | PathLike[str], plan: Plan, mask: Mask | None = None) -> Path:
    """Write the set of `plan`, under `mask`, to the folder `path`; it equals `make_synthetic` of these sizes.

    Memory holds one block at a time, the latent content (32 bytes per item) and a count per item.
    """
    path = Path(path)
    with new_folder(path) as folder:
        z = item_content(plan)
        count = _write_pairs(folder, plan, z)
        _write_split(folder, plan, count, mask)
        for m, name in enumerate(plan.modality_widths):
            with NpyWriter(folder / f"{FEATURE}{name}.npy") as writer:
                for block in plan.item_blocks():
                    writer.append(modality_rows(plan, z, m, block))
        meta = plan.meta() | ({} if mask is None else mask.meta())
        write_meta(folder, meta)
    return path


def _write_pairs(folder: Path, plan: Plan, z: NDArray[np.float32]) -> NDArray[np.int64]:
    """Write user and item; return the number of pairs of each item."""
    count = np.zeros(plan.n_items, dtype=np.int64)
    with NpyWriter(folder / "user.npy") as users, NpyWriter(folder / "item.npy") as items:
        for user, item in pair_blocks(plan, z):
            users.append(user)
            items.append(item)
            count += np.bincount(item, minlength=plan.n_items)
    return count


def _write_split(folder: Path, plan: Plan, count: NDArray[np.int64], mask: Mask | None) -> None:
    item_split = draw_new_items(np.flatnonzero(count), plan.n_items, plan.new_items, plan.seed)
    names = np.array(list(plan.modality_widths), dtype=np.str_)
    np.save(folder / "item_split.npy", item_split)
    np.save(folder / "modalities.npy", names)
    everything = np.ones((plan.n_items, len(names)), dtype=np.bool_)
    np.save(folder / "available.npy", mask.draw(item_split, len(names)) if mask else everything)
    item = np.load(folder / "item.npy", mmap_mode="r")
    with NpyWriter(folder / "split.npy") as writer:
        for start in range(0, len(item), _PAIRS_READ):
            writer.append(item_split[item[start : start + _PAIRS_READ]])


class NpyWriter:
    """A `.npy` file that grows along its first axis; the final length is written to the header on closing."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._length = 0
        self._like: NDArray[Any] | None = None

    def append(self, rows: NDArray[Any]) -> None:
        """Write more rows of the same type and width."""
        if self._like is None:
            self._like = rows[:0]
            self._write_header()
        if rows.size:
            self._file.write(np.ascontiguousarray(rows).data.cast("B"))
        self._length += len(rows)

    def _write_header(self) -> None:
        # NumPy pads the header so that the length of the first axis may grow in place.
        like = np.empty(0) if self._like is None else self._like
        shape = (self._length, *like.shape[1:])
        header = {"descr": npy.dtype_to_descr(like.dtype), "fortran_order": False, "shape": shape}
        self._file.seek(0)
        npy.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._write_header()
