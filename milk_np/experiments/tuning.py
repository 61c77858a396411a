"""The search for settings on one draw's validation items: the same number of trials for every family of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from milk_np.errors import MissingExtraError
from milk_np.experiments.pool import Say, run_all
from milk_np.experiments.runs import Run
from milk_np.experiments.spaces import Config, design
from milk_np.experiments.store import Store
from milk_np.settings.option import Value
from milk_np.settings.shared import Settings, Space

MakeRun = Callable[[Settings], Run]


@dataclass(frozen=True)
class Search:
    """One family under one protocol: `make` turns settings into a run on the draw used for tuning."""

    base: Settings
    make: MakeRun

    @property
    def family(self) -> str:
        """The family that shares the settings found."""
        return self.base.family

    def run(self, config: Config) -> Run:
        """The run of one configuration."""
        return self.make(self.base.replace(**config))

    def design(self, trials: int) -> list[Config]:
        """The configurations to try."""
        return design(self.family, self.base.tuning_space(), trials)


@dataclass(frozen=True)
class Tuned:
    """The result of a search: every trial with its validation metric; the first best one is chosen."""

    family: str
    protocol: str
    metric: str
    space: Space
    trials: tuple[tuple[Config, float], ...]

    @property
    def best(self) -> Config:
        """The chosen configuration."""
        return max(self.trials, key=lambda trial: trial[1])[0]

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        trials = [{**config, self.metric: value} for config, value in self.trials]
        return {
            "family": self.family,
            "protocol": self.protocol,
            "metric": self.metric,
            "space": {name: list(values) for name, values in self.space.items()},
            "trials": trials,
            "best": self.best,
        }


def tune(
    searches: Iterable[Search], trials: int, store: Store, jobs: int, say: Say, *, how: str = "grid"
) -> list[Tuned]:
    """Run every search with `trials` trials and choose by the validation metric alone.

    `how` is "grid" (the full grid if it is small, otherwise a Latin hypercube sample) or "optuna" (its sampler over
    the same values). Trials that are already in the store are not repeated.
    """
    searches = list(searches)
    if how == "optuna":
        return [_with_optuna(search, trials, store, jobs, say) for search in searches]
    plans = [(search, search.design(trials)) for search in searches]
    run_all([search.run(config) for search, plan in plans for config in plan], store, jobs, say, "tuning")
    return [_judged(search, plan, store) for search, plan in plans]


def _judged(search: Search, configs: Sequence[Config], store: Store) -> Tuned:
    found = tuple((config, valid_metric(store.get(search.run(config)), search.base)) for config in configs)
    return Tuned(search.family, str(search.base.protocol), search.base.valid_metric, search.base.tuning_space(), found)


def finished(search: Search, trials: int, store: Store) -> Tuned | None:
    """The result of a search over the grid; None while some of its trials are missing."""
    configs = search.design(trials)
    if not all(store.has(search.run(config)) for config in configs):
        return None
    return _judged(search, configs, store)


def valid_metric(summary: dict[str, Any], settings: Settings) -> float:
    """The metric on validation items used for the choice; -1 for a run that diverged."""
    return float(summary["valid"][settings.valid_metric]) if "valid" in summary else -1.0


def _with_optuna(search: Search, trials: int, store: Store, jobs: int, say: Say) -> Tuned:
    """Ask Optuna's seeded sampler for `jobs` configurations at a time and report their metrics."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    space, configs = search.base.tuning_space(), list[Config]()
    while len(configs) < trials:
        asked = [study.ask() for _ in range(min(jobs, trials - len(configs)))]
        batch = [{name: _suggest(trial, name, values) for name, values in space.items()} for trial in asked]
        run_all([search.run(config) for config in batch], store, jobs, say, f"tuning {search.family}")
        for trial, config in zip(asked, batch, strict=True):
            study.tell(trial, valid_metric(store.get(search.run(config)), search.base))
        configs += batch
    return _judged(search, configs, store)


def _suggest(trial: Any, name: str, values: tuple[Value, ...]) -> Value:
    value: Value = trial.suggest_categorical(name, list(values))
    return value


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError(
            "--search optuna: Optuna is not installed; install milk-np[tune], or use --search grid"
        ) from None
    return optuna
