"""milk-evaluate: the numbers of the training again, other protocols, files, and wrong lines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trained_cases import Trained, make_trained

from milk_np.cli import evaluate
from milk_np.data import Dataset
from milk_np.files import read_npz
from milk_np.models.registry import untrained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make_trained(tmp_path_factory.mktemp("trained"))


def run(*line: str) -> int:
    return evaluate.main(list(line))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_gives_the_numbers_of_the_training_again(trained: Trained, tmp_path: Path, split: str) -> None:
    out = tmp_path / "metrics.json"
    line = ["--model", trained.run, "--data", trained.data, "--split", split, "--json", str(out)]
    assert run(*line) == 0
    summary = json.loads(Path(trained.run, "summary.json").read_text())[split]
    result = json.loads(out.read_text())
    for name in ("recall@5", "ndcg@10", "coverage@10"):
        assert result[name] == pytest.approx(summary[name], abs=1e-9)
    assert result["slices"].keys() == summary["slices"].keys() == {"complete", "one missing"}
    assert (result["split"], result["users"], result["model"]) == (split, summary["users"], trained.run)


def test_settings_of_the_training_are_the_defaults(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", f"{trained.run}/model.npz", "--data", trained.data) == 0
    shown = capsys.readouterr().out
    assert "K = 5 " in shown
    assert "K = 20" not in shown
    assert "one missing" in shown


def test_another_protocol(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", trained.run, "--data", trained.data, "--protocol", "FTFT") == 0
    assert "one missing" not in capsys.readouterr().out
    assert run("--model", trained.run, "--data", trained.data, "--missing-test", "1") == 0
    assert "complete" not in capsys.readouterr().out


def test_candidates_of_the_split_only(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", trained.run, "--data", trained.data, "--candidates", "split") == 0
    assert f"{len(trained.ds.new_items(2))} candidates (the new items of test)" in capsys.readouterr().out


def test_values_of_each_user(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "users.npz"
    assert run("--model", trained.run, "--data", trained.data, "--per-user", str(out), "--quiet") == 0
    arrays, _ = read_npz(out, "per-user")
    training, _ = read_npz(Path(trained.run, "per_user.npz"), "per-user")
    np.testing.assert_array_equal(arrays["users"], training["users"])
    np.testing.assert_allclose(arrays["recall@5"], training["recall@5"])


@pytest.mark.parametrize("model", untrained())
def test_models_without_training(trained: Trained, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", model, "--data", trained.data, "--topk", "5") == 0
    assert f"{len(trained.ds.new_items())} candidates" in capsys.readouterr().out


def test_a_model_without_training_needs_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "profile") == 2
    assert "--model profile: needs no training but data to rank; give them with --data" in capsys.readouterr().err


def test_quiet(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "random", "--data", trained.data, "--quiet") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (["--model", "profil"], 2, "--model profil: does not exist"),
        (["--model", "RUN", "--data", "DATA", "--topk", "500"], 2, "the number of candidates, got 500"),
        (["--model", "RUN", "--data", "DATA", "--impute", "zero"], 2, "--impute: a trained model"),
        (["--model", "random", "--data", "DATA", "--missing-test", ".5"], 2, "add --protocol"),
        (["--model", "RUN", "--data", "absent.npz"], 3, "absent.npz: no such file"),
        (["--model", "RUN"], 3, "modalities: expected {'image': 6, 'text': 5} as in training"),
        (["--model", "DATA", "--data", "DATA"], 3, "expected a model file"),
    ],
)
def test_wrong_lines(
    trained: Trained, line: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"RUN": trained.run, "DATA": trained.data}
    assert run(*(paths.get(part, part) for part in line)) == code
    assert message in capsys.readouterr().err


def test_the_folder_of_several_seeds(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seed-3").symlink_to(trained.run)
    assert run("--model", str(tmp_path), "--data", trained.data) == 2
    assert f"choose one, such as {tmp_path / 'seed-3'}" in capsys.readouterr().err


def test_other_modalities(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ds = trained.ds
    wide = replace(ds, features=ds.features | {"text": np.zeros((ds.n_items, 9), np.float32)})
    wide.save(tmp_path / "wide.npz")
    assert run("--model", trained.run, "--data", str(tmp_path / "wide.npz")) == 3
    assert "modalities: expected {'image': 6, 'text': 5} as in training" in capsys.readouterr().err
    assert Dataset.load(tmp_path / "wide.npz").n_items == ds.n_items
