"""milk-update: a model takes in new users, new items and new pairs without training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.settings import given_settings
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.models.stored import StoredModel
    from milk_np.serving.joining import Joined

PROGRAM = "milk-update"
DESCRIPTION = """Take the users, items and pairs of a data set into a trained model, without training.

Users and items are matched by id. Every pair of the data counts as seen: histories of known users grow, and new users
are served by theirs, where the model represents users by items (--preset best, or --users profile or both); otherwise
users' vectors stay as trained and new users are left out, which is told. Items of the data are encoded from their
features; those without a pair are the new items to recommend; items that the data don't have are no longer listed.
What only training can learn - how items relate to one another - stays as it was: train again now and then."""
EXAMPLES = (
    "milk-update --model runs/live --data today.npz                   # in place; a killed update leaves it as it was",
    "milk-update --model runs/live --data today.npz --out today-model.npz",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-update`; returns the exit code."""
    return run_command(PROGRAM, body, argv)


def body(line: list[str]) -> int:
    """Parse the line, update the model, write it and say what has changed."""
    given = _parser().parse_args(line)
    from milk_np.cli.model_file import load_model, model_path
    from milk_np.data import Dataset

    path = model_path(given.source)
    model = load_model(given.source, str(given_settings(given).get("device", Settings().device)))
    updated, joined = model.updated(Dataset.load(given.data))
    updated.save(given.out or path)
    if not given.quiet:
        print("\n".join(changes(updated, joined)))
        print(f"wrote {given.out or path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--model", dest="source", required=True, metavar="RUN|FILE", help="run folder, or model.npz file"
    )
    parser.add_argument("--data", required=True, metavar="FILE|DIR", help="data set made by milk-prepare (no default)")
    parser.add_argument("--out", metavar="FILE.npz", help="write the updated model there (default: in place)")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    add_settings(parser, ["device", "threads"])
    return parser


def changes(model: StoredModel, joined: Joined) -> Iterator[str]:
    """What was taken in, and what was not, in lines."""
    known = joined.catalogue
    yield f"users    {joined.new_users:,} new, {known.n_users:,} in all"
    fresh = len(known.new_items())
    yield f"items    {joined.new_items:,} new, {joined.gone_items:,} gone, {fresh:,} without pairs to recommend"
    yield f"pairs    {joined.new_pairs:,} new"
    if joined.left_out:
        yield f"left out {joined.left_out:,} new users: this model has vectors for users of its training only"
    if not model.serves_histories:
        yield "users' vectors stay as trained: new pairs only keep items out of lists"
    elif joined.unlearned_pairs:
        say = "add to profiles by their features" if model.profiles_new_items else "say nothing of their users"
        yield f"{joined.unlearned_pairs:,} of the new pairs are on items that the model did not learn from: they {say}"
        yield "until it is trained again"


if __name__ == "__main__":
    sys.exit(main())
