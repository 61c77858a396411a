"""A final model, trained on everything: its settings and epochs come from a finished run that held items out."""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from milk_np.cli.settings import given_settings, read_settings
from milk_np.errors import SettingsError
from milk_np.settings.names import MASK
from milk_np.settings.shared import Settings


def add_final(parser: argparse.ArgumentParser) -> None:
    """Add --final and --like."""
    parser.add_argument("--final", action="store_true", help="train on every item that has pairs; hold nothing out")
    parser.add_argument("--like", metavar="RUN", help="with --final: settings and best epoch of this finished run")


def final_settings(given: argparse.Namespace) -> Settings:
    """Settings of the run --like, overridden by the line; without the protocol that removes modalities to try a model.

    Raises SettingsError if nothing says how many epochs a model that learns by steps takes.
    """
    base = {} if given.like is None else _of_run(given.like)
    settings = read_settings(given, base)
    if settings.seed_list != (settings.seed_list[0],):
        raise SettingsError(f"--seeds: one final model is served, got {len(settings.seed_list)} seeds; give --seed")
    if settings.kind == "steps" and given.like is None and "max_epochs" not in given_settings(given):
        raise SettingsError(
            "--final: nothing is held out that tells when to stop; give --like RUN, a finished run whose best epoch is "
            "taken, or --max-epochs N"
        )
    masks = [name for name in MASK if name in given_settings(given)]
    if masks:
        raise SettingsError(f"--{masks[0].replace('_', '-')}: a final model trains with all that the data have")
    return settings.replace(**{name: getattr(type(settings)(), name) for name in MASK})


def _of_run(path: str) -> dict[str, Any]:
    """Settings of a finished run, and the epochs up to its best; of several seeds, the first and the median epoch."""
    from milk_np.models.registry import load_settings
    from milk_np.training.run_folder import RunFolder

    run = RunFolder(path)
    summary = run.summary() if run.exists else None
    if summary is None:
        raise SettingsError(f"--like {path}: expected the folder of a finished run of milk-train, with summary.json")
    settings = load_settings(run.config)
    values: dict[str, Any] = {**settings.to_dict(), "seed": settings.seed_list[0], "seeds": 1}
    best = summary.get("best_epoch", summary.get("epochs"))
    return (
        values if best is None else values | {"max_epochs": round(median(best if isinstance(best, list) else [best]))}
    )
