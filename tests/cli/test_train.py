"""milk-train end to end on small data: what it saves, shows and repeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train_cases import failed, line_of, make_data, run, summary

from milk_np.cli import job
from milk_np.data import make_synthetic
from milk_np.models.closed_form.settings import MarecSettings
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.milk.model import Milk
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import load_settings
from milk_np.settings.shared import Settings
from milk_np.training.run_folder import RunFolder

MODELS = {"model.npz", "last.npz", "per_user.npz"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def line(data: Path) -> list[str]:
    return line_of(data)


def test_a_run_saves_its_files_and_shows_the_table(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(*line, "--out", out) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {"config.toml", "env.json", "log.txt", "metrics.jsonl", "summary.json", "report.html", *MODELS}
    saved = summary(out)
    assert saved["epochs"] == 4
    assert saved["best_epoch"] in (2, 4)
    assert {"recall@5", "ndcg@5", "ndcg@10"} <= set(saved["valid"]) & set(saved["test"])
    assert {"loading", "training", "evaluation", "saving", "testing"} <= set(saved["seconds"])
    assert set(saved["beside"]) == {"profile", "random"}
    assert load_settings(RunFolder(out).config) == MilkSettings(
        protocol="FTMT", dim=8, batch_size=128, max_epochs=4, eval_every=2, topk=(5,)
    )
    assert [record["epoch"] for record in RunFolder(out).metrics()] == [1, 2, 3, 4]
    printed = capsys.readouterr()
    for text in ("preset paper: mean", "one missing", "profile", "random", "memory", str(out)):
        assert text in printed.out
        assert text in (out / "log.txt").read_text()
    assert "valid ndcg@10" in printed.err


def test_the_preset_that_ran_is_told_and_used(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*line, "--preset", "reference", "--out", tmp_path / "run") == 0
    assert "preset reference: sum of the environments' losses, negatives from all items" in capsys.readouterr().out
    with np.load(tmp_path / "run" / "model.npz") as archive:
        ran = json.loads(str(archive["meta"]))["settings"]
    assert (ran["risk"], ran["negatives"]) == ("sum", "all")


def test_a_batch_may_be_larger_than_the_data(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The default batch must not keep anybody from training on a small data set."""
    small = ["--data", data, "--protocol", "FTMT", "--dim", "8", "--epochs", "1", "--topk", "5"]
    assert run(*small, "--batch-size", "100000", "--out", tmp_path / "run") == 0
    pairs = int((make_synthetic(150, 100, 1500, {"image": 8, "text": 6}).split == 0).sum())
    assert f"batches of {pairs}" in capsys.readouterr().out


def test_the_device_that_was_found_is_told(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "gpu_problem", lambda: "no driver")
    monkeypatch.setattr("milk_np.backends.select.gpu_problem", lambda: "no driver")
    assert run(*line, "--device", "auto", "--out", tmp_path / "run") == 0
    assert "device   cpu (no driver)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (MilkSettings(device="auto"), "gpu"),
        (MilkSettings(device="cpu"), "cpu"),
        (MilkSettings(device="auto", users="profile"), "gpu"),
        (KernelProfileSettings(device="auto"), "gpu"),
        (MarecSettings(device="auto"), "cpu, ranking on the gpu"),
    ],
)
def test_the_device_where_there_is_a_gpu(settings: Settings, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "gpu_problem", lambda: None)
    assert job._device(settings) == told


def test_quiet_prints_nothing(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*line, "--out", tmp_path / "run", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert "one missing" in (tmp_path / "run" / "log.txt").read_text()


def test_without_data_the_built_in_set_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--epochs", "1", "--quiet") == 0
    (out,) = (tmp_path / "runs").iterdir()
    assert out.name.startswith("synthetic-milk-paper-s0-")
    assert load_settings(RunFolder(out).config).protocol == "FTMT"


def test_a_run_can_be_repeated_from_its_config(line: list[str], data: Path, tmp_path: Path) -> None:
    assert run(*line, "--out", tmp_path / "a", "--quiet") == 0
    again = ["--data", data, "--config", tmp_path / "a" / "config.toml", "--out", tmp_path / "b", "--quiet"]
    assert run(*again) == 0
    assert (tmp_path / "a" / "model.npz").read_bytes() == (tmp_path / "b" / "model.npz").read_bytes()
    for part in ("valid", "test", "beside", "best_epoch"):
        assert summary(tmp_path / "a")[part] == summary(tmp_path / "b")[part]


def test_another_model_is_trained_by_name(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*line, "--model", "duif", "--out", tmp_path / "run") == 0
    printed = capsys.readouterr().out
    assert not [text for text in printed.splitlines() if text.startswith("preset")]
    assert "duif   profile    random" in printed
    with np.load(tmp_path / "run" / "model.npz") as archive:
        assert json.loads(str(archive["meta"]))["model"] == "duif"


# Several seeds


def test_seeds_get_folders_and_a_summary(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(*line, "--out", out, "--seeds", "3,5") == 0
    printed = capsys.readouterr().out
    assert "mean ± sample standard deviation over 2 seeds" in printed
    tests = [summary(out / f"seed-{seed}")["test"]["recall@5"] for seed in (3, 5)]
    over = summary(out)
    assert over["seeds"] == [3, 5]
    assert over["test"]["recall@5"]["mean"] == pytest.approx(np.mean(tests))
    assert over["test"]["recall@5"]["deviation"] == pytest.approx(np.std(tests, ddof=1))
    assert load_settings(RunFolder(out / "seed-5").config).seed == 5


def test_interrupted_seeds_go_on_where_they_stopped(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, fit = tmp_path / "run", Milk.fit

    def stop_at_the_second(self: Milk, *rest: Any, **more: Any) -> Any:
        if self.settings.seed == 1:
            raise KeyboardInterrupt
        return fit(self, *rest, **more)

    monkeypatch.setattr(Milk, "fit", stop_at_the_second)
    assert "--resume" in failed(capsys, 130, *line, "--out", out, "--seeds", "2", "--quiet")
    first = (out / "seed-0" / "model.npz").stat().st_mtime_ns
    monkeypatch.setattr(Milk, "fit", fit)
    assert run(*line, "--out", out, "--seeds", "2", "--resume") == 0
    assert "is already finished" in capsys.readouterr().out
    assert (out / "seed-0" / "model.npz").stat().st_mtime_ns == first
    assert summary(out)["seeds"] == [0, 1]
