"""The table of formats: a name, how its sources are known, what reads them. Light: the readers load when asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from milk_np.data.dataset import Dataset

_TEXT = (".csv", ".tsv", ".inter", ".dat", ".data", ".txt", ".psv")
TABLE_SUFFIXES = (*_TEXT, *(f"{end}.gz" for end in _TEXT), ".parquet")
COLUMNS = ("user_col", "item_col", "split_col", "time_col", "rating_col", "separator")


class Format(NamedTuple):
    """Where a format is read, and how one of its sources is known by names.

    `reader` is a path `module:function` to a function of a source and a Preparation that returns a Dataset. `mark` is
    a pattern of a file that such a folder holds; `suffixes` are endings of such a file. `options` of `milk-prepare` are
    keywords of the reader; with "features", feature files by modality stand between the source and the Preparation.
    """

    reader: str
    mark: str = ""
    suffixes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


_HERE = "milk_np.data.importers"
FORMATS = {
    "data": Format(f"{_HERE}.tables:from_dataset", "meta.json", (".npz",)),
    "table": Format(f"{_HERE}.tables:from_tables", "", TABLE_SUFFIXES, ("features", *COLUMNS, "item_ids", "ids")),
    "milk": Format(f"{_HERE}.milk:from_milk_folder", "train.txt"),
    "mmrec": Format(f"{_HERE}.mmrec:from_mmrec_folder", "*.inter"),
    "folder": Format(f"{_HERE}.tables:from_folder", "interactions.*", (), COLUMNS),
    "parts": Format(f"{_HERE}.tables:from_tables", "**/*.parquet", (), ("features", *COLUMNS, "item_ids", "ids")),
}
"""A source is of the first format that fits."""


def reader(name: str) -> Callable[..., Dataset]:
    """What reads the format called `name`."""
    module, _, function = FORMATS[name].reader.partition(":")
    return cast("Callable[..., Dataset]", getattr(import_module(module), function))
