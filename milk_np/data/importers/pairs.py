"""Which pairs of a log count, and which items its times or its own column make new."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.importers.coded import Coded
from milk_np.data.importers.log import Log
from milk_np.data.importers.preparation import Preparation
from milk_np.data.importers.times import Times
from milk_np.data.split import split_from_labels
from milk_np.data.validation import some
from milk_np.errors import DataError, SettingsError

_LABELS = {"train": 0, "valid": 1, "val": 1, "validation": 1, "test": 2, "0": 0, "1": 1, "2": 2}

Labels = NDArray[np.uint8]
"""For each item of a log: 0 train, 1 valid, 2 test."""


def select(log: Log, how: Preparation) -> tuple[Log, Labels | None, dict[str, Any]]:
    """The pairs that count, the split of the log's items unless it is to be drawn, and what is recorded of both."""
    log = _rated(log, how)
    if log.split is not None:
        return log, _given(log, log.split), {}
    if how.split == "time":
        return _by_time(log, how)
    return log, None, {}


def _rated(log: Log, how: Preparation) -> Log:
    """Pairs of at least the rating that is asked for."""
    if log.rating is None:
        if how.min_rating is not None:
            raise SettingsError("--min-rating: expected --rating-col with it, the column that holds the ratings")
        return log
    if how.min_rating is None:
        return log.noted(f"every row counts as a pair, whatever its rating ({_range(log.rating)})")
    kept = log.rating >= how.min_rating
    if not kept.any():
        raise DataError(
            f"--min-rating: expected a rating that some rows reach, got {how.min_rating:g}; they have "
            f"{_range(log.rating)}"
        )
    return log.where(kept).noted(
        f"{int(kept.sum()):,} of {len(log):,} rows count as pairs: those rated at least {how.min_rating:g} "
        f"({_range(log.rating)})"
    )


def _range(rating: NDArray[np.float64]) -> str:
    return f"ratings from {rating.min():g} to {rating.max():g}"


def _given(log: Log, split: Coded) -> Labels:
    """The split of a column of train, valid and test."""
    words = np.char.lower(split.ids.astype(np.str_))
    unknown = np.setdiff1d(words, list(_LABELS))
    if len(unknown):
        raise DataError(f"split column: expected train, valid and test (or 0, 1, 2), got {str(unknown[0])!r}")
    label = np.array([_LABELS[word] for word in words.tolist()])[split.codes]
    found = split_from_labels(log.item.codes, label, len(log.item.ids))
    if found is None:
        raise DataError(
            "split column: expected all pairs of an item in one split, got items in several (such as "
            f"{_torn(log, label)}); it isn't a split of new items: leave it out to draw new items, or split by time"
        )
    return found


def _torn(log: Log, label: NDArray[Any]) -> str:
    """An item with pairs of two labels."""
    pairs = np.unique(log.item.codes * np.int64(3) + label) // 3
    return str(log.item.ids[pairs[1:][pairs[1:] == pairs[:-1]][0]])


def _by_time(log: Log, how: Preparation) -> tuple[Log, Labels, dict[str, Any]]:
    """Items first seen after the cut are new, the earlier half for validation; training ends with the cut."""
    if log.time is None:
        raise SettingsError("--split time: expected --time-col with it, the column that holds the times")
    first = _first_times(log, log.time)
    cut = _cut(first, log.time, how)
    new = first >= cut
    label = _in_order(first, new, log.time, cut)
    late = ~new[log.item.codes] & (log.time.values >= cut)
    since = log.time.text(cut)
    old = len(np.unique(log.item.codes[late]))
    kept = log.where(~late).noted(
        f"new since {since}: {int(new.sum()):,} of {len(new):,} items; left out {int(late.sum()):,} later pairs of "
        f"{old:,} older items"
    )
    return kept, label, {"split": "time", "new_since": since, "later_pairs": int(late.sum())}


def _first_times(log: Log, time: Times) -> NDArray[Any]:
    """The time of each item's first pair."""
    largest = np.inf if time.values.dtype.kind == "f" else np.iinfo(time.values.dtype).max
    first = np.full(len(log.item.ids), largest, time.values.dtype)
    np.minimum.at(first, log.item.codes, time.values)
    return first


def _cut(first: NDArray[Any], time: Times, how: Preparation) -> Any:
    """The time from which items are new."""
    share = how.share if how.new_since is None else share_of(how.new_since)
    if share is None:
        return time.point(str(how.new_since))
    n_new = round(share * len(first))
    if not 2 <= n_new < len(first):
        raise DataError(
            f"{len(first)} items are too few to make {share:.0%} of them new; expected at least one validation, one "
            "test and one training item"
        )
    return np.sort(first)[len(first) - n_new]


def share_of(text: str | float) -> float | None:
    """A share between 0 and 1, or None if `text` is no such number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1 else None


def _in_order(first: NDArray[Any], new: NDArray[np.bool_], time: Times, cut: Any) -> Labels:
    """Training items, and new ones in order of time: validation, then test. Items of one time stay together."""
    label = new.astype(np.uint8) * np.uint8(Split.TEST)
    dates = np.sort(first[new])
    middle = dates[len(dates) // 2] if len(dates) else cut
    label[new & (first < middle)] = Split.VALIDATION
    counts = np.bincount(label, minlength=3)
    if not counts.all():
        raise DataError(
            f"--new-since: expected training, validation and test items, got {some(counts)} of them with the cut at "
            f"{time.text(cut)}; items are first seen from {time.text(first.min())} to {time.text(first.max())}: choose "
            "a cut between, with more than one time after it"
        )
    return label
