"""A new system in one file and one row: what the house gives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import adversarial_cases as cases
import numpy as np
import pytest
from adversarial_cases import Adversarial, AdversarialSettings, registered

from milk_np.cli import evaluate as evaluate_command
from milk_np.cli import recommend, reproduce, train, tune
from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.errors import DivergedError, SettingsError
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.baselines.random_order import RandomOrder
from milk_np.models.milk.model import Milk
from milk_np.models.stored import load
from milk_np.nn.gradcheck import check_direction
from milk_np.training.run_folder import RunFolder

OPTIONS = {"dim": 8, "epochs": 6, "eval_every": 2, "batch_size": 128, "lr": 0.01, "topk": (10,)}


def small_set() -> Dataset:
    ds = make_synthetic(120, 110, 1800, {"image": 10, "text": 7}, seed=4)
    return apply_protocol(ds, "FTMT")


@pytest.fixture(autouse=True)
def _row() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small_set()


def new_run(folder: Path, ds: Dataset) -> RunFolder:
    return RunFolder.create(folder, AdversarialSettings(**OPTIONS), data_hash=ds.content_hash)  # type: ignore[arg-type]


def test_both_gradients_are_those_of_finite_differences(ds: Dataset) -> None:
    rng = np.random.default_rng(0)
    settings = AdversarialSettings(dim=5)
    content, users, items = rng.standard_normal((ds.n_items, 9)), rng.integers(0, 120, 11), rng.integers(0, 60, 11)
    tables = {k: x.astype(np.float64) for k, x in (cases.pretrained(ds, 5) | cases.initial(9, settings)).items()}
    drop = (0.3, 0, "adversarial", 1, 2)

    def told() -> float:
        return cases.discriminator_loss(tables, users, items, cases.generate(tables, content[items], drop)[0])[0]

    def generated() -> float:
        fake, _ = cases.generate(tables, content[items], drop)
        return sum(cases.generator_loss(tables, users, items, fake, 0.7)[:2])

    fake, cache = cases.generate(tables, content[items], drop)
    of_told = cases.discriminator_loss(tables, users, items, fake)[1]
    of_generated = cases.generate_backward(cases.generator_loss(tables, users, items, fake, 0.7)[2], cache)
    for loss, gradients in ((told, of_told), (generated, of_generated)):
        checked = check_direction(loss, [tables[name] for name in gradients], list(gradients.values()), seed=1)
        assert checked.error < 1e-7


def test_trains() -> None:
    made = make_synthetic(200, 200, 4000, {"image": 12, "text": 9}, new_items=0.3, seed=4)
    ds = apply_protocol(made, "FTFT")
    model = Adversarial(**{**OPTIONS, "epochs": 30}, distance=10.0, dropout=0.0).fit(ds)
    losses = [record["losses"]["distance"] for record in model.history.records]
    assert losses[-1] < 0.5 * losses[0]
    assert evaluate(model, ds).metrics["ndcg@10"] > 1.3 * evaluate(RandomOrder().fit(ds), ds).metrics["ndcg@10"]


def test_divergence_is_told(ds: Dataset) -> None:
    with (
        np.errstate(all="ignore"),
        pytest.raises(DivergedError, match=r"epoch 1: the loss is no longer finite \(total .*not finite: W"),
    ):
        Adversarial(**{**OPTIONS, "lr": 1e25}).fit(ds)


PROGRAM = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from test_adversarial import OPTIONS, Adversarial, new_run, registered, small_set
    import numba
    numba.set_num_threads(1)

    def kill(event):
        if (event.kind, event.epoch) == ({kind!r}, {epoch}):
            os.kill(os.getpid(), signal.SIGKILL)

    with registered():
        ds = small_set()
        Adversarial(**OPTIONS).fit(ds, run=new_run(sys.argv[1], ds), callback=kill)
"""


@pytest.mark.parametrize(("kind", "epoch"), [("evaluation", 2), ("epoch", 3)])
def test_a_killed_run_resumes_to_the_bit(ds: Dataset, tmp_path: Path, kind: str, epoch: int) -> None:
    whole = new_run(tmp_path / "whole", ds)
    records = Adversarial(**OPTIONS).fit(ds, run=whole).history.records
    program = textwrap.dedent(PROGRAM).format(tests=os.path.dirname(__file__), kind=kind, epoch=epoch)
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "killed")], check=False)
    assert killed.returncode == -signal.SIGKILL
    run = RunFolder.reopen(tmp_path / "killed")
    resumed = Adversarial(**OPTIONS).fit(ds, run=run, resume=True)
    assert run.model.read_bytes() == whole.model.read_bytes()
    assert run.last.exists()
    assert resumed.history.records == records


def test_saves_loads_and_serves(ds: Dataset, tmp_path: Path) -> None:
    model = Adversarial(**OPTIONS).fit(ds)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert isinstance(again, Adversarial)
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())
    np.testing.assert_array_equal(again.item_factors(), model.item_factors())
    some = ds.new_items()[:3]
    rows = {name: ds.features[name][some] for name in ds.modalities}
    encoded = again.encode_items(rows, ds.available[some])
    np.testing.assert_allclose(encoded, model.item_factors(some), atol=1e-5)
    np.testing.assert_array_equal(again.recommend([3, 1], k=4).found, model.recommend([3, 1], k=4).found)
    with pytest.raises(SettingsError, match="histories need"):
        again.recommend_for_histories([np.array([1, 2])])


def test_the_commands_know_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = str(small_set().save(tmp_path / "data.npz")), tmp_path / "run"
    with pytest.raises(SystemExit):
        train.main(["--model", "adversarial", "--help"])
    shown = capsys.readouterr().out
    assert "--dropout X" in shown
    assert "--landmarks" not in shown
    small = ["--data", data, "--dim", "8", "--epochs", "2", "--batch-size", "128", "--quiet"]
    assert train.main([*small, "--model", "adversarial", "--dropout", ".2", "--out", str(out)]) == 0
    assert json.loads((out / "summary.json").read_text())["model"] == "adversarial"
    with pytest.raises(SystemExit) as refused:
        train.main([*small, "--dropout", ".2", "--out", str(tmp_path / "none")])
    assert refused.value.code == 2
    assert "adversarial; milk doesn't have it" in capsys.readouterr().err
    with pytest.raises(SettingsError, match=r"a setting of .*adversarial; milk doesn't have it"):
        Milk(dropout=0.1)
    assert evaluate_command.main(["--model", str(out), "--data", data, "--quiet"]) == 0
    assert recommend.main(["--model", str(out), "--users", "0,1", "--topk", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


QUICK = ["--dim", "4", "--batch-size", "128", "--epochs", "2", "--eval-every", "2", "--jobs", "1", "--trials", "2"]


def test_it_is_tuned_and_stands_in_the_table_of_all_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(make_synthetic(120, 150, 1500, {"image": 6, "text": 5}).save(tmp_path / "data.npz"))
    line = ["--data", data, "--models", "adversarial", "--out", str(tmp_path / "tuned"), "--protocol", "FTMT", *QUICK]
    assert tune.main(line) == 0
    assert 'model = "adversarial"' in (tmp_path / "tuned" / "adversarial.toml").read_text()
    tuned = json.loads((tmp_path / "tuned" / "tuning.json").read_text())["searches"][0]
    assert set(tuned["space"]) == {"lr", "dropout"}
    assert len(tuned["trials"]) == 3
    out = tmp_path / "out"
    assert reproduce.main(["table2", "--data", data, "--out", str(out), "--repeats", "1", *QUICK]) == 0
    assert "| adversarial |" in (out / "results.md").read_text()
    capsys.readouterr()
