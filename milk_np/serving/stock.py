"""Vectors of items by id, packed once for searching. A stock never changes: adding or removing makes another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError
from milk_np.serving.identity import Index
from milk_np.serving.ranking import Rows, finite

Vectors = NDArray[np.float32]
Slots = NDArray[np.int32]

_PART_PANELS = 1024
"""Panels that are searched, and copied when one of them changes, together: 12 MB at 64 numbers a vector."""
_MORE = 64
"""Items, on top of k, that get a second look."""


@dataclass(frozen=True, eq=False)
class Half:
    """Panels in half precision: bits (P, K, C) uint16; the largest distance to a vector, and the longest vector."""

    bits: NDArray[np.uint16]
    loss: float
    longest: float

    @classmethod
    def of(cls, panels: Vectors) -> Half:
        """`panels` (P, K, C) float32 rounded; what half precision has no number for has an infinite loss."""
        with np.errstate(over="ignore"):
            rounded = panels.astype(np.float16)
        lost = panels - rounded
        loss, longest = (
            np.nan_to_num(np.sqrt(np.einsum("pkc,pkc->pc", x, x)), nan=0.0, posinf=np.inf) for x in (lost, panels)
        )
        return cls(rounded.view(np.uint16), float(loss.max(initial=0)), float(longest.max(initial=0)))


@dataclass(frozen=True, eq=False)
class Stock:
    """N items in a fixed order, by which those that tie are ranked; new ones go to the end.

    Attributes
    ----------
    ids : list of N texts
        "" where an item was removed.
    slots : place of each id that is there
    parts : panels (P, K, C) of C items side by side, `_PART_PANELS` each but the last
        NaN where an item was removed: such a score is never listed.
    width : K
    halves : the parts in half precision, if a single query is to read those first
    """

    ids: list[str]
    slots: dict[str, int]
    parts: tuple[Vectors, ...]
    width: int
    halves: tuple[Half, ...] | None = None

    @classmethod
    def of(cls, ids: Sequence[str], vectors: Vectors, half: bool = False) -> Stock:
        """Items `ids` with `vectors` (N, K), also in half precision if `half` and the processor widens it."""
        return cls([], {}, (), vectors.shape[1], () if half and _widens_half() else None).put(ids, vectors)

    def __len__(self) -> int:
        return len(self.slots)

    def __contains__(self, name: object) -> bool:
        return name in self.slots

    @property
    def names(self) -> list[str]:
        """Ids of the items that are there, in order."""
        return [name for name in self.ids if name]

    # Writing

    def put(self, ids: Sequence[str], vectors: Vectors) -> Stock:
        """With `vectors` (n, K) for the items `ids`: those that are there keep their place, others follow."""
        vectors = self._checked(ids, vectors)
        fresh = [name for name in ids if name not in self.slots]
        names = [*self.ids, *fresh]
        slots = {**self.slots, **dict(zip(fresh, range(len(self.ids), len(names)), strict=True))}
        places = np.array([slots[name] for name in ids], np.int64)
        return self._with(names, slots, self._written(places, _ordered(vectors), len(names)))

    def without(self, ids: Sequence[str]) -> Stock:
        """Without the items `ids`; the others keep their order. DataError for one that isn't there."""
        gone, lost = self.places(ids), set(ids)
        slots = {name: slot for name, slot in self.slots.items() if name not in lost}
        if len(slots) < len(self.ids) // 2:
            kept = list(slots)
            return Stock.of(kept, self.vectors(self.places(kept)), self.halves is not None)
        names = self.ids.copy()
        for slot in gone.tolist():
            names[slot] = ""
        nothing = np.full((len(gone), self.width), np.nan, np.float32)
        return self._with(names, slots, self._written(gone, nothing, len(names)))

    def _with(self, names: list[str], slots: dict[str, int], parts: tuple[Vectors, ...]) -> Stock:
        if self.halves is None:
            return Stock(names, slots, parts, self.width)
        before = {id(part): half for part, half in zip(self.parts, self.halves, strict=True)}
        halves = tuple(before.get(id(part)) or Half.of(part) for part in parts)
        return Stock(names, slots, parts, self.width, halves)

    def _checked(self, ids: Sequence[str], vectors: Vectors) -> Vectors:
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(ids), self.width):
            raise DataError(f"vectors: expected shape {(len(ids), self.width)}, got {vectors.shape}")
        if len(set(ids)) < len(ids):
            twice = next(name for at, name in enumerate(ids) if name in ids[:at])
            raise DataError(f"items: {twice!r} is given twice; give each item once")
        if "" in ids:
            raise DataError("items: an id is empty; give each item an id")
        return finite(vectors, "item", np.arange(len(ids), dtype=np.int32))

    def _written(self, places: NDArray[np.integer[Any]], vectors: Vectors, n: int) -> tuple[Vectors, ...]:
        """Panels for n items, with `vectors` at `places`; parts without any of these are shared."""
        columns, parts = _columns(), list(self.parts)
        panels = -(-n // columns)
        panel, part = places // columns, places // columns // _PART_PANELS
        for number in range(-(-panels // _PART_PANELS)):
            chosen = np.flatnonzero(part == number)
            if not len(chosen) and number < len(parts):
                continue
            size = min(_PART_PANELS, panels - number * _PART_PANELS)
            copy = np.zeros((size, self.width, columns), np.float32)
            if number < len(parts):
                copy[: len(parts[number])] = parts[number]
            if len(chosen) > 4 * size:  # all in one pass over the rows: scattered writes take ten times as long
                rows = copy.transpose(0, 2, 1).reshape(size * columns, self.width)
                rows[places[chosen] - number * _PART_PANELS * columns] = vectors[chosen]
                copy = np.ascontiguousarray(rows.reshape(size, columns, self.width).transpose(0, 2, 1))
            else:
                copy[panel[chosen] - number * _PART_PANELS, :, places[chosen] % columns] = vectors[chosen]
            parts[number : number + 1] = [copy]
        return tuple(parts)

    # Reading

    def places(self, ids: Iterable[str]) -> Slots:
        """Place of each of `ids`. DataError for one that isn't there, naming the most similar one."""
        found = [self.slots.get(name, -1) for name in ids]
        if -1 in found:
            names = np.array(self.names, np.str_)
            raise DataError(Index(names, len(names), "item").unknown(list(ids)[found.index(-1)]))
        return np.array(found, np.int32)

    def vectors(self, places: Slots) -> Vectors:
        """Vectors (n, K) of the items at `places`."""
        out, columns = np.empty((len(places), self.width), np.float32), _columns()
        part, panel = places // columns // _PART_PANELS, places // columns % _PART_PANELS
        for number in np.unique(part).tolist():
            here = part == number
            out[here] = self.parts[number][panel[here], :, places[here] % columns]
        return _ordered(out, back=True)

    def search(
        self, queries: Vectors, k: int, exclude: Sequence[Slots] | None = None, among: Slots | None = None
    ) -> tuple[Slots, Vectors]:
        """Places (Q, k) and scores (Q, k) of the best items for each of `queries` (Q, K), padded with -1 and -inf.

        `exclude` has the places that each query must not get, `among` those to choose from, both ascending.
        """
        from milk_np.kernels.cpu.topk import top_k, top_k_packed  # loads Numba

        if among is None:
            found = self._two_looks(queries, k, exclude) if self.halves and len(queries) == 1 else None
            return found or top_k_packed(queries, _numbered(self.parts), len(self.ids), k, *_compressed(exclude))
        if exclude is not None:
            exclude = [np.flatnonzero(np.isin(among, row)).astype(np.int32) for row in exclude]
        place, score = top_k(queries, self.vectors(among), k, *_compressed(exclude))
        return (np.where(place < 0, np.int32(-1), among[place]) if len(among) else place), score

    def _two_looks(self, query: Vectors, k: int, exclude: Sequence[Slots] | None) -> tuple[Slots, Vectors] | None:
        """The list of one query (1, K): the best by half precision, and somewhat more, are scored exactly.

        None if an item that was left out might belong to the list: its score is at most the last rough one and what
        rounding adds to it, |q| (loss + 3 K 2^-24 (longest + loss)).
        """
        from milk_np.kernels.cpu.topk import top_k, top_k_packed

        halves = self.halves or ()
        loss, longest = (max(values) for values in zip(*((half.loss, half.longest) for half in halves), strict=True))
        if not np.isfinite(loss):
            return None
        parts = _numbered([half.bits for half in halves])
        place, rough = top_k_packed(query, parts, len(self.ids), 2 * k + _MORE, *_compressed(exclude))
        some = np.sort(place[0][place[0] >= 0])
        position, score = top_k(query, self.vectors(some), k)
        unsure = float(np.linalg.norm(query)) * (loss + 3 * self.width * 2.0**-24 * (longest + loss)) * 1.001
        if place[0, -1] >= 0 and not score[0, -1] > rough[0, -1] + unsure:
            return None
        return (np.where(position < 0, np.int32(-1), some[position]) if len(some) else position), score


def _numbered(parts: Sequence[NDArray[Any]]) -> Iterator[tuple[NDArray[Any], int]]:
    for number, panels in enumerate(parts):
        yield panels, number * _PART_PANELS * _columns()


def _compressed(rows: Sequence[Slots] | None) -> Rows | tuple[None, None]:
    if rows is None:
        return None, None
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return indptr, np.concatenate([np.empty(0, np.int32), *rows])


def _columns() -> int:
    """Items side by side in a panel, as the search has them on this processor."""
    from milk_np.kernels.cpu.score_tile import COLUMNS

    return COLUMNS


def _ordered(vectors: Vectors, back: bool = False) -> Vectors:
    """Vectors (n, K) with their numbers as the search has them in panels, or from there `back`."""
    from milk_np.kernels.cpu.order import column_order, parts_of

    if parts_of(vectors.shape[1]) == 1:
        return vectors
    order = column_order(vectors.shape[1])
    return np.ascontiguousarray(vectors[:, np.argsort(order) if back else order])


def _widens_half() -> bool:
    from milk_np.kernels.cpu.vectors import HALF

    return HALF
