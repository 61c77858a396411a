"""The table that describes a data set, with warnings about unusual data."""

from __future__ import annotations

import numpy as np

from milk_np.data.arrays import Arrays, Split
from milk_np.data.rows import constant_rows

_GROUPS = (("train", Split.TRAIN), ("valid (new items)", Split.VALIDATION), ("test (new items)", Split.TEST))


def statistics(ds: Arrays) -> str:
    """Sizes by split, modalities with their missing items, hash, and warnings, as lines of text."""
    lines = [*_head(ds), "", *_splits(ds), "", *_modalities(ds), "", *_missing(ds)]
    notes = ds.meta.get("notes")
    if isinstance(notes, list) and notes:
        lines += ["", "Notes"] + [f"  {line}" for line in notes]
    found = warnings(ds)
    if found:
        lines += ["", "Warnings"] + [f"  {line}" for line in found]
    return "\n".join(lines)


def _head(ds: Arrays) -> list[str]:
    density = len(ds.user) / (ds.n_users * ds.n_items)
    return [
        f"Data set   {ds.name}   hash {ds.content_hash[:16]}",
        f"{ds.n_users:,} users, {ds.n_items:,} items, {len(ds.user):,} pairs, density {density:.3%}",
    ]


def _splits(ds: Arrays) -> list[str]:
    lines = [f"{'Split':<20}{'users':>12}{'items':>12}{'pairs':>14}"]
    for label, split in _GROUPS:
        chosen = ds.split == split
        users = np.count_nonzero(np.bincount(ds.user[chosen], minlength=1))
        items = int((ds.item_split == split).sum())
        lines.append(f"{label:<20}{users:>12,}{items:>12,}{int(chosen.sum()):>14,}")
    return lines


def _modalities(ds: Arrays) -> list[str]:
    lines = [f"{'Modality':<20}{'width':>8}{'type':>10}{'missing train':>16}{'valid':>10}{'test':>10}"]
    for m, name in enumerate(ds.modalities):
        rows = ds.features[name]
        missing = [int((~ds.available[ds.item_split == split, m]).sum()) for _, split in _GROUPS]
        counts = f"{missing[0]:>16,}{missing[1]:>10,}{missing[2]:>10,}"
        lines.append(f"{name:<20}{rows.shape[1]:>8,}{rows.dtype.name:>10}{counts}")
    return lines


def _missing(ds: Arrays) -> list[str]:
    lost = ds.n_modalities - ds.available.sum(axis=1)
    lines = [f"{'Missing modalities':<20}{'train':>12}{'valid':>12}{'test':>12}"]
    for count in range(int(lost.max()) + 1):
        cells = [int(((lost == count) & (ds.item_split == split)).sum()) for _, split in _GROUPS]
        label = "none" if count == 0 else f"{count} of {ds.n_modalities}"
        lines.append(f"  {label:<18}" + "".join(f"{cell:>12,}" for cell in cells))
    if "protocol" in ds.meta:
        lines.append(f"Protocol {ds.meta['protocol']}")
    return lines


def warnings(ds: Arrays) -> list[str]:
    """Allowed but unusual: users and items without training pairs, empty splits, constant feature rows."""
    found = []
    trained = np.bincount(ds.user[ds.split == Split.TRAIN], minlength=ds.n_users)
    found += _count(int((trained == 0).sum()), "{user has} no training pair: a free user vector stays untrained")
    seen = np.bincount(ds.item[ds.split == Split.TRAIN], minlength=ds.n_items) > 0
    found += _count(
        int((~seen & (ds.item_split == Split.TRAIN)).sum()),
        "training {item has} no pair: used as negatives only",
    )
    every = trained[trained == max(1, int((ds.item_split == Split.TRAIN).sum()))]
    found += _count(
        int(every.sum()),
        "training {pair of a user} with every training item: left out unless negatives come from all items",
    )
    for label, split in _GROUPS[1:]:
        if not (ds.split == split).any():
            found.append(f"no pair in {label}: that split can't be evaluated")
    for m, name in enumerate(ds.modalities):
        zero, constant = constant_rows(ds.features[name], ds.available[:, m])
        found += _count(zero, f"{{row}} of {name} {{is}} all zero: similarity is undefined")
        found += _count(constant, f"{{row}} of {name} {{has}} the same value in every column")
    stored = ds.meta.get("content_hash")
    if stored is not None and stored != ds.content_hash:
        found.append(f"the file records hash {str(stored)[:16]}: its arrays were changed after it was saved")
    return found


_PLURAL = {
    "user has": "users have",
    "item has": "items have",
    "pair of a user": "pairs of users",
    "row": "rows",
    "is": "are",
    "has": "have",
}


def _count(number: int, text: str) -> list[str]:
    """The number and the text, with the words in braces in the plural unless the number is 1."""
    words = {word: word if number == 1 else plural for word, plural in _PLURAL.items()}
    return [f"{number:,} {text.format_map(words)}"] if number else []
