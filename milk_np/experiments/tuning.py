"""The search for settings on one draw's validation items: the same number of trials for every family of models, and one
of the values that hold without a search.

"grid" trains every trial to its end. "halving" (Jamieson and Talwalkar, AISTATS 2016) trains all of them for a few
epochs, the better third for thrice as many, and so on, until one is left that is trained to its end; what stopped by
itself before isn't trained again, and what has no epochs is tried whole at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from milk_np.errors import MissingExtraError
from milk_np.experiments.pool import Say, run_all, run_due
from milk_np.experiments.queue import Due
from milk_np.experiments.runs import Result, Run
from milk_np.experiments.spaces import Config, design
from milk_np.experiments.store import Store
from milk_np.settings.option import Value
from milk_np.settings.shared import Settings, Space

MakeRun = Callable[[Settings], Run]
Then = Callable[[int, "Tuned"], Iterable[Due]]
"""What can be done once a search, given by its place in the list, has its result."""
KEPT = 3
"""One of so many trials goes on to so many times as many epochs."""


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

    def given(self) -> Config:
        """The values that hold without a search."""
        return {name: getattr(self.base, name) for name in self.base.tuning_space()}

    def design(self, trials: int) -> list[Config]:
        """What holds without a search, so that none ends behind it, and `trials` configurations beside it."""
        given = self.given()
        return [given, *(config for config in design(self.family, self.base.tuning_space(), trials) if config != given)]

    def rungs(self, trials: int, how: str) -> list[Config]:
        """Settings on top of a configuration's, rung by rung: fewer epochs on all but the last."""
        epochs = self.base.to_dict().get("max_epochs")
        if how != "halving" or not isinstance(epochs, int):
            return [{}]
        above = len(_sizes(trials)) - 1
        return [*({"max_epochs": max(1, epochs // KEPT**k)} for k in range(above, 0, -1)), {}]


@dataclass(frozen=True)
class Tuned:
    """The result of a search: every trial with its validation metric; the first best one is chosen."""

    family: str
    protocol: str
    metric: str
    space: Space
    trials: tuple[tuple[Config, float], ...]
    rungs: tuple[int, ...] = ()
    """Of a search by halving, how many rungs each trial reached; its metric is that of the last."""

    @property
    def winner(self) -> int:
        """Number of the chosen trial: of those that reached the last rung the best, the first of equals."""
        reached = self.rungs or (1,) * len(self.trials)
        return max(range(len(self.trials)), key=lambda k: (reached[k], self.trials[k][1]))

    @property
    def best(self) -> Config:
        """The chosen configuration."""
        return self.trials[self.winner][0]

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        trials: list[dict[str, Any]] = [{**config, self.metric: value} for config, value in self.trials]
        for trial, reached in zip(trials, self.rungs, strict=False):
            trial["rungs"] = reached
        return {
            "family": self.family,
            "protocol": self.protocol,
            "metric": self.metric,
            "space": {name: list(values) for name, values in self.space.items()},
            "trials": trials,
            "best": self.best,
        }


class Searches:
    """Searches side by side: trials of the same rung wait for no others.

    found : results by the place of their search in the list
    """

    def __init__(self, searches: Sequence[Search], trials: int, store: Store, how: str, then: Then) -> None:
        self.found: dict[int, Tuned] = {}
        self._searches, self._then = searches, then
        self._trials, self._store, self._how = trials, store, how
        self._asked: dict[str, set[int]] = {}

    @property
    def ended(self) -> bool:
        """Whether all have their results."""
        return len(self.found) == len(self._searches)

    def due(self) -> Iterator[Due]:
        """The runs that the searches without a result begin, or go on, with."""
        for k in range(len(self._searches)):
            if k not in self.found:
                yield from self._next(k)

    def follow(self, run: Run) -> Iterator[Due]:
        """What the searches that asked for a run need next; of those that end, what `then` says."""
        for k in sorted(self._asked.pop(run.key, ())):
            yield from self._next(k)

    def _next(self, k: int) -> Iterator[Due]:
        rung, todo, tuned = _advance(self._searches[k], self._trials, self._store, self._how)
        left = [run for run in todo if not _has_stopped(run, self._store)]
        if todo and not left:
            yield from self._next(k)
        for run in left:
            self._asked.setdefault(run.key, set()).add(k)
            yield Due(rung, "tuning", run)
        if tuned is not None:
            self.found[k] = tuned
            yield from self._then(k, tuned)


def tune(
    searches: Iterable[Search], trials: int, store: Store, jobs: int, say: Say, *, how: str = "grid"
) -> list[Tuned]:
    """Run every search with `trials` trials, and one of the defaults, and choose by the validation metric alone.

    `how` is "grid" (the full grid if it is small, otherwise a Latin hypercube sample), "halving" (the same
    configurations by successive halving) or "optuna" (its sampler over the same values). Trials that are already in the
    store are not repeated.
    """
    searches = list(searches)
    if how == "optuna":
        return [_with_optuna(search, trials, store, jobs, say) for search in searches]
    together = Searches(searches, trials, store, how, lambda *_: ())
    while not together.ended:  # once, unless another process has put a run into the store meanwhile
        run_due(together.due(), together.follow, store, jobs, say)
    return [together.found[k] for k in range(len(searches))]


def finished(search: Search, trials: int, store: Store, how: str = "grid") -> Tuned | None:
    """The result of a search; None while some of its trials are missing, or if `how` is "optuna", which asks anew."""
    return _advance(search, trials, store, "grid" if how == "optuna" else how)[2]


def _advance(search: Search, trials: int, store: Store, how: str) -> tuple[int, list[Run], Tuned | None]:
    """The rung that a search is on, the runs that it needs there, and its result once it needs none."""
    configs = search.design(trials)
    rungs, sizes = search.rungs(len(configs), how), _sizes(len(configs))
    alive, values, reached = list(range(len(configs))), [0.0] * len(configs), [0] * len(configs)
    for number, (rung, size) in enumerate(zip(rungs, sizes if len(rungs) > 1 else [len(configs)], strict=True)):
        alive = sorted(alive, key=lambda k: -values[k])[:size]
        runs = {k: search.run({**configs[k], **rung}) for k in sorted(alive)}
        if todo := [run for run in runs.values() if not store.has(run)]:
            return number, todo, None
        for k, run in runs.items():
            values[k], reached[k] = valid_metric(store.get(run), search.base), reached[k] + 1
    found, rows = tuple(zip(configs, values, strict=True)), tuple(reached) if len(rungs) > 1 else ()
    base = search.base
    return len(rungs), [], Tuned(search.family, str(base.protocol), base.valid_metric, base.tuning_space(), found, rows)


def _has_stopped(run: Run, store: Store) -> bool:
    """Whether the run of the rung before stopped by itself: a greater limit of epochs changes nothing then, so that its
    result is stored as that of `run`, which took no time."""
    limit = run.settings.to_dict().get("max_epochs")
    if not isinstance(limit, int):
        return False
    shorter = max(1, limit // KEPT)
    before = replace(run, settings=run.settings.replace(max_epochs=shorter))
    if not store.has(before):
        return False
    summary = store.get(before)
    if summary.get("epochs", limit) >= shorter:
        return False
    spent = {"seconds": 0.0, "core_seconds": 0.0}
    store.put(run, Result({**summary, **run.identity(), **spent}, store.per_user(before)))
    return True


def _sizes(trials: int) -> list[int]:
    """Trials on each rung."""
    sizes = [trials]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // KEPT))
    return sizes


def valid_metric(summary: dict[str, Any], settings: Settings) -> float:
    """The metric on validation items used for the choice; -1 for a run that diverged."""
    return float(summary["valid"][settings.valid_metric]) if "valid" in summary else -1.0


def _with_optuna(search: Search, trials: int, store: Store, jobs: int, say: Say) -> Tuned:
    """Ask Optuna's seeded sampler for `jobs` configurations at a time and report their metrics."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    space, configs = search.base.tuning_space(), [search.given()]
    run_all([search.run(configs[0])], store, jobs, say, f"tuning {search.family}")
    while len(configs) <= trials:
        asked = [study.ask() for _ in range(min(jobs, trials + 1 - len(configs)))]
        batch = [{name: _suggest(trial, name, values) for name, values in space.items()} for trial in asked]
        run_all([search.run(config) for config in batch], store, jobs, say, f"tuning {search.family}")
        for trial, config in zip(asked, batch, strict=True):
            study.tell(trial, valid_metric(store.get(search.run(config)), search.base))
        configs += batch
    found = tuple((config, valid_metric(store.get(search.run(config)), search.base)) for config in configs)
    return Tuned(search.family, str(search.base.protocol), search.base.valid_metric, space, found)


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
