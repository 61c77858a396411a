"""milk-recommend: lists of new items for users, users for an item, or items like an item."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.settings import given_settings, model_help
from milk_np.cli.types import positive, shard
from milk_np.errors import SettingsError
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.cli.source import Source
    from milk_np.models.parts import Parts

PROGRAM = "milk-recommend"
DESCRIPTION = """Recommend with a trained model, or with one that needs no training.

Choose what to recommend: --users (items for these users), --history (items for a user who wasn't in
training, given the items they chose), --items (users for these items), --similar (items like these),
or --new-item (users for items that are in no data set yet, given a file of feature rows; with --users,
these new items for the users). --fresh FILE ranks such items together with the new items of the data.
Without --out the lists are printed as CSV.

IDS are separated by commas; a FILE has one per line, or is a CSV or Parquet table with a column user or item.
One row that can't be served doesn't stop the others: it is told, --rejects lists it, the exit code is 3."""
EXAMPLES = (
    "milk-recommend --model runs/shop --users alice,bob --topk 10",
    "milk-recommend --model runs/shop --data shop.npz --users all --out lists.parquet",
    "milk-recommend --model runs/shop --data shop.npz --users users.txt --candidates all --include-seen",
    "milk-recommend --model runs/shop --users all --shard 3/8 --out lists/3.parquet   # milk-merge makes one of all",
    "milk-recommend --model runs/shop --history sku-3,sku-8,sku-11",
    "milk-recommend --model runs/shop --users all --fresh today.npz --exclude sent.csv --out lists.parquet",
    "milk-recommend --model runs/shop --history guests.txt --candidates in-stock.txt --skip-unknown",
    "milk-recommend --model runs/shop --items sku-17          # the users to show it to",
    "milk-recommend --model runs/shop --new-item fresh.npz    # arrays image, text, ...: one row per item",
    "milk-recommend --model profile --data shop.npz --similar sku-17",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-recommend`; returns the exit code."""
    return run_command(PROGRAM, _run, argv)


def _run(line: list[str]) -> int:
    given = _parser().parse_args(line)
    _check(given)
    from milk_np.cli.source import open_source
    from milk_np.models.parts import Parts
    from milk_np.serving import output

    for path in filter(None, (given.out, given.rejects)):
        output.writer_for(path)
    device = str(given_settings(given).get("device", Settings().device))
    parts = Parts.found(given.source)
    if parts is not None:
        return _of_parts(given, parts, device)
    source = open_source(given.source, given.data, device, given.skip_unknown)
    try:
        _deliver(given, source)
    finally:
        source.rejects.write(given.rejects)
    return source.rejects.report(PROGRAM, given.rejects)


def _of_parts(given: argparse.Namespace, parts: Parts, device: str) -> int:
    """The lists of a model in shards, which is read part by part."""
    from milk_np.cli.parts import PartLists
    from milk_np.serving import output

    lists = PartLists(given, parts, device)
    if not given.out:
        output.write_csv(sys.stdout, lists)
    else:
        output.write_table(given.out, lists)
        if not given.quiet:
            print(f"wrote {lists.rows:,} rows to {given.out}")
    lists.rejects.write(given.rejects)
    return lists.rejects.report(PROGRAM, given.rejects)


def _deliver(given: argparse.Namespace, source: Source) -> None:
    """Print or write the lists, and say what is shorter than was asked for."""
    from milk_np.cli.lists import Delivered, job_of
    from milk_np.cli.shard import write_lists
    from milk_np.serving import output

    job = job_of(given, source)
    tables = Delivered(job, source.rejects)
    if not given.out:
        output.write_csv(sys.stdout, tables)
    else:
        write_lists(given, source, tables)
    notes = [f"{PROGRAM}: {note}" for note in (job.note, tables.note) if note]
    if not given.quiet:
        print("".join(f"{note}\n" for note in notes), end="", file=sys.stderr)
        if given.out:
            print(f"wrote {tables.rows:,} rows to {given.out}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("--model", dest="source", required=True, metavar="RUN|FILE|NAME", help=model_help())
    add("--data", metavar="FILE|DIR", help=_DATA)
    add("--users", metavar="IDS|FILE|all", help="items for these users")
    add("--history", metavar="IDS|FILE", help=_HISTORY)
    add("--items", metavar="IDS|FILE", help="users for these items")
    add("--similar", metavar="IDS|FILE", help="items like these")
    add("--fresh", metavar="FILE|DIR", help=_FRESH)
    add("--new-item", metavar="FILE|DIR", help=_NEW_ITEM)
    add("--topk", type=positive, default=20, metavar="N", help=_TOPK)
    add("--candidates", metavar="new|all|IDS|FILE", help=_CANDIDATES)
    add("--exclude", metavar="FILE", help=_EXCLUDE)
    add("--include-seen", action="store_true", help="also list pairs of the training data")
    add("--skip-unknown", action="store_true", help=_SKIP_UNKNOWN)
    add("--out", metavar="FILE", help="write .csv, .jsonl or .parquet instead of printing")
    add("--shard", type=shard, metavar="i/n", help=_SHARD)
    add("--rejects", metavar="FILE", help=_REJECTS)
    add("--quiet", action="store_true", help="print errors only")
    add_settings(parser, ["device", "threads"])
    return parser


_DATA = (
    "data set made by milk-prepare, with the items' features and the pairs already seen (default: as stored with "
    "the model)"
)
_HISTORY = (
    "items for a user who wasn't in training, given the items they chose (which are left out); a file has one user "
    "per line, numbered from 1 in the output, and an empty line is a user without items"
)
_FRESH = (
    "brand-new items, given by their features: with --users, --history and --similar they are ranked together with "
    "the new items of the data; alone, users for them. An .npz or a folder of .npy files, with item_ids and one array "
    "(items x width) per modality, or Parquet with the column item and one of lists per modality. Where a modality is "
    "missing: a row of NaN, an empty cell, or no array"
)
_NEW_ITEM = (
    "users for brand-new items; with --users, only these items for the users. A file as for --fresh, in which item_ids "
    "may be absent: items are numbered from 0 then"
)
_TOPK = "length of a list (default: 20); a list is shorter where less is left to list"
_CANDIDATES = "items to choose from: all new ones, all items, or only these ids (default: new; all with --similar)"
_EXCLUDE = (
    "never list these: a file with an item, or a pair user,item, on each line, or a table with these columns, such as "
    "lists written before; with --history the columns are history,item, with --similar item,similar"
)
_SKIP_UNKNOWN = (
    "unknown ids in --users, --items, --similar, --history, --candidates and --exclude are expected: they are left "
    "out, told and counted, and don't change the exit code. Without it, a history with an unknown item gets no list, "
    "and an unknown id in --candidates or --exclude is an error"
)
_SHARD = (
    "only part i of n of the --users, from 1; the file (--out, .parquet) is one of n that milk-merge makes one of: the "
    "lists are those of all users at once"
)
_REJECTS = (
    "write what can't be served, with file, row, kind, id and reason, to this .csv, .jsonl or .parquet; the rest is "
    "delivered either way, and the exit code is 3 if there is any that --skip-unknown doesn't cover"
)


def _check(given: argparse.Namespace) -> None:
    """Check that there is exactly one task, and only options that belong to it."""
    tasks = {"--users": given.users, "--history": given.history, "--items": given.items, "--similar": given.similar}
    asked = [name for name, value in tasks.items() if value is not None]
    if given.new_item is not None and asked not in ([], ["--users"]):
        raise SettingsError(
            f"--new-item: expected alone or with --users, also got {', '.join(asked)}; --fresh goes with all of them"
        )
    if given.new_item is not None and given.fresh is not None:
        raise SettingsError("--fresh: expected without --new-item; give one file of new items")
    alone = given.new_item is not None or given.fresh is not None
    if len(asked) > 1 or not (asked or alone):
        got = ", ".join(asked) or "none of them"
        raise SettingsError(
            f"expected one of --users, --history, --items, --similar or --new-item, got {got}; --fresh may stand alone"
        )
    if given.candidates and (given.new_item is not None or not set(asked) & {"--users", "--history", "--similar"}):
        raise SettingsError("--candidates: applies to --users, --history and --similar; leave it out")
    if given.exclude and given.new_item is not None:
        raise SettingsError("--exclude: doesn't apply to --new-item; give the file with --fresh")
    if given.shard and (given.users is None or given.new_item is not None):
        raise SettingsError("--shard: applies to --users; leave it out")
    if given.shard and not str(given.out).endswith(".parquet"):
        raise SettingsError("--shard: expected --out FILE.parquet, which says of what it is a part")
    if given.rejects is not None and given.rejects == given.out:
        raise SettingsError(f"--rejects: expected another file than --out, got {given.rejects} for both")
    if given.include_seen and given.history is not None:
        raise SettingsError("--include-seen: items of a history are never listed; leave it out")


if __name__ == "__main__":
    sys.exit(main())
