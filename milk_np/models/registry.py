"""The table of models: name, location of the settings, location of the class. Both are imported when needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from milk_np.errors import SettingsError
from milk_np.settings.names import MASK
from milk_np.settings.option import Option
from milk_np.settings.shared import Settings, normal_keys
from milk_np.settings.signature import signature
from milk_np.settings.toml import read_toml
from milk_np.text import nearest

if TYPE_CHECKING:
    from milk_np.models.base import Recommender


class Row(NamedTuple):
    """Import paths of a model's settings and of the model, as `module:class`."""

    settings: str
    model: str


def _row(folder: str, settings: str, model: str, file: str = "model") -> Row:
    module = f"milk_np.models.{folder}"
    return Row(f"{module}.settings:{settings}", f"{module}.{file}:{model}")


MODELS = {
    "random": _row("baselines", "RandomOrderSettings", "RandomOrder", "random_order"),
    "profile": _row("baselines", "ContentProfileSettings", "ContentProfile", "content_profile"),
    "similar": _row("baselines", "MostSimilarSettings", "MostSimilar", "most_similar"),
    "duif": _row("duif", "DuifSettings", "Duif"),
    "duif-raw": _row("duif", "DuifRawSettings", "DuifRaw"),
    "milk": _row("milk", "MilkSettings", "Milk"),
    "ccfcrec": _row("ccfcrec", "CcfcrecSettings", "Ccfcrec"),
    "clcrec": _row("clcrec", "ClcrecSettings", "Clcrec"),
    "dropoutnet": _row("dropoutnet", "DropoutNetSettings", "DropoutNet"),
    "gar": _row("gar", "GarSettings", "Gar"),
    "gorec": _row("gorec", "GorecSettings", "Gorec"),
    "heater": _row("heater", "HeaterSettings", "Heater"),
    "micro": _row("micro", "MicroSettings", "Micro"),
    "mtpr": _row("mtpr", "MtprSettings", "Mtpr"),
    "kernel-profile": _row("kernel_profile", "KernelProfileSettings", "KernelProfile"),
    "content-knn": _row("closed_form", "ContentKnnSettings", "ContentKnn", "knn"),
    "ridge": _row("closed_form", "RidgeSettings", "RidgeDirect", "ridge_direct"),
    "svd-ridge": _row("closed_form", "SvdRidgeSettings", "SvdRidge", "svd_ridge"),
    "ials-ridge": _row("closed_form", "IalsRidgeSettings", "IalsRidge", "ials_ridge"),
    "feature-ials": _row("closed_form", "FeatureIalsSettings", "FeatureIals", "feature_ials"),
    "marec": _row("closed_form", "MarecSettings", "Marec", "marec"),
}
DEFAULT = "milk"


def settings_class(name: str) -> type[Settings]:
    """Settings class of the model `name`, without importing NumPy. Raises SettingsError for an unknown name."""
    if name not in MODELS:
        raise SettingsError(
            f"model (--model): got {name!r}, expected one of {', '.join(MODELS)}{nearest(name, MODELS)}"
        )
    return cast("type[Settings]", _found(MODELS[name].settings))


def model_class(name: str) -> type[Recommender]:
    """Class of the model `name`."""
    settings_class(name)
    return cast("type[Recommender]", _found(MODELS[name].model))


def make_model(settings: Settings) -> Recommender:
    """A new model with these settings, not fitted yet."""
    return model_class(settings.model).of(settings)


def trained() -> list[str]:
    """Names of the models that learn: by steps or in closed form."""
    return [name for name in MODELS if settings_class(name).kind != "untrained"]


def untrained() -> list[str]:
    """Names of the models without training."""
    return [name for name in MODELS if settings_class(name).kind == "untrained"]


def spellings(name: str = DEFAULT) -> dict[str, str]:
    """Every spelling of every model's settings, and the setting that it stands for.

    Where models spell different settings alike, such as MILK's `alpha` and Heater's, that of the model `name` counts.
    """
    table: dict[str, str] = {}
    for other in MODELS:
        table = settings_class(other).spellings() | table
    return table | settings_class(name).spellings()


def names() -> set[str]:
    """Names of every model's settings."""
    return {setting for name in MODELS for setting in settings_class(name).options()}


def owners(setting: str) -> list[str]:
    """Models that have a setting of this name."""
    return [name for name in MODELS if setting in settings_class(name).options()]


# Settings of a model


def make_settings(values: Mapping[str, object], source: str = "setting") -> Settings:
    """Settings of the model that `values` name, or that their preset stands for; MILK's if there is neither.

    Keys may have any spelling. Raises SettingsError for a setting of another model, naming the models that have it.
    """
    name = named(values)
    cls, normal = settings_class(name), normal_keys(values, spellings(name), source)
    refuse_foreign(normal, name)
    return cls(**cast(dict[str, Any], {**normal, "model": name}))


def named(values: Mapping[str, object]) -> str:
    """The model that `values` name: by their model, else by their preset, else the default."""
    model, preset = values.get("model"), values.get("preset")
    meant = _of_preset(preset)
    if model is None:
        return meant or DEFAULT
    name = str(model).lower()
    if meant is not None and preset not in settings_class(name).presets:
        raise SettingsError(
            f"model (--model): got {name!r} with the preset {preset}, which is {meant}; leave out one of the two"
        )
    return name


def _of_preset(preset: object) -> str | None:
    """The model that a preset stands for: the default if it has the preset, else the first that does."""
    chosen = str(preset).lower()
    return next((name for name in (DEFAULT, *MODELS) if chosen in settings_class(name).presets), None)


def refuse_foreign(values: Mapping[str, object], name: str) -> None:
    """Raise SettingsError if one of `values` is a setting that the model `name` doesn't have."""
    known = settings_class(name).options()
    for setting in values:
        if setting not in known:
            raise SettingsError(foreign_text(setting, name))


def foreign_text(setting: str, name: str) -> str:
    """The error message for another model's setting."""
    return (
        f"{setting} (--{setting.replace('_', '-')}): a setting of {', '.join(owners(setting))}; {name} doesn't have it"
    )


def adapted(base: Settings, changes: Mapping[str, object]) -> Settings:
    """`base` with `changes`, which may name another model: it gets what of `base` differs from its defaults, where
    both have the setting, and its own defaults otherwise."""
    name = str(changes.get("model", base.model))
    cls, changes = settings_class(name), normal_keys(changes, spellings(name), "setting")
    usual = type(base)().to_dict()
    changed = {k: v for k, v in base.to_dict().items() if v != usual[k] and k != "model"}
    kept = {k: v for k, v in changed.items() if _same(k, type(base), cls)}
    if kept.get("preset") not in cls.presets:
        kept.pop("preset", None)
    refuse_foreign(changes, name)
    return cls(**cast(dict[str, Any], {**kept, **changes, "model": name}))


def _same(setting: str, one: type[Settings], other: type[Settings]) -> bool:
    """Whether a setting of `one` is the same in `other`: models may use a name for different things."""
    mine, theirs = one.options()[setting], other.options().get(setting)
    return theirs is not None and (mine.type, mine.group) == (theirs.type, theirs.group)


def own_settings(name: str, settings: Settings | None, options: Mapping[str, object]) -> Settings:
    """Settings of a model that is made in Python: `settings`, changed by `options`.

    Raises SettingsError for a setting of another model, and for those that only the commands apply.
    """
    options = normal_keys(options, _known(options, name), "setting")
    refuse_foreign(options, name)
    if options.get("model", name) != name:
        raise SettingsError(f"model: got {options['model']!r}, this one is {name}; see milk_np.models.registry")
    for setting, instead in _ELSEWHERE.items():
        if setting in options:
            raise SettingsError(f"{setting}: {instead}")
    if settings is None:
        return make_settings({"model": name, **options})
    if type(settings) is Settings or settings.model == name:
        return adapted(settings, {**options, "model": name})
    raise SettingsError(f"settings: expected those of {name}, got those of {settings.model}")


def _known(options: Mapping[str, object], name: str) -> dict[str, str]:
    """Spellings of all models' settings. Raises SettingsError for a keyword that none has, with the nearest of this
    model's."""
    known = spellings(name)
    for keyword in options:
        if keyword.replace("_", "-") not in known:
            own = (each.replace("-", "_") for each in settings_class(name).spellings())
            near = nearest(keyword, own) or nearest(keyword, sorted(names()))
            raise SettingsError(f"{keyword}: {name} has no such setting{near}")
    return known


def constructor_options(name: str) -> dict[str, Option]:
    """Settings that the constructor of the model `name` takes by keyword."""
    return {
        setting: option
        for setting, option in settings_class(name).options().items()
        if setting != "model" and setting not in _ELSEWHERE
    }


def constructor_signature(name: str) -> Signature:
    """What `inspect` shows of the constructor of the model `name`."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    first = Parameter("settings", kind, default=None, annotation=Settings | None)
    return signature(first, constructor_options(name), settings_class(name)().to_dict())


_MASKED = "a model uses the data as they are; remove modalities with milk_np.data.apply_protocol(ds, ...) first"
_ELSEWHERE = {**dict.fromkeys(MASK, _MASKED), "seeds": "a model is fitted with one seed; give seed instead"}
"""Where to give the settings that only the commands apply."""


# Settings in files


def stored_settings(values: Mapping[str, object], source: str, name: str | None = None) -> Settings:
    """Settings written by this or an earlier version; version 0.1.0 stored those of all models."""
    name = name or str(values.get("model", DEFAULT))
    cls, normal = settings_class(name), normal_keys(values, spellings(name), source)
    mine = {k: v for k, v in normal.items() if k in cls.options()}
    if mine.get("preset") not in tuple(cls.presets):  # an edited file may have anything there
        mine.pop("preset", None)
    return cls(**cast(dict[str, Any], {**mine, "model": name}))


def load_settings(path: str | Path) -> Settings:
    """Settings of a run's `config.toml`; those that it doesn't name have their defaults."""
    return stored_settings(read_toml(path), f"{path}: key")


def _found(path: str) -> object:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
