"""A small data set and calls of milk-train on it, for the tests of the command."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from milk_np.cli import train
from milk_np.data import make_synthetic
from milk_np.training.run_folder import RunFolder

SMALL = ["--dim", "8", "--batch-size", "128", "--max-epochs", "4", "--eval-every", "2", "--topk", "5"]


def make_data(folder: Path) -> Path:
    """A file of 150 users and 100 items."""
    return make_synthetic(150, 100, 1500, {"image": 8, "text": 6}).save(folder / "small.npz")


def line_of(data: Path) -> list[str]:
    """Options of a small run on `data`."""
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


def command(*parts: object) -> list[str]:
    """The command in a process of its own."""
    return [sys.executable, "-m", "milk_np.cli.train", *map(str, parts)]


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until `path` is there or the process has ended."""
    for _ in range(600):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.05)
