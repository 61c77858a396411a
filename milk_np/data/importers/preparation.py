"""How raw data are prepared."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from milk_np.errors import SettingsError

SPLITS = ("random", "time", "column")


@dataclass(frozen=True)
class Preparation:
    """How raw data are prepared.

    Attributes
    ----------
    k_core : int
        Keep users and items with at least this many pairs; 0 keeps all.
    new_items : float, optional
        Share of the items that become new, 0 for none; None keeps the data's own split, or takes 0.2 if there is none.
    split_seed : int
        Random seed of the choice of new items.
    merge_duplicates : bool
        Count repeated pairs once instead of raising an error.
    half : bool
        Store features as float16.
    modalities : names to keep, in that order; None keeps all
    missing_rows : among "nan" and "zero"
        Feature rows that mean a missing modality, beside those of NaN only: those with any NaN, those of zeros only.
    name : str, optional
        Name of the data set.
    split : "random", "time" or "column", optional
        How new items are found: drawn, by the time of their first pair, or as a column says. None takes the column if
        one is named, else draws.
    new_since : date, number, or share of the items, optional
        With "time": items first seen then or later are new, and later pairs of the others are left out.
    min_rating : float, optional
        Pairs that are rated lower don't count.
    drop_featureless : bool
        Leave out items without any modality, with their pairs, instead of raising an error.
    """

    k_core: int = 0
    new_items: float | None = None
    split_seed: int = 0
    merge_duplicates: bool = False
    half: bool = False
    modalities: tuple[str, ...] | None = None
    missing_rows: Collection[str] = ()
    name: str | None = None
    split: str | None = None
    new_since: str | float | None = None
    min_rating: float | None = None
    drop_featureless: bool = False

    def __post_init__(self) -> None:
        if self.split not in (None, *SPLITS):
            raise SettingsError(f"split: expected {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, got {self.split!r}")
        if self.new_since is not None and self.split != "time":
            raise SettingsError("--new-since: applies to --split time; add it")
        if self.new_items is not None and (self.new_since is not None or self.split == "column"):
            other = "--new-since" if self.split == "time" else "the column of splits"
            raise SettingsError(f"--new-items, --split-seed: {other} says already which items are new; leave one out")

    @property
    def share(self) -> float:
        """Share of the items that are drawn as new."""
        return 0.2 if self.new_items is None else self.new_items
