"""Searches and repeats side by side: nothing waits for a run that it doesn't need; planted results, no training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np.data import make_synthetic
from milk_np.experiments import pool
from milk_np.experiments.catalogue import FIG4, FIG5
from milk_np.experiments.pool import run_due
from milk_np.experiments.queue import Due, Queue
from milk_np.experiments.reproduce import Reproduction, ReproductionPlan
from milk_np.experiments.runs import Result, Run, base
from milk_np.experiments.store import Store
from milk_np.experiments.tuning import Search, Searches, finished, tune
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import make_settings
from milk_np.settings.shared import Settings

MILK = MilkSettings(protocol="FTMT", max_epochs=90)


def run_of(settings: Settings, draw: int = 0) -> Run:
    return Run(Path("none.npz"), "hash", 0.2, draw, settings)


def planted(run: Run) -> Result:
    level = float(run.settings.to_dict().get("lr", 0.1))
    metrics = {"ndcg@10": level, "ndcg@20": level}
    return Result({"valid": metrics, "seconds": 0.0}, {"users": np.arange(1)})


def silent(text: str) -> None:
    """Nobody listens."""


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30))
def test_the_queue_gives_every_run_once_by_stage_and_then_by_turn(
    tmp_path_factory: pytest.TempPathFactory, named: list[tuple[int, int]]
) -> None:
    store = Store(tmp_path_factory.mktemp("runs"))
    store.put(run_of(MILK, 9), planted(run_of(MILK, 9)))
    queue, lowest = Queue(store), dict[int, tuple[int, int]]()
    for place, (stage, draw) in enumerate(named):
        queue.add([Due(stage, f"{stage}", run_of(MILK, draw))])
        if draw != 9 and stage < lowest.get(draw, (4, 0))[0]:
            lowest[draw] = stage, place
    assert (len(queue), queue.known) == (len(lowest), len(lowest))
    turns = sorted(lowest, key=lowest.__getitem__)
    assert queue.labels() == ", ".join(dict.fromkeys(f"{lowest[draw][0]}" for draw in turns))
    assert [queue.pop().run.draw for _ in turns] == turns
    queue.add(Due(0, "again", run_of(MILK, draw)) for draw in range(10) if draw in lowest)
    assert not queue


def test_a_search_goes_on_though_another_has_no_result_yet(tmp_path: Path) -> None:
    store, ended = Store(tmp_path), list[int]()
    two = [Search(MILK, run_of), Search(MILK.replace(without=("ceim",)), run_of)]

    def then(k: int, _: object) -> list[Due]:
        ended.append(k)
        return [Due(9, "repeat", run_of(MILK, 1))]

    searches = Searches(two, 8, store, "halving", then)
    first = list(searches.due())
    assert [due.stage for due in first] == [0] * 18
    stages, waiting = [], [due.run for due in first if due.run.settings.without == ()]  # type: ignore[attr-defined]
    while waiting:
        run = waiting.pop(0)
        store.put(run, planted(run))
        new = [due for due in searches.follow(run) if not store.has(due.run) and due.run not in waiting]
        stages += [due.stage for due in new]
        waiting += [due.run for due in new if due.what == "tuning"]
    assert stages == [1, 1, 1, 2, 9]
    assert ended == [0]
    assert list(searches.found) == [0]


@pytest.mark.parametrize("search", ["grid", "halving"])
def test_a_reproduction_does_each_run_once_trials_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    """Stopped anywhere it goes on to the same; what it recorded on the way is what a later look finds."""
    data = make_synthetic(80, 60, 600, {"image": 4, "text": 3}).save(tmp_path / "small.npz")
    ran, stop_after = list[Run](), 13

    def execute(run: Run, _: Path) -> Result:
        if len(ran) == stop_after:
            raise KeyboardInterrupt
        ran.append(run)
        return planted(run)

    monkeypatch.setattr(pool, "execute", execute)
    shared = MilkSettings(dim=4, max_epochs=9, batch_size=64)
    plan = ReproductionPlan((data,), (FIG4, FIG5), shared, tmp_path / "out", repeats=2, trials=2, search=search)
    with pytest.raises(KeyboardInterrupt):
        Reproduction(plan, silent).go()
    stop_after = -1
    whole = Reproduction(plan, silent)
    whole.go()
    record = (plan.out / "tuning.json").read_text()
    keys = [run.key for run in ran]
    assert len(set(keys)) == len(keys) == len(list(whole.store.folder.glob("*.json")))
    needed = {run.key for each in plan.experiments for *_, run in whole.runs(whole.data[0], each)}
    assert needed <= set(keys)
    trials = {run.key for _, each in whole._searches() for run in trials_of(each, plan, whole)}
    assert trials | needed == set(keys)
    assert not {*keys[: len(trials)]} - trials
    later = Reproduction(plan, silent)
    later.look()
    assert later.tuned == whole.tuned
    assert (plan.out / "tuning.json").read_text() == record
    assert len(json.loads(record)["searches"]) == len(list(whole._searches()))
    Reproduction(plan, silent).go()
    assert len(ran) == len(keys)


def trials_of(search: Search, plan: ReproductionPlan, whole: Reproduction) -> list[Run]:
    configs = search.design(plan.trials)
    rungs = search.rungs(len(configs), plan.search)
    runs = [search.run({**config, **rung}) for config in configs for rung in rungs]
    return [run for run in runs if whole.store.has(run)]


def test_repeats_of_a_protocol_wait_for_its_own_search_alone(tmp_path: Path) -> None:
    """A report waits for all protocols."""
    data = make_synthetic(80, 60, 600, {"image": 4, "text": 3}).save(tmp_path / "small.npz")
    plan = ReproductionPlan((data,), (FIG4,), MilkSettings(dim=4), tmp_path / "out", repeats=2, trials=1)
    whole = Reproduction(plan, silent)
    for _, search in whole._searches():
        if search.base.protocol == "MTMT":
            for config in search.design(1):
                whole.store.put(search.run(config), planted(search.run(config)))
    whole.look()
    found = [(variant.label, protocol) for variant, protocol, _ in whole.ready(whole.data[0], FIG4)]
    labels = [variant.label for variant in FIG4.variants]
    assert found == 2 * [("random order", "FTMT"), *((label, "MTMT") for label in labels)]
    assert {variant.label for variant, *_ in whole.runs(whole.data[0], FIG4)} == {"random order"}


class Shared(Store):
    """As if another process did each run just after this one asked for it."""

    def has(self, run: Run) -> bool:
        if super().has(run):
            return True
        self.put(run, planted(run))
        return False


def test_runs_that_another_process_did_meanwhile_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "execute", None)
    two = [Search(MILK, run_of), Search(MILK.replace(without=("ceim",)), run_of)]
    found = tune(two, 8, Shared(tmp_path / "runs"), 1, silent, how="halving")
    assert found == [finished(search, 8, Store(tmp_path / "runs"), "halving") for search in two]
    data = make_synthetic(80, 60, 600, {"image": 4, "text": 3}).save(tmp_path / "small.npz")
    plan = ReproductionPlan((data,), (FIG4,), MilkSettings(dim=4), tmp_path / "out", repeats=2, search="halving")
    monkeypatch.setattr(pool, "execute", lambda run, _: planted(run))
    whole = Reproduction(plan, silent)
    whole.store = Shared(whole.store.folder)
    whole.go()
    assert len(list(whole.searched())) == len(whole._searches())


@pytest.fixture
def random_runs(tmp_path: Path) -> list[Run]:
    path = make_synthetic(80, 60, 600, {"image": 4, "text": 3}).save(tmp_path / "small.npz")
    settings = make_settings({"model": "random", "topk": (10,)})
    return [Run(path, base(path).content_hash, 0.2, draw, settings) for draw in range(5)]


def test_what_follows_from_a_result_is_done_beside_the_rest(tmp_path: Path, random_runs: list[Run]) -> None:
    """Two processes, and a run that follows from one that followed."""
    store, said = Store(tmp_path / "out" / "runs"), list[str]()
    after = {random_runs[0].key: random_runs[3], random_runs[3].key: random_runs[4]}

    def follow(run: Run) -> list[Due]:
        return [Due(0, "later", after[run.key])] if run.key in after else []

    run_due([Due(1, "first", run) for run in random_runs[:3]], follow, store, 2, said.append)
    assert said[0] == "first: 3 runs to do, 2 at a time"
    assert all(store.has(run) for run in random_runs)
    assert {text.split(",")[0] for text in said[1:]} == {"first", "later"}
    assert "5 of 5" in said[-1]


def test_a_run_that_is_alone_is_done_in_this_process(
    tmp_path: Path, random_runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = list[Run]()

    def execute(run: Run, _: Path) -> Result:  # what another process couldn't be given
        here.append(run)
        return planted(run)

    monkeypatch.setattr(pool, "execute", execute)
    then = dict(zip([run.key for run in random_runs], random_runs[1:], strict=False))

    def follow(run: Run) -> list[Due]:
        return [Due(0, "x", then[run.key])] if run.key in then else []

    run_due([Due(0, "x", random_runs[0])], follow, Store(tmp_path / "runs"), 4, silent)
    assert here == random_runs


def test_without_shared_memory_runs_go_one_by_one(
    tmp_path: Path, random_runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = list[str]()
    monkeypatch.setattr(pool, "_can_share", lambda: False)
    store = Store(tmp_path / "runs")
    run_due([Due(0, "x", run) for run in random_runs], lambda _: (), store, 2, said.append)
    assert "no shared memory" in said[0]
    assert said[1] == "x: 5 runs to do, 1 at a time"
    assert all(store.has(run) for run in random_runs)
