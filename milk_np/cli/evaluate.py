"""milk-evaluate: how well a model ranks the new items of a data set, overall and by number of missing modalities."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.settings import given_settings, model_help, refuse_idle_mask
from milk_np.errors import SettingsError
from milk_np.settings.names import MASK
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.data import Dataset
    from milk_np.evaluation.evaluate import Evaluation
    from milk_np.serving.ranking import Scorer

PROGRAM = "milk-evaluate"
DESCRIPTION = """Rank the new items for every user who has a pair in the split, and print the metrics.

Metrics are averaged over these users, overall and by how many modalities the items to be found miss.
A trained model is evaluated under the protocol of missing modalities that it was trained with, unless
--protocol is given."""
EXAMPLES = (
    "milk-evaluate --model runs/shop --data shop.npz",
    "milk-evaluate --model runs/shop --data shop.npz --protocol FTMT --missing-mix .1,.45,.45 --json m.json",
    "milk-evaluate --model profile --data shop.npz --split valid --topk 10,50",
    "milk-evaluate --model random --data shop.npz",
)
_DATA = "data set made by milk-prepare (default: the built-in set, for a model that was trained on it)"
NAMES = (*MASK, "impute", "seed", "topk", "candidates", "device", "threads")
SPLITS = ("valid", "test")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-evaluate`; returns the exit code."""
    return run_command(PROGRAM, _run, argv)


def _run(line: list[str]) -> int:
    given = _parser().parse_args(line)
    model, ds, settings = _opened(given)
    from milk_np.data.arrays import Split
    from milk_np.evaluation.evaluate import evaluate

    split = {"valid": Split.VALIDATION, "test": Split.TEST}[given.split]
    result = evaluate(model, ds, split, topk=settings.topk, candidates=settings.candidates)
    _save(result, given, ds)
    if not given.quiet:
        print(result.table())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument("--model", dest="source", required=True, metavar="RUN|FILE|NAME", help=model_help())
    parser.add_argument("--data", metavar="FILE|DIR", help=_DATA)
    parser.add_argument("--split", choices=SPLITS, default="test", help="split to evaluate (default: test)")
    parser.add_argument("--per-user", metavar="FILE.npz", help="file to write each user's metrics to")
    parser.add_argument("--json", metavar="FILE", help="file to write the metrics to, as JSON")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    add_settings(parser, NAMES)
    return parser


def _opened(given: argparse.Namespace) -> tuple[Scorer, Dataset, Settings]:
    """Model, data under the protocol that applies, and settings: those of training, overridden by the command line."""
    from milk_np.cli.model_file import is_untrained, load_model, make_untrained, refuse_without_data

    refuse_without_data(given.source, given.data)
    if is_untrained(given.source):
        settings = Settings.from_mapping(given_settings(given))
        ds = _data(given, settings)
        return make_untrained(given.source, ds, settings), ds, settings
    device = str(given_settings(given).get("device", Settings().device))
    model = load_model(given.source, device)
    if "impute" in given_settings(given):
        raise SettingsError("--impute: a trained model imputes missing modalities as in training; leave out --impute")
    settings = Settings.from_mapping({**_of_training(model.settings.to_dict()), **given_settings(given)})
    ds = _data(given, settings)
    return model, ds, settings


def _of_training(settings: Mapping[str, object]) -> dict[str, object]:
    """The training settings that evaluation uses."""
    return {name: settings[name] for name in (*MASK, "topk", "candidates")}


def _data(given: argparse.Namespace, settings: Settings) -> Dataset:
    """The data set, with its modalities missing by the protocol; FTMT for the built-in set."""
    from milk_np.data import Dataset, make_synthetic
    from milk_np.data.missing import masked

    if given.data is None and settings.protocol is None:
        settings = settings.replace(protocol="FTMT")
    refuse_idle_mask(given, settings)
    ds = make_synthetic() if given.data is None else Dataset.load(given.data)
    return masked(ds, settings)


def _save(result: Evaluation, given: argparse.Namespace, ds: Dataset) -> None:
    from milk_np.files import write_json_atomic

    if given.per_user:
        result.save_per_user(given.per_user)
    if given.json:
        about = {"model": given.source, "split": given.split, "data": ds.name, "data_hash": ds.content_hash}
        write_json_atomic(given.json, about | result.to_dict())


if __name__ == "__main__":
    sys.exit(main())
