"""milk-recommend: lists of new items for users, users for an item, or items like an item."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.settings import given_settings, model_help
from milk_np.cli.types import positive, shard
from milk_np.errors import DataError, SettingsError
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.cli.rejects import Rejects
    from milk_np.cli.source import Source
    from milk_np.models.parts import Parts
    from milk_np.serving.output import Table
    from milk_np.serving.recommend import Ranked

PROGRAM = "milk-recommend"
DESCRIPTION = """Recommend with a trained model, or with one that needs no training.

Choose what to recommend: --users (items for these users), --history (items for a user who wasn't in
training, given the items they chose), --items (users for these items), --similar (items like these),
or --new-item (users for items that are in no data set yet, given a file of feature rows; with --users,
these new items for the users). Without --out the lists are printed as CSV."""
EXAMPLES = (
    "milk-recommend --model runs/shop --users alice,bob --topk 10",
    "milk-recommend --model runs/shop --data shop.npz --users all --out lists.parquet",
    "milk-recommend --model runs/shop --data shop.npz --users users.txt --candidates all --include-seen",
    "milk-recommend --model runs/shop --users all --shard 3/8 --out lists/3.parquet   # milk-merge makes one of all",
    "milk-recommend --model runs/shop --history sku-3,sku-8,sku-11",
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
    from milk_np.cli.shard import write_lists
    from milk_np.cli.source import open_source
    from milk_np.models.parts import Parts
    from milk_np.serving import output

    for path in filter(None, (given.out, given.rejects)):
        output.writer_for(path)
    device = str(given_settings(given).get("device", Settings().device))
    parts = Parts.found(given.source)
    if parts is not None:
        return _of_parts(given, parts, device)
    source = open_source(given.source, given.data, device)
    return _written(given, _tables(given, source), source.rejects, lambda lists: write_lists(given, source, lists))


def _of_parts(given: argparse.Namespace, parts: Parts, device: str) -> int:
    """The lists of a model in shards, which is read part by part."""
    from milk_np.cli.parts import lists_of_parts
    from milk_np.cli.rejects import Rejects
    from milk_np.serving import output

    rejects = Rejects()
    found = lists_of_parts(given, parts, rejects, device)
    tables = (_table(each.found, ("user", each.user_ids), ("item", each.item_ids)) for each in found)
    return _written(given, tables, rejects, lambda lists: output.write_table(given.out, lists))


def _written(
    given: argparse.Namespace, tables: Iterator[Table], rejects: Rejects, write: Callable[[_Counted], object]
) -> int:
    """Print the lists, or `write` them to --out; the exit code."""
    from milk_np.serving import output

    if not given.out:
        output.write_csv(sys.stdout, tables)
        return rejects.report(PROGRAM, given.rejects)
    counted = _Counted(tables)
    write(counted)
    if not given.quiet:
        print(f"wrote {counted.rows:,} rows to {given.out}")
    return rejects.report(PROGRAM, given.rejects)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("--model", dest="source", required=True, metavar="RUN|FILE|NAME", help=model_help())
    add("--data", metavar="FILE|DIR", help=_DATA)
    add("--users", metavar="IDS|FILE|all", help="items for these users")
    add("--history", metavar="IDS|FILE", help=_HISTORY)
    add("--items", metavar="IDS|FILE", help="users for these items")
    add("--similar", metavar="IDS|FILE", help="items like these")
    add("--new-item", metavar="FILE.npz", help=_NEW_ITEM)
    add("--topk", type=positive, default=20, metavar="N", help="length of a list (default: 20)")
    add("--candidates", choices=("new", "all"), help=_CANDIDATES)
    add("--include-seen", action="store_true", help="also list pairs of the training data")
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
_NEW_ITEM = (
    "users for brand-new items: one array (items x width) per modality; where a modality is missing, rows of NaN or "
    "no array; optionally item_ids"
)
_REJECTS = (
    "write the users and items that can't be served, with reasons, to this .csv, .jsonl or .parquet; the rest is "
    "delivered either way, and the exit code is 3 if there are any"
)
_SHARD = (
    "only part i of n of the --users, from 1; the file (--out, .parquet) is one of n that milk-merge makes one of: the "
    "lists are those of all users at once"
)
_CANDIDATES = "items to choose from (default: new; all with --similar)"


def _check(given: argparse.Namespace) -> None:
    """Check that there is exactly one task, and only options that belong to it."""
    tasks = {"--users": given.users, "--history": given.history, "--items": given.items, "--similar": given.similar}
    asked = [name for name, value in tasks.items() if value is not None]
    if given.new_item is not None and asked not in ([], ["--users"]):
        raise SettingsError(f"--new-item: expected alone or with --users, also got {', '.join(asked)}")
    if given.new_item is None and len(asked) != 1:
        got = ", ".join(asked) or "none of them"
        raise SettingsError(f"expected one of --users, --history, --items, --similar or --new-item, got {got}")
    if given.candidates and (given.items is not None or given.new_item is not None):
        raise SettingsError("--candidates: applies to --users, --history and --similar; leave it out")
    if given.shard and (given.users is None or given.new_item is not None):
        raise SettingsError("--shard: applies to --users; leave it out")
    if given.shard and not str(given.out).endswith(".parquet"):
        raise SettingsError("--shard: expected --out FILE.parquet, which says of what it is a part")
    if given.include_seen and given.history is not None:
        raise SettingsError("--include-seen: items of a history are never listed; leave it out")


def _tables(given: argparse.Namespace, source: Source) -> Iterator[Table]:
    """The requested lists as tables of original ids, one table for each block of users."""
    import numpy as np

    from milk_np.cli.shard import of_shard
    from milk_np.serving import recommend as lists

    model, data, k = source.model, source.data, min(given.topk, _longest(given, source))
    if given.new_item is not None:
        return _for_new_items(given, source)
    if given.items is not None:
        items = source.items(given.items)
        found = lists.users_for_items(model, data, items, k, exclude_seen=not given.include_seen)
        return iter([_table(found, ("item", source.item_names), ("user", source.user_names))])
    if given.history is not None:
        histories = source.histories(given.history)
        found = lists.recommend_for_histories(model, data, histories, k, candidates=given.candidates or "new")
        return iter([_table(found, ("history", np.arange(1, len(histories) + 1)), ("item", source.item_names))])
    candidates = given.candidates or ("all" if given.similar is not None else "new")
    if given.similar is not None:
        found = lists.similar_items(model, data, source.items(given.similar), k, candidates=candidates)
        return iter([_table(found, ("item", source.item_names), ("similar", source.item_names))])
    parts = lists.recommend_blocks(
        model,
        data,
        of_shard(given, source.users(given.users)),
        k,
        candidates=candidates,
        exclude_seen=not given.include_seen,
    )
    return (_table(part, ("user", source.user_names), ("item", source.item_names)) for part in parts)


def _longest(given: argparse.Namespace, source: Source) -> int:
    """The number of candidates; a shorter list than --topk is told."""
    from milk_np.serving.recommend import candidate_items

    if given.items is not None or (given.new_item is not None and given.users is None):
        count, what = source.data.n_users, "users"
    elif given.new_item is not None:
        return int(given.topk)  # _for_new_items knows how many there are
    else:
        default = "new" if given.similar is None else "all"
        count, what = len(candidate_items(source.data, given.candidates or default)), "candidates"
    if count < 1:
        raise DataError("--candidates: the data have no new items; list all items with --candidates all")
    if count < given.topk:
        print(f"{PROGRAM}: lists have {count} entries, the number of {what}, not {given.topk}", file=sys.stderr)
    return count


def _for_new_items(given: argparse.Namespace, source: Source) -> Iterator[Table]:
    from milk_np.serving import recommend as lists

    vectors, names = source.new_items(given.new_item)
    if given.users is None:
        k = min(given.topk, source.data.n_users)
        found = lists.users_for_new_items(source.model, source.data, vectors, k)
        yield _table(found, ("item", names), ("user", source.user_names))
        return
    k = min(given.topk, len(vectors))
    found = lists.recommend_new_items(source.model, source.data, vectors, source.users(given.users), k)
    yield _table(found, ("user", source.user_names), ("item", names))


def _table(found: Ranked, query: tuple[str, Any], result: tuple[str, Any]) -> Table:
    from milk_np.serving.identity import to_names

    whose, rank, what, score = found.rows()
    return {
        query[0]: to_names(whose, query[1]),
        "rank": rank,
        result[0]: to_names(what, result[1]),
        "score": score,
    }


class _Counted:
    """Passes tables on and counts their rows."""

    def __init__(self, tables: Iterator[Table]) -> None:
        self._tables = tables
        self.rows = 0

    def __iter__(self) -> Iterator[Table]:
        for table in self._tables:
            self.rows += len(table["rank"])
            yield table


if __name__ == "__main__":
    sys.exit(main())
