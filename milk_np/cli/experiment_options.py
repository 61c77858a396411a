"""Options that milk-reproduce and milk-tune share."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from milk_np.cli.parser import Parser
from milk_np.cli.settings import given_settings
from milk_np.cli.types import positive, share, whole
from milk_np.errors import SettingsError
from milk_np.models import registry
from milk_np.settings.option import Option
from milk_np.settings.shared import Settings
from milk_np.settings.triplets import TripletSettings

SHARED = (
    "preset",
    "dim",
    "missing_train",
    "missing_test",
    "impute",
    "max_epochs",
    "batch_size",
    "eval_every",
    "patience",
    "valid_metric",
    "candidates",
    "device",
)
"""Settings that all runs of a command share; the others are set by the experiments (which evaluate lists of 10 and 20)
or by the search."""


QUICK: dict[str, object] = {"max_epochs": 100, "eval_every": 2, "patience": 4}
"""Defaults that differ from milk-train's: learning rates are larger here, so runs are shorter."""


def shared_options() -> dict[str, Option]:
    """Options that differ from milk-train's: a preset of MILK is one of its own, and data are always given."""
    protocol = replace(Settings.options()["protocol"], none="the mask stored in the data")
    return {"preset": TripletSettings.options()["preset"], "protocol": protocol}


def own_defaults(options: Mapping[str, object]) -> dict[str, object]:
    """Those of QUICK that are among a model's `options`."""
    return {name: value for name, value in QUICK.items() if name in options}


def own_options(given: argparse.Namespace, model: str) -> argparse.Namespace:
    """The given options without the settings, or the preset, that `model` doesn't have: those are for other models."""
    others = {name for name, value in given_settings(given).items() if not _takes(model, name, value)}
    return argparse.Namespace(**{name: value for name, value in vars(given).items() if name not in others})


def refuse_unused(given: argparse.Namespace, models: Sequence[str]) -> None:
    """Raise SettingsError for a setting, or a preset, that none of `models` has."""
    for name, value in given_settings(given).items():
        if not any(_takes(model, name, value) for model in models):
            owners = ", ".join(model for model in registry.trained() if _takes(model, name, value))
            what = f"the preset {value} is" if name == "preset" else "a setting"
            raise SettingsError(f"{name} (--{name.replace('_', '-')}): {what} of {owners}; --models names none of them")


def _takes(model: str, name: str, value: object) -> bool:
    cls = registry.settings_class(model)
    return value in cls.presets if name == "preset" else name in cls.options()


def usual_patience(settings: Settings) -> dict[str, object]:
    """The default patience of training, for a model that has this setting."""
    patience = type(settings)().to_dict().get("patience")
    return {} if patience is None else {"patience": patience}


def add_search(parser: Parser, *, repeats: bool = True) -> None:
    """Add the options of the search, of parallel runs and, where they apply, of the repeats."""
    group = parser.add_argument_group("search and repeats")
    trials = "configurations per model, tried beside its defaults (default: 8)"
    group.add_argument("--trials", type=positive, default=8, metavar="N", help=trials)
    group.add_argument(
        "--search",
        choices=("grid", "halving", "optuna"),
        default="grid",
        help="grid: a Latin hypercube sample of the grid; halving: the same configurations, few epochs for all and "
        "more for the better third, repeatedly; optuna: Optuna's sampler over the same values, which needs the extra "
        "tune (default: grid)",
    )
    group.add_argument("--jobs", type=whole, default=0, metavar="N", help="parallel runs; 0: one per core (default: 0)")
    if not repeats:
        return
    group.add_argument("--repeats", type=positive, default=5, metavar="N", help="number of repeats (default: 5)")
    group.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="random seed of the first repeat (default: 0)"
    )
    group.add_argument(
        "--new-items",
        type=share,
        metavar="X",
        help="share of items that become new, drawn in each repeat (default: 0.2, or the split that the data brought)",
    )


def sayer(quiet: bool, start: float) -> Callable[[str], None]:
    """A function that prints a line with the seconds since `start`; it prints nothing if `quiet`."""

    def say(text: str) -> None:
        if not quiet:
            print(f"{time.perf_counter() - start:7.1f} s  {text}", flush=True)

    return say
