"""--preset best and --history: from the command line to lists for somebody who was never in training."""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from milk_np.cli import evaluate, recommend, train
from milk_np.cli.settings import read_settings
from milk_np.data import Dataset, make_synthetic
from milk_np.models.stored import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a run of the preset best on it, and one of MILK with free users."""
    folder = tmp_path_factory.mktemp("best")
    ds = make_synthetic(90, 120, 1500, {"image": 6, "text": 5}, new_items=0.3, seed=2)
    ds = replace(ds, item_ids=np.array([f"i{n}" for n in range(ds.n_items)]))
    data = str(ds.save(folder / "data.npz"))
    line = ["--data", data, "--protocol", "FTMT", "--topk", "5,10", "--quiet"]
    assert train.main([*line, "--preset", "best", "--out", str(folder / "run")]) == 0
    small = ["--epochs", "1", "--batch-size", "256", "--dim", "8"]
    assert train.main([*line, *small, "--out", str(folder / "free")]) == 0
    return folder


def listed(capsys: pytest.CaptureFixture[str], *line: object) -> list[dict[str, str]]:
    assert recommend.main([str(part) for part in line]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_a_run_like_any_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert (summary["model"], summary["preset"]) == ("kernel-profile", "best")
    assert not {"epochs", "best_epoch"} & set(summary)  # a closed form has none
    log = (folder / "run" / "log.txt").read_text()
    assert "fitted in" in log
    assert "epoch" not in log
    assert summary["test"]["ndcg@10"] > summary["beside"]["random"]["ndcg@10"]
    assert (folder / "run" / "report.html").exists()
    out = folder / "again.json"
    assert evaluate.main(["--model", str(folder / "run"), "--data", str(folder / "data.npz"), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["ndcg@10"] == pytest.approx(summary["test"]["ndcg@10"], abs=1e-6)


def test_another_preset_on_the_line_brings_its_own_model(folder: Path) -> None:
    config = ["--config", str(folder / "run" / "config.toml"), "--data", str(folder / "data.npz")]
    more = ["--preset", "reference", "--epochs", "1", "--dim", "8", "--quiet"]
    assert train.main([*config, *more, "--out", str(folder / "other")]) == 0
    summary = json.loads((folder / "other" / "summary.json").read_text())
    assert (summary["model"], summary["preset"]) == ("milk", "reference")


def test_resuming_says_that_the_preset_cannot_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["--data", str(folder / "data.npz"), "--resume", "--preset", "reference", "--out", str(folder / "run")]
    assert train.main(again) == 2
    assert "preset (--preset): the run" in capsys.readouterr().err


def test_a_model_from_elsewhere_than_the_file_stays(tmp_path: Path) -> None:
    """As milk-tune's list of models, which comes before the file."""
    (tmp_path / "best.toml").write_text('preset = "best"\n')
    given = argparse.Namespace(config=str(tmp_path / "best.toml"), preset="paper")
    assert read_settings(given, {"model": "duif"}).model == "duif"


def test_threads_do_not_change_one_bit(folder: Path) -> None:
    line = ["--data", str(folder / "data.npz"), "--protocol", "FTMT", "--topk", "5,10", "--preset", "best", "--quiet"]
    program = [sys.executable, "-c", "import sys; from milk_np.cli.train import main; sys.exit(main())"]
    for threads in ("1", "2"):
        command = [*program, *line, "--threads", threads, "--out", str(folder / f"threads-{threads}")]
        subprocess.run(command, check=True, timeout=300)
    one, two = (folder / f"threads-{threads}" / "model.npz" for threads in "12")
    assert one.read_bytes() == two.read_bytes()


def test_resuming_a_finished_run_changes_nothing(folder: Path) -> None:
    before = (folder / "run" / "model.npz").read_bytes()
    again = ["--data", str(folder / "data.npz"), "--protocol", "FTMT", "--topk", "5,10", "--quiet", "--resume"]
    assert train.main([*again, "--preset", "best", "--out", str(folder / "run")]) == 0
    assert (folder / "run" / "model.npz").read_bytes() == before


def test_lists_for_a_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(capsys, "--model", folder / "run", "--history", "i3,i5,i8", "--topk", "4")
    model = load(folder / "run" / "model.npz")
    new = model.catalogue.new_items()
    scores = model.item_factors(new) @ model.encode_users([np.array([3, 5, 8])])[0]
    assert [row["item"] for row in rows] == [f"i{new[j]}" for j in np.argsort(-scores)[:4]]
    assert {row["history"] for row in rows} == {"1"}


def test_items_as_the_data_describe_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--data", folder / "data.npz", "--history", "i3,i5,i8", "--candidates", "all", "--topk", "4"]
    rows = listed(capsys, "--model", folder / "run", *line)
    assert len(rows) == 4
    assert not {row["item"] for row in rows} & {"i3", "i5", "i8"}


def test_a_file_has_a_history_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "histories.txt"
    file.write_text("i3,i5,i8\n\ni1, i2\n")
    rows = listed(capsys, "--model", folder / "run", "--history", file, "--topk", "2", "--candidates", "all")
    assert [row["history"] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    assert not {row["item"] for row in rows[:2]} & {"i3", "i5", "i8"}
    assert not {row["item"] for row in rows[4:]} & {"i1", "i2"}
    assert all(float(row["score"]) for row in rows)  # an empty line, too, is somebody: the mean user


def test_new_items_say_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = load(folder / "run" / "model.npz").catalogue.new_items()[:2]
    rows = listed(capsys, "--model", folder / "run", "--history", f"i{new[0]},i{new[1]}", "--topk", "3")
    assert all(float(row["score"]) for row in rows)


def test_files_that_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "latin.txt"
    file.write_bytes(b"i1\xff\n")
    assert recommend.main(["--model", str(folder / "run"), "--history", str(file)]) == 3
    assert "expected UTF-8 text" in capsys.readouterr().err
    assert recommend.main(["--model", str(folder / "run"), "--history", "i1", "--include-seen"]) == 2


def test_a_history_meets_other_items_by_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ds = Dataset.load(folder / "data.npz")
    other = replace(ds, item_ids=ds.item_ids[::-1].copy())
    data = other.save(folder / "other.npz")
    line = ["--model", str(folder / "run"), "--data", str(data), "--history", "i1", "--topk", "3"]
    assert recommend.main(line) == 0
    shown = [row.split(",")[2] for row in capsys.readouterr().out.splitlines()[1:]]
    model = load(folder / "run" / "model.npz")
    p = model.encode_users([model.catalogue.items.numbers(["i1"])])[0]
    new = [i for i in other.new_items() if other.item_ids[i] != "i1"]
    order = np.argsort(-(model.on(other).item_factors(np.array(new)) @ p))
    assert shown == [str(other.item_ids[new[j]]) for j in order[:3]]


def test_the_preset_is_one_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--preset", "best", "--model", "duif", "--out", str(folder / "none")]) == 2
    assert "leave out one of the two" in capsys.readouterr().err


def test_the_content_profile_serves_histories_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(capsys, "--model", "profile", "--data", folder / "data.npz", "--history", "i3,i5", "--topk", "3")
    assert len(rows) == 3


UNSERVED = (
    "milk-recommend: error: --history: this model knows only the users of its training; train one with --preset "
    "best, or MILK with --users profile or both\n"
)


@pytest.mark.parametrize("more", [[], ["--data", "data.npz"], ["--fresh", "absent.npz"]])
def test_a_model_of_its_own_users_alone_says_how_to_train_another(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.chdir(folder)
    for model in (["free"], ["random", "--data", "data.npz"]):
        assert recommend.main(["--model", *model, *more, "--history", "i1"]) == 2
        assert capsys.readouterr().err == UNSERVED


@pytest.mark.parametrize(
    ("model", "history", "code", "message"),
    [
        ("free", "i1,i2", 2, UNSERVED),
        ("run", "i1,i999", 3, "item 'i999' is not in the data set"),
        ("run", ",", 2, "--history: expected items separated by commas"),
        ("run", "i1," * 500 + "i999", 3, "item 'i999' is not in the data set"),
    ],
)
def test_histories_that_cannot_be_served(
    folder: Path, capsys: pytest.CaptureFixture[str], model: str, history: str, code: int, message: str
) -> None:
    assert recommend.main(["--model", str(folder / model), "--history", history]) == code
    assert message in capsys.readouterr().err
