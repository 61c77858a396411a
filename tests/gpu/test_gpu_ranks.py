"""Several ranks that mpiexec starts, each with the device: the bits of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gpu_cases  # noqa: F401 - skips this file where there is no device
import numpy as np
import pytest

from milk_np.data import apply_protocol, make_synthetic

MPIEXEC = Path(sys.executable).with_name("mpiexec")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.mpi,
    pytest.mark.skipif(not MPIEXEC.exists(), reason="the extra mpi isn't installed"),
]

MODELS = {
    "milk": ("--dim", "8", "--batch-size", "512", "--eval-every", "1", "--max-epochs", "2"),
    "best": ("--preset", "best", "--landmarks", "40", "--kernel-noise", "0.3", "--whitening", "0", "--width", "full"),
}


def train(data: Path, out: Path, ranks: int, *options: str) -> dict[str, np.ndarray]:
    """Arrays of the model that a command on some ranks writes, run by Python as these tests are.

    An emulator is a word before `-m pytest`. Processes that share the tests are started without these words.
    """
    words = sys.orig_argv
    at = words.index("-m") if "-m" in words else len(words)
    python = words[:at] if words[at + 1 : at + 2] == ["pytest"] else [sys.executable]
    line = ["-m", "milk_np.cli.train", "--data", data, "--out", out, "--device", "gpu", "--threads", "1", *options]
    start = [] if ranks == 1 else [str(MPIEXEC), "-n", str(ranks)]
    environment = {**os.environ, "MPIR_CVAR_ENABLE_HEAVY_YIELD": "1"}
    done = subprocess.run(
        [*start, *python, *map(str, line)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    with np.load(out / "model.npz") as file:
        return {name: file[name] for name in file.files if name != "meta"}


@pytest.mark.parametrize("model", MODELS)
def test_two_ranks_write_the_model_of_one_process(model: str, tmp_path: Path) -> None:
    ds = make_synthetic(n_users=200, n_items=150, n_pairs=2400, widths={"image": 20, "text": 12}, seed=3)
    apply_protocol(ds, "FTMT").save(tmp_path / "data.npz")
    one, two = (train(tmp_path / "data.npz", tmp_path / f"run{ranks}", ranks, *MODELS[model]) for ranks in (1, 2))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
