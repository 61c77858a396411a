"""A whole reproduction: the searches that the chosen experiments need, and the runs that follow from each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from milk_np.errors import DataError
from milk_np.experiments.pool import Say, run_due
from milk_np.experiments.published import printed_weights
from milk_np.experiments.queue import Due
from milk_np.experiments.runs import Run, base
from milk_np.experiments.spaces import Config
from milk_np.experiments.store import Store
from milk_np.experiments.tuning import Search, Searches, Tuned, finished, tune
from milk_np.experiments.variants import Experiment, Variant
from milk_np.files import write_json_atomic
from milk_np.models import registry
from milk_np.settings.shared import Settings

TUNING = "tuning.json"
LAST = math.inf
"""The stage of runs that no other waits for."""


@dataclass(frozen=True)
class ReproductionPlan:
    """The requested experiments and their options.

    Attributes
    ----------
    data : files of data sets
    experiments : to run, in order
    base : settings that all runs share
    repeats, seed : a repeat draws new items, mask and training from `seed` + its number
    trials, search : number of configurations per family and protocol, and how they are chosen
    new_items : share of the items that are new, drawn in each repeat; by default .2, and a split that the data brought
        is kept in all repeats
    jobs : parallel processes
    """

    data: tuple[Path, ...]
    experiments: tuple[Experiment, ...]
    base: Settings
    out: Path
    repeats: int = 5
    seed: int = 0
    trials: int = 8
    search: str = "grid"
    new_items: float | None = None
    jobs: int = 1

    @property
    def draws(self) -> range:
        """Seeds of the repeats."""
        return range(self.seed, self.seed + self.repeats)

    @property
    def share(self) -> float:
        """Share of the items that are drawn as new."""
        return 0.2 if self.new_items is None else self.new_items

    def keeps(self, ds: DataSet) -> bool:
        """Whether a data set keeps its split."""
        return ds.given_split and self.new_items is None


@dataclass(frozen=True, eq=False)
class DataSet:
    """One data set of a plan, by its path, name and hash."""

    path: Path
    name: str
    hash: str
    modalities: int
    users: int
    items: int
    pairs: int
    given_split: bool

    @classmethod
    def read(cls, path: Path) -> DataSet:
        """The data set of a file."""
        ds = base(path)
        return cls(
            path, ds.name, ds.content_hash, ds.n_modalities, ds.n_users, ds.n_items, len(ds.user), ds.given_split
        )


@dataclass(eq=False)
class Reproduction:
    """A plan in progress: `go` does what isn't done yet."""

    plan: ReproductionPlan
    say: Say
    data: list[DataSet] = field(init=False)
    store: Store = field(init=False)
    tuned: dict[tuple[str, str, str], Tuned] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = [DataSet.read(path) for path in self.plan.data]
        _refuse_twins(self.data)
        self.store = Store(self.plan.out / "runs")

    def go(self) -> None:
        """Do what isn't done yet: the searches, and the repeats of each variant once its settings are found."""
        for ds in self.data:
            if self.plan.keeps(ds):
                self.say(f"{ds.name}: its own split of new items is kept; --new-items X draws others in each repeat")
        if self.plan.search == "optuna":
            self._ask_optuna()
        else:
            self.look()
        plan, left = self.plan, [each for each in self._searches() if _key(*each) not in self.tuned]
        searches = Searches(
            [search for _, search in left],
            plan.trials,
            self.store,
            plan.search,
            lambda k, found: self._after(*left[k], found),
        )
        while True:
            run_due(chain(searches.due(), self._due(self.data)), searches.follow, self.store, plan.jobs, self.say)
            if searches.ended:  # else another process has put a run into the store meanwhile
                break

    def _after(self, ds: DataSet, search: Search, tuned: Tuned) -> Iterator[Due]:
        """The runs that a search's result makes possible; it is recorded first."""
        self.tuned[_key(ds, search)] = tuned
        self._record()
        yield from self._due([ds])

    def look(self) -> None:
        """Record the finished searches and run nothing; unfinished ones are left out of reports."""
        for ds, search in self._searches():
            tuned = finished(search, self.plan.trials, self.store, self.plan.search)
            if tuned is not None:
                self.tuned[_key(ds, search)] = tuned
        self._record()

    def _ask_optuna(self) -> None:
        """Its searches one after the other: what it asks for next depends on every result."""
        plan, named = self.plan, self._searches()
        found = tune([search for _, search in named], plan.trials, self.store, plan.jobs, self.say, how=plan.search)
        self.tuned = {_key(ds, search): tuned for (ds, search), tuned in zip(named, found, strict=True)}
        self._record()

    def searched(self) -> Iterator[tuple[DataSet, Tuned]]:
        """Every finished search with its data set, in the order of the experiments."""
        for ds, search in self._searches():
            if (tuned := self.tuned.get(_key(ds, search))) is not None:
                yield ds, tuned

    def _record(self) -> None:
        """Write every finished search with all its trials."""
        searches = [{"data": ds.name, **tuned.to_dict()} for ds, tuned in self.searched()]
        record = {"search": self.plan.search, "draw": self.plan.seed, "searches": searches}
        write_json_atomic(self.plan.out / TUNING, record)

    def _due(self, data: Sequence[DataSet]) -> Iterator[Due]:
        """The runs of the experiments on some data sets whose settings are found."""
        for experiment in self.plan.experiments:
            for ds in data:
                for _, _, run in self.ready(ds, experiment):
                    yield Due(LAST, experiment.name, run)

    def is_tuned(self, ds: DataSet, variant: Variant, protocols: Sequence[str]) -> bool:
        """Whether the settings of a variant are known under all these protocols."""
        family = variant.family
        return family is None or all((ds.hash, family, tuned_on(each)) in self.tuned for each in protocols)

    def _searches(self) -> list[tuple[DataSet, Search]]:
        return [
            (ds, self._search(ds, protocol, family))
            for ds in self.data
            for (_, protocol), family in self._families(ds).items()
        ]

    def runs(self, ds: DataSet, experiment: Experiment) -> Iterator[tuple[Variant, str, Run]]:
        """Those of `ready` whose variants are tuned for all protocols of the experiment: what a report can have."""
        for variant, protocol, run in self.ready(ds, experiment):
            if self.is_tuned(ds, variant, experiment.protocols):
                yield variant, protocol, run

    def ready(self, ds: DataSet, experiment: Experiment) -> Iterator[tuple[Variant, str, Run]]:
        """The runs of an experiment, repeat by repeat: none if the data has too few modalities, none of a variant that
        isn't tuned for the protocol yet."""
        if ds.modalities < experiment.modalities:
            return
        for draw in self.plan.draws:
            for protocol in experiment.protocols:
                for variant in experiment.variants:
                    if self.is_tuned(ds, variant, (protocol,)):
                        settings = self._settings(ds, experiment, variant, protocol)
                        yield variant, protocol, self._run(ds, draw, settings)

    def _settings(self, ds: DataSet, experiment: Experiment, variant: Variant, protocol: str) -> Settings:
        changes: Config = {"protocol": protocol, "missing_mix": experiment.mix, **variant.settings}
        if variant.family is not None:
            changes |= self.tuned[ds.hash, variant.family, tuned_on(protocol)].best
        if variant.weights == "printed":
            changes |= printed_weights(ds.name)
        if variant.sweep is not None:
            changes |= dict([variant.sweep])
        return registry.adapted(self.plan.base, changes)

    def _run(self, ds: DataSet, draw: int, settings: Settings) -> Run:
        seeded = settings.replace(seed=draw, missing_seed=draw)
        if self.plan.keeps(ds):
            return Run(ds.path, ds.hash, 0.0, None, seeded)
        return Run(ds.path, ds.hash, self.plan.share, draw, seeded)

    def _families(self, ds: DataSet) -> dict[tuple[str, str], Config]:
        """Families and protocols to tune for a data set, each once, with the settings that define the family."""
        return {
            (variant.family, tuned_on(protocol)): variant.of_family()
            for experiment in self.plan.experiments
            if ds.modalities >= experiment.modalities
            for protocol in experiment.protocols
            for variant in experiment.variants
            if variant.family is not None
        }

    def _search(self, ds: DataSet, protocol: str, family: Config) -> Search:
        settings = registry.adapted(self.plan.base, {**family, "protocol": protocol})
        return Search(settings, lambda changed: self._run(ds, self.plan.seed, changed))


def tuned_on(protocol: str) -> str:
    """The protocol whose validation items are used for tuning: the same training data, new items miss modalities."""
    return f"{protocol[:2]}MT"


def _key(ds: DataSet, search: Search) -> tuple[str, str, str]:
    return ds.hash, search.family, str(search.base.protocol)


def _refuse_twins(data: Sequence[DataSet]) -> None:
    names = [ds.name for ds in data]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"--data: two data sets are named {name!r}; name them with milk-prepare --name")
