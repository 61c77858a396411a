"""Options of milk-prepare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.types import share
from milk_np.data.importers.formats import FORMATS

PROGRAM = "milk-prepare"
EXAMPLES = (
    "milk-prepare interactions.csv image.npy text.npy --out data.npz",
    "milk-prepare clicks.parquet --user-col uid --item-col sku --item-ids skus.txt \\",
    "             --features image=clip.npy --k-core 5 --out shop.npz",
    "milk-prepare raw_folder --protocol FTMT --out ftmt.npz    # the kind of folder is detected",
    "milk-prepare data.npz --protocol MTMT --missing-mix .10,.45,.45 --out mtmt.npz",
    "milk-prepare --synthetic --users 1e6 --items 2e5 --pairs 2e7 --half --out big    # a folder",
    "milk-prepare --info data.npz",
)
MASK_SETTINGS = ("protocol", "missing_train", "missing_test", "missing_mix", "missing_seed")
SOURCE_OPTIONS = tuple(dict.fromkeys(name for each in FORMATS.values() for name in each.options))
RAW_OPTIONS = ("k_core", "new_items", "split_seed", "merge_duplicates", "missing_rows", "modalities")
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
    parser.add_argument("--info", type=Path, metavar="PATH", help="print the statistics of a data set; write nothing")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    _add_table(
        parser.add_argument_group(
            "reading", "An item id is the row number of its features, unless --item-ids is given."
        )
    )
    _add_raw(parser.add_argument_group("preparing"))
    add_settings(parser, MASK_SETTINGS)
    parser._option_string_actions["--protocol"].help = _PROTOCOL
    _add_synthetic(parser.add_argument_group("synthetic data"))
    return parser


_SOURCE = (
    "a table (.csv, .tsv, .gz, .parquet) and feature files MODALITY.npy, a folder with both, a folder in the format "
    "of the authors' program or of MMRec, or a data set"
)
_PROTOCOL = (
    "remove modalities; FTMT: Full Training, Missing Test (only new items lose any), and so on (default: none are "
    "removed)"
)
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
        help="features of a modality, an .npy array (items x width); may be repeated",
    )
    add("--user-col", metavar="NAME", help="column with user ids (default: user)")
    add("--item-col", metavar="NAME", help="column with item ids (default: item)")
    add("--split-col", metavar="NAME", help="column with train, valid or test; all pairs of an item in one split")
    add("--item-ids", metavar="FILE", help="item id of each feature row, one per line, or an .npy array")


def _add_raw(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--name", metavar="NAME", help="name of the data set (default: from the source)")
    add("--modalities", type=_words, metavar="NAMES", help="modalities to keep, in this order (default: all)")
    add("--k-core", type=_count, metavar="K", help="keep users and items with at least K pairs (default: all)")
    add("--new-items", type=share, metavar="X", help="share of items that become new (default: 0.2)")
    add("--split-seed", type=_count, metavar="N", help="random seed of the choice of new items (default: 0)")
    add("--merge-duplicates", action="store_true", help="count repeated pairs once (default: an error)")
    add(
        "--missing-rows",
        type=_words,
        metavar="KINDS",
        help="feature rows that mean a missing modality: nan, zero",
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
