"""What an experiment consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from milk_np.errors import SettingsError
from milk_np.models import registry
from milk_np.settings.option import Value

Kind = Literal["models", "groups", "protocols", "sweep"]
"""What a table shows: variants under each protocol; results by number of missing modalities; the change from one
protocol to the next; one setting varied at a time."""


@dataclass(frozen=True)
class Variant:
    """One row of a table: a model with some settings of its own.

    Attributes
    ----------
    label : str
        Its name in tables.
    settings : mapping
        Settings that differ from those of the command.
    weights : "tuned", "printed" or "none"
        Where the rest comes from: the search for its family; the paper's invariance weight, alignment weight and alpha
        on top of that; nowhere, for a model that isn't tuned.
    sweep : (setting, value), optional
        What a sweep sets on top of everything else.
    """

    label: str
    settings: Mapping[str, Value]
    weights: Literal["tuned", "printed", "none"] = "tuned"
    sweep: tuple[str, Value] | None = None

    @property
    def family(self) -> str | None:
        """The family whose tuned settings it uses: the model, how it represents users, and its modules.

        None if nothing is tuned.
        """
        if self.weights == "none" or not registry.settings_class(self.model).searched:
            return None
        return registry.make_settings(self.of_family()).family

    def of_family(self) -> dict[str, Value]:
        """Those of its settings that define its family."""
        names = registry.settings_class(self.model).family_settings
        return {"model": self.model, **{name: value for name, value in self.settings.items() if name in names}}

    @property
    def model(self) -> str:
        """Name of its model."""
        return str(self.settings.get("model", registry.DEFAULT))


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper.

    Attributes
    ----------
    name, title : str
    what : str
        One or two sentences shown above the results.
    kind : what its table shows
    protocols : of missing modalities, in order
    variants : rows
    baseline : str
        Label of the variant that the others are compared with; "" is the best of each table.
    modalities : int
        Number of modalities that the data must have.
    mix : shares of new items that miss 0, 1, 2, ... modalities, instead of one share
    """

    name: str
    title: str
    what: str
    kind: Kind
    protocols: tuple[str, ...]
    variants: tuple[Variant, ...]
    baseline: str = ""
    modalities: int = 2
    mix: tuple[float, ...] = ()
    metrics: tuple[str, ...] = ("recall@20", "ndcg@20")


def has_rows(experiment: Experiment, systems: Sequence[str]) -> bool:
    """Whether a row is of one of these models; true if none is named."""
    return not systems or any(each.model in systems for each in experiment.variants)


def restricted(experiment: Experiment, systems: Sequence[str]) -> Experiment:
    """The experiment with the rows of these models, and those of random order; with all of them if none is named.

    Raises SettingsError if no row is left: every row is of another model.
    """
    if not systems:
        return experiment
    kept = tuple(each for each in experiment.variants if each.model in (*systems, "random"))
    if not has_rows(experiment, systems):
        others = dict.fromkeys(each.model for each in experiment.variants)
        raise SettingsError(
            f"--systems: got {','.join(systems)}, but the rows of {experiment.name} are of {', '.join(others)}"
        )
    baseline = experiment.baseline if experiment.baseline in {each.label for each in kept} else ""
    return replace(experiment, variants=kept, baseline=baseline)


def under(experiment: Experiment, protocols: Sequence[str]) -> Experiment:
    """The experiment under these of its protocols; under all of them if none is named or none is among them."""
    kept = tuple(each for each in experiment.protocols if each in protocols)
    return replace(experiment, protocols=kept) if kept else experiment


@dataclass(frozen=True)
class Claim:
    """A claim of the paper about two variants: `better` is above `worse` under `protocol`.

    With `loss`, it is about the relative loss from `loss` to `protocol`: that of `better` is smaller. With `same`, it
    says that the two don't differ.
    """

    text: str
    experiment: str
    protocol: str
    better: str
    worse: str
    loss: str = ""
    same: bool = False
    group: str = field(default="all")
