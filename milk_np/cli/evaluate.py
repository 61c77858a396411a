"""milk-evaluate: how well a model ranks the new items of a data set, overall and by number of missing modalities."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.settings import given_settings, model_help, refuse_idle_mask
from milk_np.cli.types import positive
from milk_np.errors import SettingsError
from milk_np.settings.names import MASK
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.data import Dataset
    from milk_np.evaluation.result import Evaluation
    from milk_np.models.parts import Parts
    from milk_np.serving.ranking import Scorer

PROGRAM = "milk-evaluate"
DESCRIPTION = """Rank the new items for every user who has a pair in the split, and print the metrics.

Metrics are averaged over these users, overall and by how many modalities the items to be found miss.
A trained model is evaluated under the protocol of missing modalities that it was trained with, unless
--protocol is given."""
EXAMPLES = (
    "milk-evaluate --model runs/shop --data shop.npz",
    "milk-evaluate --model runs/shop --data shop.npz --protocol FTMT --missing-mix .1,.45,.45 --json m.json",
    "milk-evaluate --model runs/shop --data shop.npz --sample-users 10000",
    "milk-evaluate --model profile --data shop.npz --split valid --topk 10,50",
    "milk-evaluate --model random --data shop.npz",
)
_DATA = "data set made by milk-prepare (default: the built-in set, for a model that was trained on it)"
_SAMPLE = "evaluate N users drawn with --seed, and say how far the means may be off (default: all users)"
NAMES = (*MASK, "impute", "seed", "topk", "candidates", "device", "threads")
SPLITS = ("valid", "test")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-evaluate`; returns the exit code."""
    return run_command(PROGRAM, _run, argv)


def _run(line: list[str]) -> int:
    given = _parser().parse_args(line)
    from milk_np.data.arrays import Split
    from milk_np.models.parts import Parts

    split = {"valid": Split.VALIDATION, "test": Split.TEST}[given.split]
    parts = Parts.found(given.source)
    if parts is not None:
        return _parts(given, parts, split)
    from milk_np.evaluation.evaluate import evaluate

    model, ds, settings = _opened(given)
    result = evaluate(
        model,
        ds,
        split,
        topk=settings.topk,
        candidates=settings.candidates,
        sample_users=given.sample_users,
        seed=settings.seed,
    )
    _say(result, given, ds.name, ds.content_hash)
    return 0


def _say(result: Evaluation, given: argparse.Namespace, name: str, content_hash: str) -> None:
    _save(result, given, name, content_hash)
    if not given.quiet:
        print(result.table())


def _parts(given: argparse.Namespace, parts: Parts, split: int) -> int:
    """Evaluate a model in shards; started by mpiexec, each rank evaluates some of them."""
    from milk_np.cli.parts import How, evaluated_parts
    from milk_np.cli.ranked import together
    from milk_np.data.missing import masked

    if given.sample_users is not None:
        raise SettingsError("--sample-users: a model in shards is evaluated on all users; leave it out")
    if given.data is None:
        raise SettingsError("--data: give the data set in shards that the model was trained on")
    with together(PROGRAM) as ranks:
        device = str(given_settings(given).get("device", Settings().device))
        settings = _settings(given, next(parts.models(range(1), device=device)).settings)
        refuse_idle_mask(given, settings)
        about: list[Dataset] = []

        def prepared(ds: Dataset) -> Dataset:
            about[:] = [masked(ds, settings)]
            return about[0]

        how = How(split, settings.topk, settings.candidates, device)
        result = evaluated_parts(parts, given.data, prepared, how, ranks)
        if result is not None:
            _say(result, given, about[0].name, about[0].content_hash)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument("--model", dest="source", required=True, metavar="RUN|FILE|NAME", help=model_help())
    parser.add_argument("--data", metavar="FILE|DIR", help=_DATA)
    parser.add_argument("--split", choices=SPLITS, default="test", help="split to evaluate (default: test)")
    parser.add_argument("--sample-users", type=positive, metavar="N", help=_SAMPLE)
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
    settings = _settings(given, model.settings)
    ds = _data(given, settings)
    return model, ds, settings


def _settings(given: argparse.Namespace, trained: Settings) -> Settings:
    """Those of training, overridden by the command line."""
    return Settings.from_mapping({**_of_training(trained.to_dict()), **given_settings(given)})


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


def _save(result: Evaluation, given: argparse.Namespace, name: str, content_hash: str) -> None:
    from milk_np.files import write_json_atomic

    if given.per_user:
        result.save_per_user(given.per_user)
    if given.json:
        about = {"model": given.source, "split": given.split, "data": name, "data_hash": content_hash}
        write_json_atomic(given.json, about | result.to_dict())


if __name__ == "__main__":
    sys.exit(main())
