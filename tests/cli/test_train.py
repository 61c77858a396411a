"""milk-train end to end on small data: what it saves, shows, refuses, resumes and repeats."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.backends import driver as devices
from milk_np.cli import job, train
from milk_np.data import Dataset, make_synthetic
from milk_np.machine import memory
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.milk.model import Milk
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import load_settings
from milk_np.settings.shared import Settings
from milk_np.training.run_folder import RunFolder

SMALL = ["--dim", "8", "--batch-size", "128", "--epochs", "4", "--eval-every", "2", "--topk", "5"]

MODELS = {"model.npz", "last.npz", "per_user.npz"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ds = make_synthetic(150, 100, 1500, {"image": 8, "text": 6})
    return ds.save(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture
def line(data: Path) -> list[str]:
    return ["--data", str(data), "--protocol", "FTMT", *SMALL]


def run(*parts: object) -> int:
    return train.main([str(part) for part in parts])


def summary(out: Path) -> dict[str, Any]:
    found = RunFolder(out).summary()
    assert found is not None
    return found


def failed(capsys: pytest.CaptureFixture[str], code: int, *parts: object) -> str:
    """The message of a call that ends with `code`."""
    try:
        returned: object = run(*parts)
    except SystemExit as stop:
        returned = stop.code
    assert returned == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert "milk-train: error: " in shown
    return shown


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
        protocol="FTMT", dim=8, batch_size=128, epochs=4, eval_every=2, topk=(5,)
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
        (MilkSettings(device="auto", users="profile"), "cpu"),
        (KernelProfileSettings(device="auto"), "cpu, ranking on the gpu"),
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


# Resuming


def command(*parts: object) -> list[str]:
    return [sys.executable, "-m", "milk_np.cli.train", *map(str, parts)]


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.05)


def test_threads_do_not_change_the_result(line: list[str], tmp_path: Path) -> None:
    for threads in (1, 2):
        out = tmp_path / str(threads)
        subprocess.run(command(*line, "--out", out, "--threads", threads, "--quiet"), check=True)
    assert (tmp_path / "1" / "model.npz").read_bytes() == (tmp_path / "2" / "model.npz").read_bytes()
    for part in ("valid", "test", "beside"):
        assert summary(tmp_path / "1")[part] == summary(tmp_path / "2")[part]


def test_more_epochs_continue_bit_for_bit(line: list[str], tmp_path: Path) -> None:
    assert run(*line, "--out", tmp_path / "a", "--epochs", 8, "--quiet") == 0
    assert run(*line, "--out", tmp_path / "b", "--quiet") == 0
    assert run(*line, "--out", tmp_path / "b", "--epochs", 8, "--resume", "--quiet") == 0
    assert (tmp_path / "a" / "model.npz").read_bytes() == (tmp_path / "b" / "model.npz").read_bytes()
    assert RunFolder(tmp_path / "b").metrics() == RunFolder(tmp_path / "a").metrics()
    assert load_settings(RunFolder(tmp_path / "b").config).epochs == 8


LONG = ["--epochs", "60", "--patience", "0", "--quiet"]


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert run("--data", data, "--protocol", "FTMT", *SMALL, *LONG, "--out", out) == 0
    return out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_resumes_to_the_same_bits(
    line: list[str], tmp_path: Path, whole: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(command(*line, *LONG, "--out", out), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        wait_for(out / "last.npz", process)
        process.send_signal(number)
        message = process.stderr.read().decode()
    assert RunFolder(out).summary() is None, "the run ended before it was stopped"
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert f"--out {out} --resume" in message
    assert run(*line, *LONG, "--out", out, "--resume") == 0
    assert (out / "model.npz").read_bytes() == (whole / "model.npz").read_bytes()
    assert RunFolder(out).metrics() == RunFolder(whole).metrics()
    assert summary(out)["test"] == summary(whole)["test"]


def test_resuming_keeps_the_settings_of_the_run(
    line: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(*line, "--out", out, "--quiet") == 0
    assert run("--data", data, "--out", out, "--resume", "--quiet") == 0
    message = failed(capsys, 2, "--data", data, "--out", out, "--resume", "--lr", ".5")
    assert "lr (--lr): the run in" in message
    other = make_synthetic(150, 100, 1500, {"image": 8, "text": 6}, seed=1).save(tmp_path / "other.npz")
    assert "hash" in failed(capsys, 3, "--data", other, "--out", out, "--resume", "--epochs", "6")
    assert "no run to resume" in failed(capsys, 2, "--out", tmp_path / "absent", "--resume")
    assert "--out" in failed(capsys, 2, "--resume")


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


# What is refused


def test_the_folder_of_another_run_is_left_alone(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(*line, "--out", out, "--quiet") == 0
    before = (out / "model.npz").read_bytes()
    assert "already holds a run" in failed(capsys, 2, *line, "--out", out)
    assert (out / "model.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--lr", "-1"], "got -1.0, expected a finite number above 0"),
        (["--reg", "nan"], "got nan"),
        (["--topk", "5,21"], "expected at most 20, the number of new items"),
        (["--valid-metric", "ndcg@50"], "expected at most 20"),
        (["--missing-mix", ".5,.6"], "add up to 1"),
        (["--model", "profile"], "evaluate it with milk-evaluate --model profile"),
        (["--landmarks", "5"], "landmarks (--landmarks): a setting of kernel-profile; milk doesn't have it"),
        (["--model", "duif", "--users", "both"], "a setting of milk; duif doesn't have it"),
        (
            ["--preset", "best", "--rarity", ".9", "--lr", "5"],
            "a setting of duif, duif-raw, milk; kernel-profile",
        ),
        (["--preset", "best", "--model", "duif"], "leave out one of the two"),
        (["--model", "similar", "--impute", "map"], "evaluate it with milk-evaluate --model similar"),
        (["--device", "tpu"], "expected one of cpu, gpu, auto"),
        (["--presett", "paper"], "did you mean --preset?"),
        (["--config", "absent.toml"], "No such file"),
    ],
)
def test_impossible_settings_end_with_2(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], text: str
) -> None:
    assert text in failed(capsys, 2, *line, *more, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rates_without_a_protocol_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = failed(capsys, 2, "--data", data, "--missing-test", ".2")
    assert "--missing-test: has no effect on the mask stored in the data; add --protocol" in message


def test_data_that_can_not_be_used_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent.npz" in failed(capsys, 3, "--data", tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("hello")
    assert "text.npz" in failed(capsys, 3, "--data", tmp_path / "text.npz")


def test_an_unwritable_output_is_found_before_training(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Milk, "fit", lambda *_args, **_more: pytest.fail("trained before looking at the output"))
    assert "Not a directory" in failed(capsys, 3, *line, "--out", tmp_path / "file" / "run")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KB, where one can be mounted; the atomic writes are tested without one too."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(options, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no tmpfs can be mounted here; tests/test_files.py injects a full disk into the writes")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_with_3_and_whole_files(
    line: list[str], tiny_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tiny_disk / "run"
    assert "the disk is full" in failed(capsys, 3, *line, "--dim", "256", "--out", out)
    assert not list(out.glob(".*"))
    assert load_settings(RunFolder(out).config).dim == 256


def test_divergence_ends_with_4(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = failed(capsys, 4, *line, "--lr", "1e30", "--out", tmp_path / "run")
    assert "epoch" in message
    assert "lower --lr" in message


@pytest.mark.skipif(devices.cupy_problem() is None, reason="CuPy is installed: a GPU may well be there")
def test_a_gpu_that_is_not_there_ends_with_5(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--device" in failed(capsys, 5, *line, "--device", "gpu", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "more",
    [
        ("--preset", "best", "--modality-weights", "1,2,3,4,5"),
        ("--preset", "best", "--whitening", "0,1,0,1,0"),
    ],
)
def test_a_refused_run_can_be_corrected_in_the_same_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    line = ("--data", data, "--protocol", "FTMT", "--topk", "5", "--valid-metric", "ndcg@5", "--out", tmp_path / "run")
    assert "one for each of" in failed(capsys, 2, *line, *more)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["milk", "duif", "kernel-profile"])
def test_a_device_that_can_not_be_opened_leaves_no_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr("milk_np.backends.select.gpu_problem", lambda: "no driver")
    line = ("--data", data, "--topk", "5", "--valid-metric", "ndcg@5", "--out", tmp_path / "run")
    assert "no driver" in failed(capsys, 5, *line, "--model", model, "--device", "gpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["milk", "duif"])
def test_data_without_negatives_leave_no_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(Dataset, "train_items", np.zeros(0, np.int32))
    line = ("--data", data, "--topk", "5", "--valid-metric", "ndcg@5", "--out", tmp_path / "run")
    assert "nothing to learn" in failed(capsys, 3, *line, "--model", model)
    assert not (tmp_path / "run").exists()


def test_a_job_that_does_not_fit_is_refused(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 10_000)
    assert "training needs about" in failed(capsys, 5, *line, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_limit_on_the_address_space_refuses_instead_of_killing(line: list[str], tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

    done = subprocess.run(
        command(*line, "--dim", "65536", "--batch-size", "1000", "--out", tmp_path / "run"),
        preexec_fn=limit,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "lower --" in done.stderr
