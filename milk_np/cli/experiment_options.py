"""Options that milk-reproduce and milk-tune share."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

from milk_np.cli.choices import given_settings
from milk_np.cli.parser import Parser
from milk_np.settings.shared import Settings

SHARED = (
    "preset",
    "dim",
    "missing_train",
    "missing_test",
    "impute",
    "epochs",
    "batch_size",
    "eval_every",
    "patience",
    "valid_metric",
    "candidates",
    "device",
)
"""Settings that all runs of a command share; the others are set by the experiments (which evaluate lists of 10 and 20)
or by the search."""


QUICK: dict[str, object] = {"epochs": 100, "eval_every": 2, "patience": 4}
"""Defaults that differ from milk-train's: learning rates are larger here, so runs are shorter."""


def own_defaults(options: Mapping[str, object]) -> dict[str, object]:
    """Those of QUICK that are among a model's `options`."""
    return {name: value for name, value in QUICK.items() if name in options}


def own_options(given: argparse.Namespace, options: Mapping[str, object]) -> argparse.Namespace:
    """The given options without the settings that are not among a model's `options`: those are for other models."""
    others = given_settings(given).keys() - options.keys()
    return argparse.Namespace(**{name: value for name, value in vars(given).items() if name not in others})


def usual_patience(settings: Settings) -> dict[str, object]:
    """The default patience of training, for a model that has this setting."""
    patience = type(settings)().to_dict().get("patience")
    return {} if patience is None else {"patience": patience}


def positive(text: str) -> int:
    """A whole number of at least 1, or argparse's error."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def whole(text: str) -> int:
    """A whole number of at least 0, or argparse's error."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def share(text: str) -> float:
    """A share between 0 and 1, or argparse's error."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text!r}")
    return value


def add_search(parser: Parser, *, repeats: bool = True) -> None:
    """Add the options of the search, of parallel runs and, where they apply, of the repeats."""
    group = parser.add_argument_group("search and repeats")
    trials = "configurations per model (default: 8)"
    group.add_argument("--trials", type=positive, default=8, metavar="N", help=trials)
    group.add_argument(
        "--search",
        choices=("grid", "optuna"),
        default="grid",
        help="grid: a Latin hypercube sample of the grid; optuna: Optuna's sampler over the same values, which needs "
        "the extra tune (default: grid)",
    )
    group.add_argument("--jobs", type=whole, default=0, metavar="N", help="parallel runs; 0: one per core (default: 0)")
    if not repeats:
        return
    group.add_argument("--repeats", type=positive, default=5, metavar="N", help="number of repeats (default: 5)")
    group.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="random seed of the first repeat (default: 0)"
    )
    group.add_argument(
        "--new-items", type=share, default=0.2, metavar="X", help="share of items that become new (default: 0.2)"
    )


def sayer(quiet: bool, start: float) -> Callable[[str], None]:
    """A function that prints a line with the seconds since `start`; it prints nothing if `quiet`."""

    def say(text: str) -> None:
        if not quiet:
            print(f"{time.perf_counter() - start:7.1f} s  {text}", flush=True)

    return say
