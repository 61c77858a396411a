"""milk-update: what it says, where it writes, and that a killed update leaves the model whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from identity_cases import Shop

from milk_np.cli import recommend, train, update
from milk_np.data import Dataset
from milk_np.models.stored import load

SHOP = Shop(seed=5)
SIZES = {"milk": ["--epochs", "2", "--dim", "8"], "kernel-profile": ["--landmarks", "40"]}


def today() -> Dataset:
    return SHOP.data(SHOP.users[:80], SHOP.items[:70], pairs=[p for p in SHOP.pairs if p[1] < "i068"])


def tomorrow() -> Dataset:
    return SHOP.data(SHOP.users[1:], SHOP.items[2:], pairs=[p for p in SHOP.pairs if p[1] < "i076"])


@pytest.fixture(scope="module", params=list(SIZES))
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Names of the model's run and of tomorrow's data."""
    folder = tmp_path_factory.mktemp("update")
    today().save(folder / "today.npz")
    tomorrow().save(folder / "tomorrow.npz")
    line = ["--data", str(folder / "today.npz"), "--model", request.param, "--final", "--quiet"]
    assert train.main([*line, "--out", str(folder / "run"), *SIZES[request.param]]) == 0
    return {"run": str(folder / "run"), "data": str(folder / "tomorrow.npz"), "model": request.param}


def test_it_says_what_it_takes_in_and_what_not(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.npz"
    before = Path(files["run"], "model.npz").read_bytes()
    assert update.main(["--model", files["run"], "--data", files["data"], "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "items    10 new, 2 gone, 4 without pairs to recommend" in said
    assert f"wrote {out}" in said
    assert Path(files["run"], "model.npz").read_bytes() == before
    if files["model"] == "milk":
        assert "users    0 new, 80 in all" in said
        assert "left out 10 new users: this model has vectors for users of its training only" in said
        assert "users' vectors stay as trained: new pairs only keep items out of lists" in said
    else:
        assert "users    10 new, 90 in all" in said
        assert "items that the model did not learn from: they say nothing of their users" in said
        assert recommend.main(["--model", str(out), "--users", "u088", "--topk", "4"]) == 0
        shown = capsys.readouterr().out.splitlines()[1:]
        assert {row.split(",")[2] for row in shown} == {"i076", "i077", "i078", "i079"}


def test_in_place(files: dict[str, str], tmp_path: Path) -> None:
    model = tmp_path / "model.npz"
    model.write_bytes(Path(files["run"], "model.npz").read_bytes())
    assert update.main(["--model", str(model), "--data", files["data"], "--quiet"]) == 0
    assert load(model).catalogue.n_items == 80
    assert os.listdir(tmp_path) == ["model.npz"]


def test_a_model_that_is_not_there(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert update.main(["--model", "profile", "--data", files["data"]]) == 2
    assert "--model profile: does not exist" in capsys.readouterr().err


def test_killed_at_any_time_it_leaves_a_whole_model(files: dict[str, str], tmp_path: Path) -> None:
    """Kill -9 after more and more time, until an update ends before it."""
    model, old = tmp_path / "model.npz", Path(files["run"], "model.npz").read_bytes()
    program = [sys.executable, "-m", "milk_np.cli.update", "--model", str(model), "--data", files["data"], "--quiet"]
    began = time.monotonic()
    model.write_bytes(old)
    subprocess.run(program, check=True)
    new, whole = model.read_bytes(), time.monotonic() - began
    killed = 0
    for part in (0.3, 0.8, 0.9, 0.95, 1.0):
        model.write_bytes(old)
        with subprocess.Popen(program) as process:
            time.sleep(part * whole)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        assert model.read_bytes() in (old, new)
    assert killed


def test_a_full_disk_leaves_the_old_model(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, old = tmp_path / "model.npz", Path(files["run"], "model.npz").read_bytes()
    model.write_bytes(old)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert update.main(["--model", str(model), "--data", files["data"]]) == 3
    assert model.read_bytes() == old
    assert os.listdir(tmp_path) == ["model.npz"]


def test_other_features_are_refused(files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ds = tomorrow()
    replace(ds, features=ds.features | {"text": np.ones((ds.n_items, 3), np.float32)}).save(tmp_path / "wide.npz")
    assert update.main(["--model", files["run"], "--data", str(tmp_path / "wide.npz")]) == 3
    assert "modalities: expected {'image': 8, 'text': 6} as in training" in capsys.readouterr().err
