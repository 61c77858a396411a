"""The settings of a run: defaults, ranges, presets, and their TOML file.

`Settings` is the one table. The options of the command line (`milk_np.cli.common.add_settings`), the keys of
a TOML file and the checks all come from the metadata of its fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self, cast

from milk_np.errors import SettingsError
from milk_np.settings.names import METRICS, MODELS, PROTOCOLS
from milk_np.settings.option import Option, Value, refuse_unknown
from milk_np.settings.toml import read_toml, toml_value

PRESETS: dict[str, dict[str, str]] = {
    "paper": {"risk": "mean", "negatives": "train"},
    "reference": {"risk": "sum", "negatives": "all"},
    "best": {"risk": "mean", "negatives": "train"},
}
BEST_MODEL = "kernel-profile"
"""The model of the preset best, which has no use for the two settings above."""


def _set(default: Value, type_: type, group: str, help_: str, **more: Any) -> Any:
    """Dataclass field of a setting."""
    option = Option(type_, group, help_, **more)
    return field(default=default, metadata={"option": option})


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result of a run, checked on construction.

    Raises SettingsError naming the setting, the value and what is accepted.
    """

    # fmt: off
    model: str = _set("milk", str, "model", "what to train", choices=tuple(MODELS))
    preset: str = _set(
        "paper", str, "model",
        "whose reading of the method: the paper's text, or the authors' program; best: another model, "
        "kernel-profile, ahead of MILK on three real data sets",
        choices=tuple(PRESETS),
    )
    dim: int = _set(64, int, "model", "latent width K", aliases=("embedding-size",), low=1, high=65536)
    users: str = _set(
        "free", str, "model",
        "what a user is: a free vector, a profile of her own training items, or both added up; profiles need the CPU",
        choices=("free", "profile", "both"),
    )
    without: tuple[str, ...] = _set(
        (), str, "model", "modules to leave out: cmam (alignment), ceim (environments)",
        choices=("cmam", "ceim"), many="yes", metavar="MODULES",
    )

    protocol: str | None = _set(
        None, str, "missing modalities",
        "where modalities are missing: Full or Missing Training, then Full or Missing Test",
        choices=PROTOCOLS, none="the mask stored in the data; FTMT for the built-in set",
    )
    missing_train: float = _set(
        0.3, float, "missing modalities", "share of training items that lack a modality (MT..)",
        low=0, high=1,
    )
    missing_test: float = _set(
        0.5, float, "missing modalities", "share of new items that lack a modality (..MT)",
        low=0, high=1,
    )
    missing_mix: tuple[float, ...] = _set(
        (), float, "missing modalities",
        "shares of new items that lack 0, 1, 2, ... modalities, such as .10,.45,.45; replaces --missing-test",
        low=0, high=1, many="yes", metavar="SHARES",
    )
    missing_seed: int = _set(
        0, int, "missing modalities", "seed of the missing modalities", low=0, high=2**63 - 1,
    )
    impute: str = _set(
        "mean", str, "missing modalities", "how a missing modality is filled",
        choices=("zero", "mean", "map", "nearest"),
    )

    lr: float = _set(1e-3, float, "training", "learning rate of Adam", aliases=("learning-rate",), above=0)
    epochs: int = _set(300, int, "training", "most epochs to train", low=1)
    batch_size: int = _set(2048, int, "training", "triplets in a batch, at most", low=1)
    eval_every: int = _set(10, int, "training", "epochs between evaluations", low=1)
    patience: int = _set(
        3, int, "training", "evaluations without a better valid metric before training stops; 0: never stop",
        aliases=("early-stop",), low=0,
    )
    seed: int = _set(0, int, "training", "seed of the run", low=0, high=2**63 - 1)
    seeds: int | tuple[int, ...] = _set(
        1, int, "training", "number of seeds, from --seed up, or a list of seeds; prints mean and deviation",
        low=0, high=2**63 - 1, many="maybe", metavar="N|LIST",
    )

    invariance_weight: float = _set(
        1.0, float, "objective", "weight of the variance of the risk over environments",
        aliases=("penalty-coeff",), low=0,
    )
    align_weight: float = _set(
        0.05, float, "objective", "weight of the alignment between modalities",
        aliases=("align-coeff",), low=0,
    )
    reg: float = _set(1e-4, float, "objective", "weight of the squared norms", aliases=("reg-coeff",), low=0)
    reg_scope: str = _set(
        "batch", str, "objective", "what the squared norms cover: the batch's vectors, or all parameters",
        choices=("batch", "all"),
    )
    dirichlet_alpha: float = _set(
        0.1, float, "objective", "concentration of the Dirichlet draw that mixes modalities",
        aliases=("alpha",), low=1e-3, high=1e6,
    )
    env_draws: int = _set(1, int, "objective", "Dirichlet draws a step", low=1, high=4096)
    environments: str = _set(
        "cyclic", str, "objective",
        "how environments are made: equal weights and cyclic shifts of a draw; the shifts alone; "
        "independent draws; drawn once for the whole run",
        choices=("cyclic", "no-equal", "independent", "once"),
    )
    risk: str | None = _set(
        None, str, "objective", "how environment risks combine",
        choices=("mean", "sum"), none="from the preset",
    )
    negatives: str | None = _set(
        None, str, "objective",
        "items that negatives are drawn from: training items, or all, new ones included",
        choices=("train", "all"), none="from the preset",
    )
    negative_pool: int = _set(
        0, int, "objective",
        "items, drawn anew for every batch, that its negatives are confined to: fewer distinct items, so less work; "
        "0: no such limit", low=0,
    )

    profile_width: int = _set(1024, int, "kernel-profile", "most numbers in a vector", low=1, high=65536)
    landmarks: int = _set(
        1024, int, "kernel-profile", "training items that content is compared with", low=1, high=65536,
    )
    smoothing: float = _set(
        100.0, float, "kernel-profile", "ridge of the weights between items that complete a user's history", above=0,
    )
    smoothing_rank: int = _set(
        64, int, "kernel-profile", "rank of the weights between items; 0: histories as they are", low=0, high=65536,
    )
    smoothing_power: float = _set(
        0.5, float, "kernel-profile",
        "power of an item's popularity that its ridge grows with; 0: one ridge for all", low=0, high=2,
    )
    rarity: float = _set(
        0.1, float, "kernel-profile",
        "power of the number of its users by which an item of a history counts less; 0: all count alike", low=0, high=1,
    )
    prior: float = _set(
        2.0, float, "kernel-profile",
        "mean items of all histories that are added to every history, and stand in for an empty one", above=0,
    )
    owned_sets: str = _set(
        "each", str, "kernel-profile",
        "a regression for each set of modalities that an item can own, or for the whole alone, where a missing "
        "modality counts as the mean", choices=("each", "whole"),
    )
    kernel_scale: float = _set(
        1.0, float, "kernel-profile", "how fast similarity falls with the angle between two items' content", above=0,
    )
    kernel_noise: float = _set(
        0.0, float, "kernel-profile", "ridge of the regression on content; 0: by ranking training items held out",
        low=0,
    )
    modality_weights: tuple[float, ...] = _set(
        (), float, "kernel-profile", "weight of each modality; by leave-one-out error if not given", above=0,
        many="yes", metavar="X,X",
    )
    whitening: tuple[float, ...] = _set(
        (), float, "kernel-profile",
        "how far the principal axes of each modality's content, or of all, are made alike, from 0 to 1; "
        "0, 0.5 or 1 by ranking training items held out if not given", low=0, high=1, many="yes", metavar="X,X",
    )

    valid_metric: str = _set(
        "ndcg@10", str, "evaluation", "metric on valid new items that picks the best epoch",
        metavar="METRIC@K",
    )
    topk: tuple[int, ...] = _set(
        (10, 20), int, "evaluation", "lengths K of the lists that are scored",
        low=1, many="yes", metavar="K,K",
    )
    candidates: str = _set(
        "all", str, "evaluation", "items ranked: all new items, or only those of the split that is scored",
        choices=("all", "split"),
    )

    device: str = _set("cpu", str, "machine", "where to compute", choices=("cpu", "gpu", "auto"))
    threads: int = _set(
        0, int, "machine", "threads; 0: all cores that this process may use", low=0, high=4096,
    )
    log_every: int = _set(0, int, "machine", "steps between readings of the loss; 0: once an epoch", low=0)
    # fmt: on

    def __post_init__(self) -> None:
        for name, option in options().items():
            object.__setattr__(self, name, _checked(name, option, getattr(self, name)))
        if self.preset == "best":
            self._be_best()
        object.__setattr__(self, "valid_metric", _metric(self.valid_metric))
        _check_together(self)

    def _be_best(self) -> None:
        if self.model not in ("milk", BEST_MODEL):
            raise SettingsError(
                f"model (--model): got {self.model!r} with the preset best, which is {BEST_MODEL}; leave one out"
            )
        object.__setattr__(self, "model", BEST_MODEL)

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], source: str = "setting") -> Self:
        """Settings from keys in any of their spellings (`batch_size`, `batch-size`, an alias).

        Raises SettingsError for an unknown key (naming the nearest right one) or a key given twice.
        """
        return cls(**cast(dict[str, Any], normal_keys(values, source)))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Settings of a TOML file; what it doesn't name keeps its default."""
        return cls.from_mapping(read_toml(path), f"{path}: key")

    def replace(self, **changes: object) -> Self:
        """The settings with some of them changed, checked again."""
        return dataclasses.replace(self, **cast(dict[str, Any], changes))

    def resolve(self) -> Self:
        """The settings with every value that the preset decides filled in."""
        chosen = {name: value for name, value in PRESETS[self.preset].items() if getattr(self, name) is None}
        return self.replace(**chosen)

    def without_machine(self) -> Self:
        """The settings that decide the result: threads and logging, which don't, are at their defaults."""
        return self.replace(threads=0, log_every=0)

    @property
    def training_device(self) -> str:
        """`device`, or "cpu" for what has no kernels on a GPU yet: profiles of users."""
        return self.device if self.users == "free" else "cpu"

    @property
    def seed_list(self) -> tuple[int, ...]:
        """Every seed to train: the list that was given, or `seeds` of them from `seed` up."""
        if isinstance(self.seeds, tuple):
            return self.seeds
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """Lengths of list that have to be evaluated: `topk` and that of the valid metric, ascending."""
        return tuple(sorted({*self.topk, int(self.valid_metric.split("@")[1])}))

    def to_dict(self) -> dict[str, Value]:
        """Every setting by its name."""
        return {name: cast(Value, getattr(self, name)) for name in options()}

    def to_toml(self) -> str:
        """TOML text that `load` reads back to equal settings; unset values stand as comments."""
        group, lines = "", []
        resolved = self.resolve()
        for name, option in options().items():
            if option.group != group:
                lines += ["" if group else None, f"# {option.group}"]
                group = option.group
            lines.append(_toml_line(name, option, getattr(self, name), getattr(resolved, name)))
        return "\n".join(line for line in lines if line is not None) + "\n"


@cache
def options() -> dict[str, Option]:
    """The table: every setting's name and what it accepts, in the order of the fields."""
    return {entry.name: entry.metadata["option"] for entry in dataclasses.fields(Settings)}


@cache
def spellings() -> dict[str, str]:
    """Every accepted spelling of a key, with dashes, and the setting that it names."""
    table = {}
    for name, option in options().items():
        for spelling in (name.replace("_", "-"), *option.aliases):
            table[spelling] = name
    return table


def normal_keys(values: Mapping[str, object], source: str) -> dict[str, object]:
    """The mapping with every key under its field name."""
    dashed = {key: key.replace("_", "-") for key in values}
    refuse_unknown(dashed.values(), spellings(), source)
    normal: dict[str, object] = {}
    for key, value in values.items():
        name = spellings()[dashed[key]]
        if name in normal:
            raise SettingsError(f"{source} {key!r} sets {name} a second time; keep one of the two")
        normal[name] = value
    return normal


def _checked(name: str, option: Option, value: object) -> Value:
    try:
        return option.check(value)
    except ValueError as error:
        raise SettingsError(f"{name} (--{name.replace('_', '-')}): {error}") from None


def _metric(text: str) -> str:
    name, _, k = text.lower().partition("@")
    if name not in METRICS or not k.isdecimal() or int(k) < 1:
        raise SettingsError(
            f"valid_metric (--valid-metric): got {text!r}, expected one of {', '.join(METRICS)}, "
            "then @ and a list length, such as ndcg@10"
        )
    return f"{name}@{int(k)}"


def _check_together(settings: Settings) -> None:
    """Checks that a single setting's range can't express."""
    mix = settings.missing_mix
    if mix and (len(mix) < 2 or abs(sum(mix) - 1) > 1e-6):
        raise SettingsError(f"missing_mix (--missing-mix): got {mix}, expected at least two shares that add up to 1")
    if settings.model == "milk" and settings.users != "free" and settings.device == "gpu":
        raise SettingsError(
            f"users (--users): got {settings.users!r}, which needs --device cpu; on the GPU users are free as yet"
        )
    if not settings.topk:
        raise SettingsError("topk (--topk): got an empty list, expected at least one list length")
    if not settings.seed_list or len(set(settings.seed_list)) < len(settings.seed_list):
        raise SettingsError(
            f"seeds (--seeds): got {settings.seeds!r}, expected a number of at least 1 or distinct seeds"
        )


def _toml_line(name: str, option: Option, value: Value, resolved: Value) -> str:
    if value is None:
        chosen = "" if resolved is None else f"{resolved}, "
        return f"# {name}: {chosen}{option.none}"
    return f"{name} = {toml_value(value)}"
