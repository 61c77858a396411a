"""The table that describes a data set, with warnings about unusual data."""

from __future__ import annotations

import numpy as np

from milk_np.data.arrays import Arrays, Split
from milk_np.data.rows import constant_rows

_GROUPS = (
    ("train", Split.TRAIN),
    ("valid (new items)", Split.VALIDATION),
    ("test (new items)", Split.TEST),
    ("new without pairs", Split.UNSEEN),
)


def _groups(ds: Arrays) -> list[tuple[str, Split]]:
    """Splits with their labels; items without pairs are told of where there are any."""
    return [group for group in _GROUPS if group[1] < Split.UNSEEN or len(ds.new_items(Split.UNSEEN))]


def _titles(ds: Arrays) -> list[str]:
    return [label if split == Split.UNSEEN else label.split()[0] for label, split in _groups(ds)]


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
    for label, split in _groups(ds):
        chosen = ds.split == split
        users = np.count_nonzero(np.bincount(ds.user[chosen], minlength=1))
        items = int((ds.item_split == split).sum())
        lines.append(f"{label:<20}{users:>12,}{items:>12,}{int(chosen.sum()):>14,}")
    return lines


def _modalities(ds: Arrays) -> list[str]:
    first, *others = _titles(ds)
    heads = f"{'missing ' + first:>16}" + "".join(f"{title:>{_wide(title, 10)}}" for title in others)
    lines = [f"{'Modality':<20}{'width':>8}{'type':>10}{heads}"]
    for m, name in enumerate(ds.modalities):
        rows = ds.features[name]
        missing = [int((~ds.available[ds.item_split == split, m]).sum()) for _, split in _groups(ds)]
        cells = zip(others, missing[1:], strict=True)
        counts = f"{missing[0]:>16,}" + "".join(f"{count:>{_wide(title, 10)},}" for title, count in cells)
        lines.append(f"{name:<20}{rows.shape[1]:>8,}{rows.dtype.name:>10}{counts}")
    return lines


def _missing(ds: Arrays) -> list[str]:
    lost = ds.n_modalities - ds.available.sum(axis=1)
    wide = [_wide(title, 12) for title in _titles(ds)]
    heads = "".join(f"{title:>{width}}" for title, width in zip(_titles(ds), wide, strict=True))
    lines = [f"{'Missing modalities':<20}{heads}"]
    for count in range(int(lost.max()) + 1):
        cells = [int(((lost == count) & (ds.item_split == split)).sum()) for _, split in _groups(ds)]
        label = "none" if count == 0 else f"{count} of {ds.n_modalities}"
        lines.append(f"  {label:<18}" + "".join(f"{cell:>{width},}" for cell, width in zip(cells, wide, strict=True)))
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
        "training {item has} no pair: negatives only; prepare the data again to make them new items",
    )
    every = trained[trained == max(1, int((ds.item_split == Split.TRAIN).sum()))]
    found += _count(
        int(every.sum()),
        "training {pair of a user} with every training item: left out unless negatives come from all items",
    )
    found += _no_evaluation(ds)
    for m, name in enumerate(ds.modalities):
        zero, constant = constant_rows(ds.features[name], ds.available[:, m])
        found += _count(zero, f"{{row}} of {name} {{is}} all zero: similarity is undefined")
        found += _count(constant, f"{{row}} of {name} {{has}} the same value in every column")
    stored = ds.meta.get("content_hash")
    if stored is not None and stored != ds.content_hash:
        found.append(f"the file records hash {str(stored)[:16]}: its arrays were changed after it was saved")
    return found


def _no_evaluation(ds: Arrays) -> list[str]:
    """What can't be evaluated."""
    if not len(ds.evaluated_items):
        return ["every item with a pair is a training item: a model of this set can't be evaluated on new items"]
    groups = [(label, split) for label, split in _GROUPS if split in (Split.VALIDATION, Split.TEST)]
    lacking = [label for label, split in groups if not (ds.split == split).any()]
    return [f"no pair in {label}: that split can't be evaluated" for label in lacking]


def _wide(title: str, least: int) -> int:
    """Width of a column."""
    return max(least, len(title) + 2)


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
