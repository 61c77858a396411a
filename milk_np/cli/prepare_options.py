"""Options of milk-prepare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.types import share_or_none
from milk_np.data.importers.formats import FORMATS
from milk_np.data.importers.preparation import SPLITS

PROGRAM = "milk-prepare"
EXAMPLES = (
    "milk-prepare interactions.csv image.npy text.npy --out data.npz",
    "milk-prepare clicks.parquet --user-col uid --item-col sku --features image=clip.parquet \\",
    "             --features text=titles.npz --time-col when --new-since 2024-05-01 --out shop.npz",
    "milk-prepare clicks.csv --item-ids skus.txt --features image=clip.npy --k-core 5 --out shop.npz",
    "milk-prepare ratings.dat image.npy --user-col 1 --item-col 2 --rating-col 3 --min-rating 4 --out ml.npz",
    "milk-prepare raw_folder --protocol FTMT --out ftmt.npz    # the kind of folder is detected",
    "milk-prepare data.npz --protocol MTMT --missing-mix .10,.45,.45 --out mtmt.npz",
    "milk-prepare --synthetic --users 1e6 --items 2e5 --pairs 2e7 --half --out big    # a folder",
    "milk-prepare --info data.npz",
)
MASK_SETTINGS = ("protocol", "missing_train", "missing_test", "missing_mix", "missing_seed")
SOURCE_OPTIONS = tuple(dict.fromkeys(name for each in FORMATS.values() for name in each.options))
RAW_OPTIONS = (
    *("k_core", "new_items", "split_seed", "merge_duplicates", "missing_rows", "modalities"),
    *("split", "new_since", "min_rating", "drop_featureless"),
)
SYNTHETIC_OPTIONS = ("users", "items", "pairs", "widths", "seed")


class _Parser(Parser):
    """Sources may come between options."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        line = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown(line)
        return self.parse_intermixed_args(line, namespace)


def make_parser() -> Parser:
    """The command's parser."""
    parser = _Parser(PROGRAM, "Turn raw interactions and features into a data set, or describe one.", EXAMPLES)
    parser.usage = "%(prog)s SOURCE... --out FILE.npz|FOLDER [options]\n       %(prog)s --info FILE.npz|FOLDER"
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=_SOURCE)
    parser.add_argument("--out", type=Path, metavar="PATH", help=_OUT)
    parser.add_argument("--shards", type=_count, default=0, metavar="N", help=_SHARDS)
    parser.add_argument("--info", type=Path, metavar="PATH", help="print the statistics of a data set; write nothing")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    _add_table(
        parser.add_argument_group(
            "reading",
            "Pairs and features meet by the items' ids; in an .npy without --ids, these are the numbers of its rows.",
        )
    )
    _add_raw(parser.add_argument_group("preparing"))
    add_settings(parser, MASK_SETTINGS)
    parser._option_string_actions["--protocol"].help = _PROTOCOL
    _add_synthetic(parser.add_argument_group("synthetic data"))
    return parser


_SOURCE = (
    "a table (.csv, .tsv, .dat, .gz, .parquet, a folder of Parquet parts) and feature files MODALITY.npy, .npz or "
    ".parquet, a folder with both, a folder in the format of the authors' program or of MMRec, or a data set"
)
_PROTOCOL = (
    "remove modalities; FTMT: Full Training, Missing Test (only new items lose any), and so on (default: none are "
    "removed)"
)
_SHARDS = "write a folder in N shards, each with its users, for training on several machines (docs/many-machines.md)"
_OUT = "where to write: one file if it ends in .npz, otherwise a folder whose features stay on disk when it is used"


def _add_table(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--format",
        choices=tuple(FORMATS),
        help="kind of source (default: detected from file names)",
    )
    add(
        "--features",
        action="append",
        metavar="NAME=FILE",
        help="features of a modality: an .npy array (items x width), or an .npz or .parquet with item ids and vectors; "
        "FILE:COLUMN if it has several; may be repeated",
    )
    add("--user-col", metavar="NAME", help="column with user ids, or its number if there is no header (default: user)")
    add("--item-col", metavar="NAME", help="column with item ids, of feature files too (default: item)")
    add("--split-col", metavar="NAME", help="column with train, valid or test; all pairs of an item in one split")
    add("--time-col", metavar="NAME", help="column with times, for --split time: dates or numbers (default: time)")
    add("--rating-col", metavar="NAME", help="column with ratings, for --min-rating (default: rating)")
    add("--separator", metavar="TEXT", help="what separates columns: tab , ; | :: or other text (default: found out)")
    add("--item-ids", metavar="FILE", help="item id of each row of the .npy features, one per line, or an .npy array")
    add(
        "--ids",
        action="append",
        metavar="NAME=FILE",
        help="the same for the rows of one modality; may be repeated",
    )


def _add_raw(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--name", metavar="NAME", help="name of the data set (default: from the source)")
    add("--modalities", type=_words, metavar="NAMES", help="modalities to keep, in this order (default: all)")
    add("--k-core", type=_count, metavar="K", help="keep users and items with at least K pairs (default: all)")
    add(
        "--split",
        choices=SPLITS,
        help="how new items are found: drawn, those first seen last (--time-col), or as --split-col says (default: "
        "random, or what an option asks for)",
    )
    add("--new-items", type=share_or_none, metavar="X", help="share of items that become new; 0: none (default: 0.2)")
    add(
        "--new-since",
        metavar="WHEN",
        help="with --split time: a date, a number, or the share of items that are new; later pairs of older items are "
        "left out (default: 0.2)",
    )
    add("--min-rating", type=float, metavar="X", help="count only pairs rated at least X (default: all)")
    add("--drop-featureless", action="store_true", help="leave out items that have no features (default: an error)")
    add("--split-seed", type=_count, metavar="N", help="random seed of the choice of new items (default: 0)")
    add("--merge-duplicates", action="store_true", help="count repeated pairs once (default: an error)")
    add(
        "--missing-rows",
        type=_words,
        metavar="KINDS",
        help="further feature rows that mean a missing modality, beside those of NaN only: nan (any NaN), zero",
    )
    add("--half", action="store_true", help="store features as float16")


def _add_synthetic(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--synthetic", action="store_true", help="make a synthetic data set of the sizes below")
    add("--users", type=_count, metavar="N", help="number of users (default: 1500)")
    add("--items", type=_count, metavar="N", help="number of items (default: 1200)")
    add("--pairs", type=_count, metavar="N", help="approximate number of pairs (default: 28000)")
    add(
        "--widths",
        type=_words,
        metavar="NAME=D,...",
        help="modalities and widths (default: image=128,text=96,audio=64)",
    )
    add("--seed", type=_count, metavar="N", help="random seed (default: 0)")


def _count(text: str) -> int:
    """A whole number; 1e6 is accepted too."""
    if text.isdecimal():
        return int(text)
    try:
        value = float(text)
        if value >= 0 and value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"expected a whole number such as 1000 or 1e6, got {text!r}")


def _words(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(","))
    if "" in words:
        raise argparse.ArgumentTypeError(f"expected names separated by commas, got {text!r}")
    return words
