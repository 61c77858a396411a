"""What milk-train refuses, with which code and message, and what it leaves behind."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from train_cases import command, failed, line_of, make_data, run

from milk_np.backends import driver as devices
from milk_np.data import Dataset
from milk_np.machine import memory
from milk_np.models.milk.model import Milk
from milk_np.models.registry import load_settings
from milk_np.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def line(data: Path) -> list[str]:
    return line_of(data)


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
            "; kernel-profile doesn't have it",
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
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
