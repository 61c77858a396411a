"""The source of milk-prepare, from its options: which reader takes it, with which features, and how it is prepared."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from milk_np.cli.prepare_options import SOURCE_OPTIONS
from milk_np.data.importers.formats import FORMATS, reader
from milk_np.errors import SettingsError

if TYPE_CHECKING:
    from milk_np.data import Dataset, Preparation

_COLUMN_OF = {"column": "split_col", "time": "time_col"}
_DEFAULTS = {"split_col": "split", "time_col": "time", "rating_col": "rating"}


def import_source(given: argparse.Namespace) -> Dataset:
    """The data set of the line's source."""
    from milk_np.data.importers.detect import detect_format

    source = Path(given.sources[0])
    kind = given.format or detect_format(source)
    options = FORMATS[kind].options
    _name_columns(given)
    refuse(given, [name for name in SOURCE_OPTIONS if name not in options], f"tables, not to {source}")
    if "features" not in options and len(given.sources) > 1:
        raise SettingsError(f"SOURCE: expected one {kind} source, also got {given.sources[1]}")
    named = {name: getattr(given, name) for name in options if name != "features" and getattr(given, name)}
    if "ids" in named:
        named["ids"] = dict(_pair(text, "--ids", "image=ids.txt") for text in given.ids)
    files = [_features(given)] if "features" in options else []
    return reader(kind)(source, *files, preparation(given), **named)


def refuse(given: argparse.Namespace, names: Sequence[str], where: str) -> None:
    """Raise SettingsError if one of the options is given."""
    for name in names:
        if getattr(given, name):
            raise SettingsError(f"--{name.replace('_', '-')}: applies to {where}; leave it out")


def _name_columns(given: argparse.Namespace) -> None:
    """Settle the kind of split and the columns that it and the ratings need."""
    named = [kind for kind, column in _COLUMN_OF.items() if getattr(given, column)]
    if given.new_since is not None:
        named.append("time")
    kinds = {given.split or (named[0] if named else None), *named}
    if len(kinds) > 1:
        told = " and ".join(sorted(str(kind) for kind in kinds))
        raise SettingsError(f"--split: expected one kind of split, got options of {told}; leave out those of one")
    given.split = next(iter(kinds))
    wanted = [_COLUMN_OF[given.split]] if given.split in _COLUMN_OF else []
    for column in (*wanted, *(["rating_col"] if given.min_rating is not None else [])):
        setattr(given, column, getattr(given, column) or _DEFAULTS[column])


def _features(given: argparse.Namespace) -> dict[str, str]:
    """Feature files by modality, from `NAME=FILE` and from further sources such as `NAME.npy`."""
    named = [(Path(source).name.split(".")[0], source) for source in given.sources[1:]]
    named += [_pair(text, "--features", "image=clip.npy") for text in given.features or ()]
    twice = [name for n, (name, _) in enumerate(named) if name in dict(named[:n])]
    if twice:
        raise SettingsError(f"features: expected one file per modality, got two for {twice[0]}")
    return dict(named)


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, sign, file = text.partition("=")
    if not (name and sign and file):
        raise SettingsError(f"{option}: expected NAME=FILE, such as {example}, got {text!r}")
    return name, file


def preparation(given: argparse.Namespace) -> Preparation:
    """How raw data are to be prepared, from the options."""
    from milk_np.data import Preparation

    # A seed asks for a draw of new items, even if the data set has its own split.
    share = 0.2 if given.new_items is None and given.split_seed is not None else given.new_items
    options: dict[str, Any] = {
        "k_core": given.k_core or 0,
        "new_items": share,
        "split_seed": given.split_seed or 0,
        "missing_rows": given.missing_rows or (),
    }
    same = ("merge_duplicates", "half", "modalities", "name", "split", "new_since", "min_rating", "drop_featureless")
    return Preparation(**options, **{name: getattr(given, name) for name in same})
