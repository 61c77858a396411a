"""milk-train stopped and resumed: the same bits."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from train_cases import SMALL, command, failed, line_of, make_data, run, summary, wait_for

from milk_np.data import make_synthetic
from milk_np.models.registry import load_settings
from milk_np.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def line(data: Path) -> list[str]:
    return line_of(data)


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
    assert load_settings(RunFolder(tmp_path / "b").config).max_epochs == 8


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


def test_a_run_killed_before_its_report_gets_one(line: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(*line, "--out", out, "--quiet") == 0
    report = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert run(*line, "--out", out, "--resume", "--quiet") == 0
    assert (out / "report.html").read_bytes() == report
