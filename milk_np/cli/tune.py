"""milk-tune: find settings on the validation items of a data set, the same number of trials for every model."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from milk_np.cli.common import run_command
from milk_np.cli.experiment_options import (
    QUICK,
    SHARED,
    add_search,
    own_defaults,
    own_options,
    refuse_unused,
    sayer,
    shared_options,
    usual_patience,
)
from milk_np.cli.parser import Parser, add_common, add_settings
from milk_np.cli.settings import read_settings
from milk_np.errors import SettingsError
from milk_np.machine.threads import allowed_cores
from milk_np.models import registry
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.experiments.tuning import Search, Tuned

PROGRAM = "milk-tune"
DESCRIPTION = """Find settings for one or several models on the validation items of a data set.

Every model gets the same number of trials, and one of its defaults; test items are not used. DIR
receives a settings file for each model, which milk-train --config reads, tuning.json with every
trial, and the runs, which are never repeated. The data set's own split and mask are used, unless
--protocol draws a new mask."""
EXAMPLES = (
    "milk-tune --data shop.npz --out tuned/shop",
    "milk-tune --data shop.npz --models milk,duif --trials 16 --protocol FTMT --out tuned/shop",
    "milk-train --data shop.npz --config tuned/shop/milk.toml",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-tune`; returns the exit code."""
    return run_command(PROGRAM, _run, argv)


def _run(line: list[str]) -> int:
    given = _parser().parse_args(line)
    from milk_np.experiments.store import Store
    from milk_np.experiments.tuning import tune
    from milk_np.files import write_json_atomic, write_text_atomic

    say, out = sayer(given.quiet, time.perf_counter()), Path(given.out)
    models = [_known(name.strip()) for name in given.models.split(",")]
    refuse_unused(given, models)
    searches = [_search(Path(given.data), _base(given, m)) for m in models]
    jobs = given.jobs or allowed_cores()
    try:
        found = tune(searches, given.trials, Store(out / "runs"), jobs, say, how=given.search)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; finished trials are kept, the same command continues") from None
    write_json_atomic(out / "tuning.json", {"search": given.search, "searches": [each.to_dict() for each in found]})
    for search, tuned in zip(searches, found, strict=True):
        path = out / f"{search.base.model}.toml"
        write_text_atomic(path, search.base.replace(**tuned.best, **usual_patience(search.base)).to_toml())
        print(f"{_table(tuned)}\nwritten to {path}\n")
    return 0


def _parser() -> Parser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument("--data", metavar="FILE|DIR", required=True, help="data set")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder for the results")
    models = f"models to tune, among {', '.join(registry.trained())} (default: milk)"
    parser.add_argument("--models", metavar="NAMES", default="milk", help=models)
    add_search(parser, repeats=False)
    add_common(parser)
    names = ("without", "protocol", "missing_mix", "missing_seed", "topk", *SHARED)
    add_settings(parser, names, registry.settings_class(registry.DEFAULT), QUICK, shared_options())
    return parser


def _known(name: str) -> str:
    if name in registry.untrained():
        raise SettingsError(f"--models: {name} has nothing to tune; expected {', '.join(registry.trained())}")
    if name not in registry.MODELS:
        raise SettingsError(f"--models: expected {', '.join(registry.trained())}, got {name!r}")
    return name


def _base(given: argparse.Namespace, model: str) -> Settings:
    """The settings that a model's trials share: those of the command's options that the model has."""
    mine = registry.settings_class(model).options()
    return read_settings(own_options(given, model), own_defaults(mine), model)


def _search(data: Path, base: Settings) -> Search:
    from milk_np.experiments.runs import Run
    from milk_np.experiments.runs import base as stored
    from milk_np.experiments.tuning import Search

    data_hash = stored(data).content_hash
    return Search(base, lambda settings: Run(data, data_hash, 0.0, None, settings))


def _table(tuned: Tuned) -> str:
    """Every trial, best first."""
    names = list(tuned.trials[0][0])
    lines = [f"{tuned.family}, valid {tuned.metric}", "".join(f"{name:>20}" for name in (*names, tuned.metric))]
    for config, value in sorted(tuned.trials, key=lambda trial: -trial[1]):
        lines.append("".join(f"{config[name]!s:>20}" for name in names) + f"{value:>20.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
