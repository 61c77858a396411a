"""milk-train --final: everything that has pairs trains, for the epochs of a run that held items out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trained_cases import Trained, make_trained

from milk_np.cli import evaluate, recommend, train
from milk_np.data import Dataset
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.milk.model import Milk
from milk_np.models.stored import load
from milk_np.training.history import History


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def final(trained: Trained) -> str:
    out = str(Path(trained.run).with_name("final"))
    assert train.main(["--data", trained.data, "--final", "--like", trained.run, "--out", out, "--quiet"]) == 0
    return out


def summary(run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(run, "summary.json").read_text())
    return found


def test_it_says_what_it_is(trained: Trained, final: str) -> None:
    saved = summary(final)
    assert saved["final"] is True
    assert saved["epochs"] == summary(trained.run)["best_epoch"]
    assert not {"valid", "test", "beside", "best_epoch"} & set(saved)
    assert "A final model: it was trained on every item that has pairs" in Path(final, "report.html").read_text()
    assert "nothing was held out, so it has no test figures" in Path(final, "log.txt").read_text()
    settings, like = (load(Path(run, "model.npz")).settings for run in (final, trained.run))
    assert settings == like.replace(protocol=None, max_epochs=settings.max_epochs)


def test_every_item_with_a_pair_trains(trained: Trained, final: str) -> None:
    model, ds = load(Path(final, "model.npz")), trained.ds
    touched = np.bincount(ds.item, minlength=ds.n_items) > 0
    np.testing.assert_array_equal(model.catalogue.trained, touched)
    assert len(model.catalogue.seen_items) == len(ds.user)
    assert not load(Path(trained.run, "model.npz")).catalogue.trained[ds.item_split > 0].any()


def test_nothing_of_it_is_evaluated(trained: Trained, final: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--model", final, "--data", trained.data]) == 3
    count = len(trained.ds.evaluated_items)
    assert f"{count} of the {count} items to rank were training items of the model" in capsys.readouterr().err


def test_it_recommends_what_is_new(trained: Trained, final: str, capsys: pytest.CaptureFixture[str]) -> None:
    ds = trained.ds
    one_more = replace(
        ds,
        item_split=np.append(ds.item_split, np.uint8(3)),
        available=np.vstack([ds.available, [[True, False]]]),
        features={name: np.vstack([rows, rows[:1]]) for name, rows in ds.features.items()},
        item_ids=np.append(ds.item_ids, "fresh"),
    ).all_training()
    path = Path(trained.data).with_name("today.npz")
    one_more.save(path)
    assert recommend.main(["--model", final, "--data", str(path), "--users", "u1", "--topk", "1"]) == 0
    new = {str(one_more.item_ids[i]) for i in one_more.new_items()}
    assert capsys.readouterr().out.splitlines()[1].split(",")[2] in new


@pytest.mark.parametrize("make", [lambda: Milk(dim=4, max_epochs=3, eval_every=1), lambda: KernelProfile(landmarks=30)])
def test_in_python(trained: Trained, make) -> None:  # type: ignore[no-untyped-def]
    everything = trained.ds.all_training()
    model, same = make().fit(trained.ds, final=True), make().fit(everything, final=True)
    for name, array in model.arrays().items():
        np.testing.assert_array_equal(array, same.arrays()[name])
    assert everything.all_training() is everything
    if isinstance(model.history, History):
        assert (model.history.epochs, model.history.best_epoch) == (3, 0)
        assert not any("valid" in record for record in model.history.records)


def test_its_figures_are_those_of_training_that_long(trained: Trained) -> None:
    """Without early stopping and without evaluation, the steps are those of any training on these items."""
    ds: Dataset = trained.ds.all_training()
    short, long = (Milk(dim=4, max_epochs=n, eval_every=2, batch_size=256).fit(ds, final=True) for n in (2, 5))
    assert long.history is not None
    assert short.history is not None
    assert [r["losses"] for r in short.history.records] == [r["losses"] for r in long.history.records[:2]]


def test_killed_and_resumed(trained: Trained, final: str, tmp_path: Path) -> None:
    line = ["--data", trained.data, "--out", str(tmp_path / "run"), "--quiet"]
    assert train.main([*line, "--final", "--like", trained.run, "--eval-every", "1"]) == 0
    once = (tmp_path / "run" / "model.npz").read_bytes()
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "model.npz").unlink()
    assert train.main([*line, "--resume"]) == 0
    assert (tmp_path / "run" / "model.npz").read_bytes() == once
    assert summary(str(tmp_path / "run"))["final"] is True


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--final"], "--final: nothing is held out that tells when to stop; give --like RUN"),
        (["--like", "RUN"], "--like: goes with --final"),
        (["--final", "--like", "absent"], "--like absent: expected the folder of a finished run"),
        (["--final", "--like", "RUN", "--seeds", "3"], "--seeds: one final model is served, got 3 seeds"),
        (["--final", "--like", "RUN", "--protocol", "FTMT"], "--protocol: a final model trains with all that the data"),
        (["--out", "RUN", "--resume", "--final"], "holds items out, --resume can't change that"),
    ],
)
def test_wrong_lines(trained: Trained, line: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [trained.run if word == "RUN" else word for word in line]
    assert train.main(["--data", trained.data, *words]) == 2
    assert message in capsys.readouterr().err
