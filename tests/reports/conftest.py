"""Two reports for the tests that look at them in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from milk_np.cli import reproduce, train
from milk_np.data import make_synthetic


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of experiments and one of a training run."""
    folder = tmp_path_factory.mktemp("reports")
    data = make_synthetic(150, 200, 2500, {"image": 8, "text": 6, "audio": 5}).save(folder / "small.npz")
    quick = ["--dim", "4", "--batch-size", "128", "--epochs", "4", "--eval-every", "2", "--quiet"]
    line = ["all", "--data", str(data), "--out", str(folder / "all"), "--repeats", "2", "--trials", "1", "--jobs", "1"]
    assert reproduce.main([*line, *quick]) == 0
    assert train.main(["--data", str(data), "--protocol", "FTMT", "--out", str(folder / "run"), *quick]) == 0
    return {"experiments": folder / "all" / "report.html", "run": folder / "run" / "report.html"}
