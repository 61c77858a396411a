"""Settings of a command: the model that they belong to, and values from the line, a file and a base, in this order."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from milk_np.cli.parser import Parser, add_settings
from milk_np.errors import SettingsError
from milk_np.machine.threads import last_value
from milk_np.models import registry
from milk_np.settings.names import MASK
from milk_np.settings.shared import Settings, normal_keys
from milk_np.settings.toml import read_toml


def add_model_settings(parser: Parser, line: Sequence[str]) -> None:
    """Add the settings of the model that `line`, or its --config file, chooses; other models' settings are errors."""
    name = _chosen_model(line)
    if registry.settings_class(name).kind == "untrained":
        raise SettingsError(
            f"model (--model): {name} needs no training, expected one of {', '.join(registry.trained())}; "
            f"evaluate it with milk-evaluate --model {name}"
        )
    add_settings(parser, of=registry.settings_class(name))
    for option in ("--model", "--preset"):  # already checked: they decide which options there are
        parser._option_string_actions[option].type = None
    parser._option_string_actions["--model"].metavar = "|".join(registry.trained())

    def foreign(spelling: str) -> str | None:
        setting = registry.spellings().get(spelling)
        return None if setting is None else registry.foreign_text(setting, name)

    parser.foreign = foreign


def _chosen_model(line: Sequence[str]) -> str:
    given = {name: last_value(line, f"--{name}") for name in ("model", "preset", "config", "like")}
    stated = {name: given[name] for name in ("model", "preset") if given[name] is not None}
    like = given["config"] is None and given["like"] is not None
    file = _of_run(str(given["like"])) if like else read_toml(given["config"]) if given["config"] else {}
    return registry.named(_over(file, stated))


def _of_run(path: str) -> dict[str, object]:
    """Settings of a run's folder; none if it isn't one, which is told later."""
    from milk_np.training.run_folder import RunFolder  # loads NumPy

    config = RunFolder(path).config
    return read_toml(config) if config.is_file() else {}


def read_settings(
    given: argparse.Namespace, base: Mapping[str, object] | None = None, model: str | None = None
) -> Settings:
    """Settings of `base`, overridden by the file of `--config`, overridden by the command line.

    They are settings of `model`, or of the model that the values name. When the line names another preset than the
    file, the model that the file's preset stands for is dropped too. A file may name other models' settings as long
    as it leaves them at their defaults, as version 0.1.0 wrote them.
    """
    line, path = given_settings(given), getattr(given, "config", None)
    file = read_toml(path) if path is not None else {}
    name = model or registry.named(_over(_over(dict(base or {}), file), line))
    file = normal_keys(file, registry.spellings(name), f"{path}: key")
    values = _over(_over(dict(base or {}), file), line)
    mine = {k: v for k, v in values.items() if k in line or not _idle(k, v, name)}
    if path is not None:
        _check_file(path, {k: v for k, v in file.items() if k in mine and k not in line}, name)
    return registry.make_settings({**mine, "model": name})


def _over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """`below`, overridden by `above`: another preset drops the model that the one below stood for, and another model
    drops a preset that it doesn't have."""
    kept = dict(below)
    if "model" in above and "preset" in kept and not _has_preset(above["model"], kept["preset"]):
        del kept["preset"]
    if {"model", "preset"} <= kept.keys() and "preset" in above and not _has_preset(kept["model"], above["preset"]):
        del kept["model"]
    return {**kept, **above}


def _has_preset(model: object, preset: object) -> bool:
    return model in registry.MODELS and preset in registry.settings_class(str(model)).presets


def _idle(setting: str, value: object, name: str) -> bool:
    """Whether a value belongs to another model's setting and is its default."""
    if setting in registry.settings_class(name).options():
        return False
    first = registry.settings_class(registry.owners(setting)[0])
    try:
        return bool(first.options()[setting].check(value) == getattr(first(), setting))
    except ValueError:  # not even a value of that setting; that the model doesn't have it is told first
        return False


def given_settings(given: argparse.Namespace) -> dict[str, object]:
    """The settings that the command line names."""
    known = registry.names()
    return {name: value for name, value in vars(given).items() if name in known}


def refuse_idle_mask(given: argparse.Namespace, settings: Settings) -> None:
    """Raise SettingsError for rates of missing modalities that would have no effect."""
    idle = [name for name in MASK[1:] if name in given_settings(given)]
    if idle and settings.protocol is None:
        raise SettingsError(
            f"--{idle[0].replace('_', '-')}: has no effect on the mask stored in the data; add --protocol"
        )


def _check_file(path: str, values: Mapping[str, object], name: str) -> None:
    """Errors of a file's own values name the file."""
    try:
        registry.refuse_foreign(values, name)
        registry.settings_class(name)(**{k: v for k, v in values.items() if k != "model"})  # type: ignore[arg-type]
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def model_help() -> str:
    """What --model accepts."""
    *others, last = registry.untrained()
    return f"run folder, model.npz file, or {', '.join(others)} or {last}, which need no training"
