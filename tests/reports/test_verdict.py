"""The sentence on a finished run, the line of milk-train, and what the report shows of data and lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from milk_np.cli import train
from milk_np.data import make_synthetic
from milk_np.data.arrays import Split
from milk_np.evaluation.examples import example_lists
from milk_np.models.registry import make_model, make_settings
from milk_np.reports.run import write_run_report
from milk_np.reports.verdict import is_ahead, verdict
from milk_np.training.run_folder import RunFolder


def summary(model: str, own: float, profile: float, random: float) -> dict[str, object]:
    beside = {"profile": {"ndcg@20": profile}, "random": {"ndcg@20": random}}
    return {"model": model, "test": {"ndcg@5": 0.9, "ndcg@20": own, "recall@20": 0.5}, "beside": beside}


def test_the_strongest_model_without_training_is_the_one_to_beat() -> None:
    ahead = summary("milk", 0.3, 0.2, 0.1)
    assert is_ahead(ahead)
    assert verdict(ahead) == (
        "milk is ahead of profile, the best model without training: ndcg@20 0.3000 against 0.2000 on the test items."
    )
    assert not is_ahead(summary("milk", 0.2, 0.2, 0.1))
    assert not is_ahead(summary("milk", 0.15, 0.1, 0.2))
    assert not is_ahead(summary("milk", float("nan"), 0.1, 0.2))


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("milk", "Try --preset best, or look for better settings with milk-tune."),
        ("kernel-profile", "Look for better settings with milk-tune."),
        ("similar", "Try --preset best."),
    ],
)
def test_advice_names_what_the_model_can_do(model: str, advice: str) -> None:
    text = verdict(summary(model, 0.1, 0.2, 0.05))
    assert text.startswith(f"{model} is not ahead of profile, which needs no training: ndcg@20 0.1000 against 0.2000")
    assert text.endswith(advice)


def test_example_lists_show_only_new_items_and_mark_what_was_chosen() -> None:
    ds = make_synthetic(150, 200, 2500, {"image": 8, "text": 6})
    model = make_model(make_settings({"model": "profile"})).fit(ds)
    shown = example_lists(model, ds)
    assert len(shown) == 5
    new = set(ds.new_items().tolist())
    for example in shown:
        user = int(example["user"])
        chosen = set(ds.item[(ds.user == user) & (ds.split == Split.TEST)].tolist())
        trained = ds.item[(ds.user == user) & (ds.split == Split.TRAIN)].tolist()
        assert chosen
        assert example["n_history"] == len(trained)
        assert set(map(int, example["history"])) <= set(trained)
        assert len(example["list"]) == 10
        for each in example["list"]:
            item = int(each["item"])
            assert item in new
            assert each["chosen"] == (item in chosen)
            assert each["missing"] == [
                name for name, owned in zip(ds.modalities, ds.available[item], strict=True) if not owned
            ]
        scores = [each["score"] for each in example["list"]]
        assert scores == sorted(scores, reverse=True)


def run_of(tmp_path: Path, *options: str) -> RunFolder:
    data = make_synthetic(150, 200, 2500, {"image": 8, "text": 6}).save(tmp_path / "small.npz")
    assert train.main(["--data", str(data), "--protocol", "FTMT", "--out", str(tmp_path / "run"), *options]) == 0
    return RunFolder(tmp_path / "run")


def test_milk_train_says_so_when_it_ends_below(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path, "--epochs", "1", "--lr", "1e-6")
    printed = capsys.readouterr().out
    assert printed.count("which needs no training") == 1
    assert all(len(text) <= 100 for text in printed[printed.index("milk is not ahead") :].splitlines()[:2])
    assert 'class="bad"' in run.file("report.html").read_text()


def test_milk_train_is_silent_when_it_ends_ahead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path, "--model", "kernel-profile")
    assert "is not ahead" not in capsys.readouterr().out
    page = run.file("report.html").read_text()
    assert "kernel-profile is ahead of random" in page
    for heading in ("Example lists", "All lengths of the lists", "Statistics of the data set"):
        assert heading in page
    assert "Missing modalities" in page


def test_a_run_of_the_previous_version_still_gets_its_report(tmp_path: Path) -> None:
    run = run_of(tmp_path, "--epochs", "1", "--quiet")
    known = json.loads(run.file("summary.json").read_text())
    assert np.isfinite(known["examples"][0]["list"][0]["score"])
    del known["examples"], known["statistics"]
    run.write_summary(known)
    write_run_report(run)
    page = run.file("report.html").read_text()
    assert "Example lists" not in page
    assert "About this run" in page
