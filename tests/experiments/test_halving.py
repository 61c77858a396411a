"""Successive halving: what runs on each rung, who goes on, what is chosen; planted results, no training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.errors import DivergedError
from milk_np.experiments import pool
from milk_np.experiments.runs import Result, Run
from milk_np.experiments.store import Store
from milk_np.experiments.tuning import Search, finished, tune
from milk_np.models.closed_form.settings import SvdRidgeSettings
from milk_np.models.milk.settings import MilkSettings
from milk_np.settings.shared import Settings

MILK = MilkSettings(protocol="FTMT", max_epochs=90)


def search_of(base: Settings) -> Search:
    return Search(base, lambda settings: Run(Path("none.npz"), "hash", 0.2, 0, settings))


class Planted:
    """In place of `execute`: results whose metric is `quality` of the settings; what ran, a round for each number of
    epochs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, quality: Any, stops: Any = lambda s: epochs(s)) -> None:
        self.rounds: list[list[Settings]] = []
        self._quality, self._stops = quality, stops
        monkeypatch.setattr(pool, "execute", self)

    def __call__(self, run: Run, _: Path) -> Result:
        if not self.rounds or epochs(self.rounds[-1][-1]) != epochs(run.settings):
            self.rounds.append([])
        self.rounds[-1].append(run.settings)
        summary = {**run.identity(), "valid": {"ndcg@10": self._quality(run.settings)}, "seconds": 1.0}
        done = self._stops(run.settings)
        return Result(summary if done is None else summary | {"epochs": done}, {"users": np.arange(1)})


def epochs(settings: Settings) -> object:
    return settings.to_dict().get("max_epochs")


def silent(text: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize(
    ("trials", "sizes", "epochs"),
    [(1, [2, 1], [30, 90]), (2, [3, 1], [30, 90]), (4, [5, 2, 1], [10, 30, 90]), (8, [9, 3, 1], [10, 30, 90])],
)
def test_a_third_goes_on_to_thrice_as_many_epochs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trials: int, sizes: list[int], epochs: list[int]
) -> None:
    planted = Planted(monkeypatch, lambda s: s.lr + s.reg)
    tuned = tune([search_of(MILK)], trials, Store(tmp_path), 1, silent, how="halving")[0]
    assert [len(each) for each in planted.rounds] == sizes
    assert [{s.max_epochs for s in each} for each in planted.rounds] == [{e} for e in epochs]  # type: ignore[attr-defined]
    best = max(config["lr"] + config["reg"] for config, _ in tuned.trials)  # type: ignore[operator]
    assert tuned.best["lr"] + tuned.best["reg"] == best  # type: ignore[operator]
    assert "max_epochs" not in tuned.best
    assert len(tuned.trials) == trials + 1


@pytest.mark.parametrize("how", ["grid", "halving"])
def test_no_search_ends_behind_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    """Here every other value is worse, and none of the values of the grid is that of the defaults."""
    Planted(monkeypatch, lambda s: -s.lr)
    tuned = tune([search_of(MILK)], 8, Store(tmp_path), 1, silent, how=how)[0]
    assert tuned.best == {name: getattr(MILK, name) for name in MILK.tuning_space()}
    assert tuned.best["lr"] < min(MILK.tuning_space()["lr"])  # type: ignore[type-var]
    assert search_of(MILK).run(tuned.best).settings == MILK


def test_a_full_grid_that_holds_the_defaults_has_them_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted, base = Planted(monkeypatch, lambda s: s.content_ridge), SvdRidgeSettings(protocol="FTMT")
    tuned = tune([search_of(base)], 27, Store(tmp_path), 1, silent)[0]
    assert [len(each) for each in planted.rounds] == [27]
    assert tuned.trials[0][0] == {"dim": base.dim, "content_ridge": base.content_ridge, "content": base.content}


def test_the_last_rung_decides_whatever_was_reached_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A trial that was the best after few epochs, and is the best of all by its number, but fell behind later."""
    Planted(monkeypatch, lambda s: s.lr + s.reg + (1 if s.max_epochs < 90 else 0))
    tuned = tune([search_of(MILK)], 8, Store(tmp_path), 1, silent, how="halving")[0]
    assert tuned.trials[tuned.winner][1] < max(value for _, value in tuned.trials)
    assert sorted(tuned.rungs) == [1] * 6 + [2] * 2 + [3]
    assert tuned.rungs[tuned.winner] == 3
    assert [trial["rungs"] for trial in tuned.to_dict()["trials"]] == list(tuned.rungs)


def test_what_has_no_epochs_is_tried_whole_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted = Planted(monkeypatch, lambda s: -s.content_ridge)
    base = SvdRidgeSettings(protocol="FTMT")
    halved, grid = (tune([search_of(base)], 8, Store(tmp_path), 1, silent, how=how)[0] for how in ("halving", "grid"))
    assert [len(each) for each in planted.rounds] == [8]  # the defaults are one of them
    assert halved == grid
    assert halved.rungs == ()


def test_searches_share_their_rounds_and_go_on_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted, store = Planted(monkeypatch, lambda s: s.reg), Store(tmp_path)
    two = [search_of(MILK), search_of(MILK.replace(without=("ceim",)))]
    whole = tune(two, 8, store, 1, silent, how="halving")
    assert [len(each) for each in planted.rounds] == [18, 6, 2]
    assert [finished(search, 8, store, "halving") for search in two] == whole
    next(store.folder.glob("*.json")).unlink()
    assert None in [finished(search, 8, store, "halving") for search in two]
    planted.rounds.clear()
    assert tune(two, 8, store, 1, silent, how="halving") == whole
    assert [len(each) for each in planted.rounds] == [1]


def test_what_stopped_by_itself_is_not_trained_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The best one stops after 20 epochs of 30; its result is that of the run with all 90, with nobody's time."""
    store = Store(tmp_path)
    planted = Planted(monkeypatch, lambda s: s.lr + s.reg, lambda s: min(s.max_epochs, 20))
    tuned = tune([search_of(MILK)], 8, store, 1, silent, how="halving")[0]
    assert [len(each) for each in planted.rounds] == [9, 3]
    assert sorted(tuned.rungs) == [1] * 6 + [2] * 2 + [3]
    whole, before = (search_of(MILK).run({**tuned.best, "max_epochs": epochs}) for epochs in (90, 30))
    copy, first = store.get(whole), store.get(before)
    assert copy == {**first, **json.loads(json.dumps(whole.identity())), "seconds": 0.0, "core_seconds": 0.0}
    np.testing.assert_array_equal(store.per_user(whole)["users"], store.per_user(before)["users"])
    assert finished(search_of(MILK), 8, store, "halving") == tuned


def test_one_that_stopped_waits_for_the_others_of_its_rung(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of three on the second rung the one with the lowest lr stopped on the first; the other two are trained on."""
    planted = Planted(monkeypatch, lambda s: -s.lr, lambda s: 5 if s.lr == MILK.lr else s.max_epochs)
    tuned = tune([search_of(MILK)], 8, Store(tmp_path), 1, silent, how="halving")[0]
    assert [len(each) for each in planted.rounds] == [9, 2]
    assert tuned.best["lr"] == MILK.lr
    assert tuned.rungs[tuned.winner] == 3


def test_a_run_that_diverged_does_not_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = Store(tmp_path)

    def quality(settings: Any) -> float:
        if settings.lr > 0.005:
            raise DivergedError("nan")
        return float(settings.reg)

    Planted(monkeypatch, quality)
    tuned = tune([search_of(MILK)], 8, store, 1, silent, how="halving")[0]
    assert tuned.best["lr"] == 0.005
    assert all(value == -1 for (config, value) in tuned.trials if config["lr"] > 0.005)  # type: ignore[operator]
