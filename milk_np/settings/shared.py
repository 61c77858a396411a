"""The settings that all models share, and what settings can do: check, read, write, resolve.

A model's own settings are a subclass in the model's folder (`milk_np.models.registry` finds it). The options of the
command line, the keys of a TOML file and the checks all come from the metadata of the fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

from milk_np.errors import SettingsError
from milk_np.settings.metrics import METRICS
from milk_np.settings.names import DEVICES, GROUPS, IMPUTERS, PROTOCOLS
from milk_np.settings.option import Option, Value, option, refuse_unknown
from milk_np.settings.toml import toml_value
from milk_np.text import nearest

Kind = Literal["steps", "closed form", "untrained"]
Space = Mapping[str, tuple[Value, ...]]
MOST_SEEDS = 10_000
"""Most runs of one command that are counted up from a seed."""


class _Spelled(type):
    """The class of settings classes, which may be called with any spelling of a setting."""

    if not TYPE_CHECKING:  # type checkers take the keyword arguments from the fields

        def __call__(cls, *values: Any, **named: Any) -> Any:
            """Raises SettingsError for a name that the class doesn't have, before `__init__` would raise TypeError."""
            return super().__call__(*values, **cls.named(named))

    @property
    def __signature__(cls) -> Signature:
        """What `inspect` shows: the fields, with their types and defaults."""
        found = signature(cast(Any, cls).__init__)
        return found.replace(parameters=list(found.parameters.values())[1:], return_annotation=Signature.empty)


@dataclass(frozen=True)
class Settings(metaclass=_Spelled):
    """What decides the result of a run, as far as all models share it; checked on construction.

    Raises SettingsError naming the setting, the value and what is accepted.
    """

    kind: ClassVar[Kind] = "untrained"
    """How the model is fitted: by steps, in one pass, or not at all."""
    fits_on_host: ClassVar[bool] = False
    """Whether a fit runs on the host whatever `device` is, which then only ranks."""
    revision: ClassVar[int] = 0
    """Increase it when the model's settings come to mean something else: experiments then compute its results again."""
    title: ClassVar[str] = ""
    """The model's name in tables of results."""
    compiles: ClassVar[str] = "ranking"
    """The kernels that a first run compiles: a plan of `milk_np.kernels.cpu.ahead`."""
    presets: ClassVar[Mapping[str, Mapping[str, Value]]] = {}
    """By name, the values that a preset gives to settings that are left open."""
    searched: ClassVar[bool] = False
    """Whether experiments tune the model's settings before they compare it."""
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {}
    """By label, settings that its paper or its authors' program published: rows of Table 2 that aren't tuned."""
    family_settings: ClassVar[tuple[str, ...]] = ("model",)
    """Settings of which each combination is tuned on its own."""

    # fmt: off
    model: str = option("", str, "model", "model to train", metavar="NAME")
    preset: str = option("", str, "model", "named group of settings")

    protocol: str | None = option(
        None, str, "missing modalities",
        "where modalities are missing; FTMT: Full Training, Missing Test (only new items miss any), and so on",
        choices=PROTOCOLS, none="the mask stored in the data; FTMT for the built-in set",
    )
    missing_train: float = option(
        0.3, float, "missing modalities", "share of training items that miss a modality (MTFT, MTMT)",
        low=0, high=1,
    )
    missing_test: float = option(
        0.5, float, "missing modalities", "share of new items that miss a modality (FTMT, MTMT)",
        low=0, high=1,
    )
    missing_mix: tuple[float, ...] = option(
        (), float, "missing modalities",
        "shares of new items missing 0, 1, 2, ... modalities, such as .10,.45,.45; replaces --missing-test",
        low=0, high=1, many="yes", metavar="SHARES",
    )
    missing_seed: int = option(
        0, int, "missing modalities", "random seed of the missing modalities", low=0, high=2**63 - 1,
    )
    impute: str = option(
        "mean", str, "missing modalities", "how missing modalities are imputed",
        choices=tuple(IMPUTERS),
    )
    seed: int = option(0, int, "training", "random seed", low=0, high=2**63 - 1)
    seeds: int | tuple[int, ...] = option(
        1, int, "training",
        "number of seeds, counting up from --seed, or a list of seeds; prints mean and standard deviation",
        low=0, high=2**63 - 1, many="maybe", metavar="N|LIST",
    )
    valid_metric: str = option(
        "ndcg@10", str, "evaluation", "validation metric that picks the best epoch",
        metavar="METRIC@K",
    )
    topk: tuple[int, ...] = option(
        (10, 20), int, "evaluation", "list lengths K to evaluate",
        low=1, many="yes", metavar="K,K",
    )
    candidates: str = option(
        "all", str, "evaluation", "items to rank: all new items, or only those of the evaluated split",
        choices=("all", "split"),
    )
    device: str = option("cpu", str, "machine", "device to compute on", choices=(*DEVICES, "auto"))
    threads: int = option(
        0, int, "machine", "number of threads; 0: all cores available to this process", low=0, high=4096,
    )
    # fmt: on

    def __post_init__(self) -> None:
        for name, accepted in self.options().items():
            object.__setattr__(self, name, _checked(name, accepted, getattr(self, name)))
        object.__setattr__(self, "valid_metric", _metric(self.valid_metric))
        self._check_together()

    def _check_together(self) -> None:
        """Checks that a single setting's range can't express; a model adds its own."""
        mix = self.missing_mix
        if mix and (len(mix) < 2 or abs(sum(mix) - 1) > 1e-6):
            raise SettingsError(
                f"missing_mix (--missing-mix): got {mix}, expected at least two shares that add up to 1"
            )
        if not self.topk:
            raise SettingsError("topk (--topk): got an empty list, expected at least one list length")
        if isinstance(self.seeds, int) and self.seeds > MOST_SEEDS:
            raise SettingsError(f"seeds (--seeds): got {self.seeds:,}, expected at most {MOST_SEEDS:,} runs")
        if not self.seed_list or len(set(self.seed_list)) < len(self.seed_list):
            raise SettingsError(
                f"seeds (--seeds): got {self.seeds!r}, expected a number of at least 1 or distinct seeds"
            )

    # The table

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Every setting's name and what it accepts, group by group."""
        return _options(cast(Any, cls))

    @classmethod
    def spellings(cls) -> dict[str, str]:
        """Every accepted spelling of a key, with dashes, and the setting that it stands for."""
        return {
            spelling: name
            for name, accepted in cls.options().items()
            for spelling in (name.replace("_", "-"), *accepted.aliases)
        }

    @classmethod
    def named(cls, values: Mapping[str, object]) -> dict[str, object]:
        """The values of Python's keyword arguments, with every one under its field name."""
        spellings = cls.spellings()
        for name in values:
            if name.replace("_", "-") not in spellings:
                raise SettingsError(
                    f"{name}: {cls.__name__} has no such setting{nearest(name, cls.options())}; each model has "
                    "settings of its own: milk_np.models.registry.settings_class(model)"
                )
        return normal_keys(values, spellings, "setting")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], source: str = "setting") -> Self:
        """Settings from keys in any of their spellings (`batch_size`, `batch-size`, an alias).

        Raises SettingsError for an unknown key (naming the nearest right one) or a key given twice.
        """
        return cls(**cast(dict[str, Any], normal_keys(values, cls.spellings(), source)))

    # What follows from them

    def replace(self, **changes: object) -> Self:
        """The settings with some of them changed, checked again."""
        return dataclasses.replace(self, **cast(dict[str, Any], self.named(changes)))

    def resolve(self) -> Self:
        """The settings with the preset's values filled in where they were left open."""
        chosen = self.presets.get(self.preset, {})
        return self.replace(**{name: value for name, value in chosen.items() if getattr(self, name) is None})

    def without_machine(self) -> Self:
        """The settings that affect the result; threads and logging, which don't, are at their defaults."""
        return self.replace(threads=0)

    def described(self) -> dict[str, str]:
        """What a run shows before it starts, by heading: "model", "filled" (how modalities are imputed), and more."""
        return {"model": self.model, "filled": f"imputed by {self.impute}"}

    @property
    def family(self) -> str:
        """Models with the same family share tuned settings: the model, and what of it is left out or changed."""
        return self.model

    def tuning_space(self) -> Space:
        """Values to try when tuning, by setting; empty for a model without settings to tune."""
        return {}

    @property
    def seed_list(self) -> tuple[int, ...]:
        """Every seed to train: the given list, or `seeds` of them counting up from `seed`."""
        if isinstance(self.seeds, tuple):
            return self.seeds
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """List lengths to evaluate: `topk` and that of the validation metric, ascending."""
        return tuple(sorted({*self.topk, int(self.valid_metric.split("@")[1])}))

    def to_dict(self) -> dict[str, Value]:
        """Every setting by its name."""
        return {name: cast(Value, getattr(self, name)) for name in self.options()}

    def to_toml(self) -> str:
        """TOML text that reads back to equal settings; unset values are written as comments."""
        group, lines, resolved = "", list[str](), self.resolve()
        for name, accepted in self.options().items():
            if accepted.group != group:
                lines += ["", f"# {accepted.group}"] if group else [f"# {accepted.group}"]
                group = accepted.group
            lines.append(_toml_line(name, accepted, getattr(self, name), getattr(resolved, name)))
        return "\n".join(lines) + "\n"


@cache
def _options(cls: Any) -> dict[str, Option]:
    table: dict[str, Option] = {entry.name: entry.metadata["option"] for entry in dataclasses.fields(cls)}
    own = GROUPS.index("")
    place = {accepted.group: own for accepted in table.values()} | {name: at for at, name in enumerate(GROUPS)}
    return dict(sorted(table.items(), key=lambda entry: place[entry[1].group]))


def normal_keys(values: Mapping[str, object], spellings: Mapping[str, str], source: str) -> dict[str, object]:
    """The mapping with every key under its field name; `spellings` are the accepted ones."""
    dashed = {key: key.replace("_", "-") for key in values}
    refuse_unknown(dashed.values(), spellings, source)
    normal: dict[str, object] = {}
    for key, value in values.items():
        name = spellings[dashed[key]]
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
    normal = f"{name}@{int(k)}"
    return text if text == normal else normal  # the same object: scikit-learn's clone asks for it


def _toml_line(name: str, option: Option, value: Value, resolved: Value) -> str:
    if value is None:
        chosen = "" if resolved is None else f"{resolved}, "
        return f"# {name}: {chosen}{option.none}"
    return f"{name} = {toml_value(value)}"
