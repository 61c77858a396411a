"""Runs: what their keys depend on, what a draw changes, the same bits on any number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.data import Dataset, make_synthetic
from milk_np.errors import DataError
from milk_np.experiments.pool import described, outcome, run_all
from milk_np.experiments.runs import Result, Run, base, execute, masked
from milk_np.experiments.store import Store
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import adapted, make_settings, settings_class, trained
from milk_np.settings.steps import StepSettings
from milk_np.training.pretraining import cache

SETTINGS = MilkSettings(
    protocol="FTMT", dim=8, batch_size=128, max_epochs=4, eval_every=2, topk=(5,), valid_metric="ndcg@5", lr=0.02
)

SHORT = {"dim": 8, "max_epochs": 1, "backbone_epochs": 1, "topk": (5,), "valid_metric": "ndcg@5", "content": "unit"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ds = make_synthetic(150, 120, 1500, {"image": 8, "text": 6})
    return ds.save(tmp_path_factory.mktemp("data") / "small.npz")


def a_run(path: Path, draw: int | None = 0, **changes: object) -> Run:
    return Run(path, base(path).content_hash, 0.2, draw, adapted(SETTINGS, changes))


def test_a_key_tells_what_decides_the_result_and_nothing_else(path: Path) -> None:
    first = a_run(path)
    assert first.key == a_run(path, threads=2, log_every=5).key
    assert first.key == a_run(path, risk="mean").key  # what the preset says anyway
    others = [a_run(path, 1), a_run(path, lr=0.01), a_run(path, seed=1), a_run(path, protocol="MTMT")]
    assert len({run.key for run in [first, *others]}) == 5
    assert Run(path, "other data", 0.2, 0, SETTINGS).key != first.key


STEPPED = [name for name in trained() if issubclass(settings_class(name), StepSettings)]


@pytest.mark.parametrize("name", STEPPED)
def test_a_training_that_stopped_by_itself_is_that_of_any_greater_limit(path: Path, name: str) -> None:
    """A search by halving relies on it."""
    quick = {**SHORT, "protocol": "FTMT", "eval_every": 1, "patience": 1, "lr": 0.05}
    quick = {"model": name, **{key: value for key, value in quick.items() if key in settings_class(name).options()}}
    runs = [Run(path, "hash", 0.2, 0, make_settings({**quick, "max_epochs": limit})) for limit in (200, 60)]
    one, other = map(execute, runs)
    assert one.summary["epochs"] < 60
    for kept in ("valid", "test", "epochs", "best_epoch"):
        assert one.summary[kept] == other.summary[kept]
    for metric, values in one.per_user.items():
        np.testing.assert_array_equal(values, other.per_user[metric])


def test_a_draw_is_another_split_of_the_same_pairs(path: Path) -> None:
    zero, one = masked(a_run(path, 0)), masked(a_run(path, 1))
    np.testing.assert_array_equal(zero.user, one.user)
    assert (zero.item_split != one.item_split).any()
    assert len(zero.new_items()) == len(one.new_items()) == 24
    assert zero.available[zero.train_items].all()
    assert (~zero.available[zero.new_items()]).sum() == 12


def test_without_a_draw_split_and_mask_stay(path: Path) -> None:
    kept = masked(a_run(path, None, protocol=None))
    stored = Dataset.load(path)
    np.testing.assert_array_equal(kept.item_split, stored.item_split)
    np.testing.assert_array_equal(kept.available, stored.available)


def test_a_mask_by_nature_outlives_the_draw(tmp_path: Path) -> None:
    ds = make_synthetic(80, 60, 600, {"image": 4, "text": 3})
    available = np.ones((60, 2), bool)
    available[:7, 0] = False
    file = ds.with_available(available, {"natural_missing": True}).save(tmp_path / "natural.npz")
    assert not masked(a_run(file, 0, protocol="FTFT")).available[:7, 0].any()


def test_results_do_not_depend_on_threads_or_processes(path: Path, tmp_path: Path) -> None:
    here = execute(a_run(path))
    code = (
        "from pathlib import Path; from milk_np.machine import threads\n"
        "threads.prepare(['--threads', '1']); import sys, json\n"
        "from milk_np.models.registry import make_settings; from milk_np.experiments.runs import Run, base, execute\n"
        "p = Path(sys.argv[1]); s = make_settings(json.loads(sys.argv[2]))\n"
        "r = execute(Run(p, base(p).content_hash, 0.2, 0, s)).summary; print(json.dumps([r['test'], r['valid']]))"
    )
    settings = json.dumps({k: v for k, v in SETTINGS.to_dict().items() if v is not None})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-P", "-c", code, str(path), settings]
    out = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(out.stdout) == json.loads(json.dumps([here.summary["test"], here.summary["valid"]]))


def test_the_store_keeps_and_a_finished_run_is_not_done_again(path: Path, tmp_path: Path) -> None:
    store, said = Store(tmp_path / "runs"), list[str]()
    runs = [a_run(path, model="random"), a_run(path, model="profile"), a_run(path, model="random")]
    run_all(runs, store, 1, said.append, "test")
    assert said[0] == "test: 2 runs to do, 1 at a time"
    assert all(store.has(run) for run in runs)
    assert store.get(runs[0])["test"]["ndcg@5"] == pytest.approx(store.per_user(runs[0])["ndcg@5"].mean(), abs=1e-6)
    said.clear()
    run_all(runs, store, 1, said.append, "test")
    assert said == []
    next(store.folder.glob("*.json")).write_text("{")
    with pytest.raises(DataError, match="delete it to repeat the run"):
        [store.get(run) for run in runs]


def test_a_run_that_diverges_is_kept_as_such(path: Path, tmp_path: Path) -> None:
    store, said = Store(tmp_path / "runs"), list[str]()
    run = a_run(path, lr=1e30, model="milk")
    with np.errstate(all="ignore"):
        run_all([run], store, 1, said.append, "test")
    assert "diverged" in store.get(run)
    assert said[-1].endswith("diverged")


def test_lines_say_what_ran(path: Path) -> None:
    run = a_run(path, lr=0.01)
    assert described(run).startswith("small milk FTMT draw 0 dim=8 lr=0.01")
    assert outcome(Result({"valid": {"ndcg@5": 0.5}, "seconds": 1.0}, {})) == "valid ndcg@5 0.5000 1.0 s"


def test_runs_side_by_side_give_what_one_process_gives(path: Path, tmp_path: Path) -> None:
    runs = [a_run(path, draw, model="random") for draw in (0, 1)]
    beside, alone = Store(tmp_path / "beside"), Store(tmp_path / "alone")
    before = dict(os.environ)
    run_all(runs, beside, 2, lambda _: None, "test")
    run_all(runs, alone, 1, lambda _: None, "test")
    assert dict(os.environ) == before
    for run in runs:
        assert beside.get(run)["test"] == alone.get(run)["test"]


def test_an_error_ends_the_processes_at_once(path: Path, tmp_path: Path) -> None:
    def refuse(text: str) -> None:
        if "2 of 8" in text:
            raise KeyboardInterrupt

    runs = [a_run(path, draw, model="random") for draw in range(8)]
    store = Store(tmp_path / "runs")
    with pytest.raises(KeyboardInterrupt):
        run_all(runs, store, 2, refuse, "test")
    assert 2 <= sum(store.has(run) for run in runs) < 8


def test_runs_of_version_0_1_0_are_found_again() -> None:
    run = Run(Path("x.npz"), "hash", 0.2, 0, MilkSettings(max_epochs=100))
    assert run.identity()["settings"] == {"epochs": 100, "negatives": "train", "risk": "mean"}
    assert run.key == "550e85d610558fc62684"


def test_a_revision_of_a_model_makes_its_runs_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [Run(Path("x.npz"), "hash", 0.2, 0, make_settings({"model": name})) for name in ("milk", "kernel-profile")]
    before = [run.key for run in runs]
    monkeypatch.setattr(type(runs[1].settings), "revision", runs[1].settings.revision + 1)
    assert [run.key == key for run, key in zip(runs, before, strict=True)] == [True, False]


def test_runs_share_pretrained_tables(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By files: another process, or a later command, finds them."""
    learned, calls = cache.learned, []

    def slowly(*how_to: Any) -> Any:
        calls.append(how_to)
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
        return learned(*how_to)

    monkeypatch.setattr(cache, "learned", slowly)
    runs = [
        Run(path, base(path).content_hash, 0.2, 0, make_settings({"model": name, "protocol": protocol, **SHORT}))
        for name, protocol in (("heater", "FTMT"), ("gar", "FTMT"), ("gorec", "MTMT"))
    ]
    store = Store(tmp_path / "out" / "runs")
    for run in runs:
        cache._RECENT.clear()
        run_all([run], store, 1, lambda text: None, "runs")
    assert len(calls) == 1
    assert len(list((tmp_path / "out" / "pretrained").iterdir())) == 1
    assert all(store.get(run)["fit_core_seconds"] >= 0.5 for run in runs)  # which each of them would take
