"""Lists and metrics are the same on other kinds of processors, to rounding, and the same to the bit on more threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import processors
import pytest
from numpy.typing import NDArray
from processor_program import MODELS

from milk_np.data import apply_protocol, make_synthetic
from milk_np.machine.processor import KINDS as VARIABLES

Results = dict[str, NDArray[np.generic]]
PROGRAM = Path(__file__).with_name("processor_program.py")
TOLERANCE = 2e-5
"""Of scores, as a share of a model's largest: float32 sums of some hundred products, through a short training."""
TOLERANCES = {"kernel-profile": 2e-4}
"""It is fitted from float32 products of blocks of items, whose rounding the regression magnifies: 5.4e-5 was seen."""


def run(data: Path, out: Path, variables: dict[str, str]) -> Results:
    """What the program finds in a process with these variables and none of the others that choose a processor."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | variables
    command = [sys.executable, str(PROGRAM), str(data), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("processors") / "data.npz"
    whole = make_synthetic(150, 160, 2400, {"image": 200, "text": 64}, new_items=0.3, seed=3)
    apply_protocol(whole, "MTMT", seed=1).save(path)
    return path


@pytest.fixture(scope="module")
def here(data: Path) -> Results:
    return run(data, data.with_name("here.npz"), {})


@pytest.mark.parametrize("kind", ["haswell", "sandybridge"])
def test_another_processor_gives_the_same_lists_and_metrics(data: Path, here: Results, kind: str) -> None:
    if reason := processors.unfit(kind):
        pytest.skip(reason)
    there = run(data, data.with_name(f"{kind}.npz"), processors.variables(kind))
    assert set(there["cores"]) <= {processors.KINDS[kind].core}, "OpenBLAS took other kernels than it was told to"
    assert not there["wide"]
    for name in MODELS:
        assert_same_lists(here, there, name)
        np.testing.assert_allclose(there[f"{name}: metrics"], here[f"{name}: metrics"], rtol=0, atol=1e-3)


def assert_same_lists(one: Results, other: Results, name: str) -> None:
    """Equal but for neighbours in a list whose scores can't be told apart."""
    score, found = (one[f"{name}: {part}"] for part in ("score", "found"))
    atol = TOLERANCES.get(name, TOLERANCE) * np.abs(one[f"{name}: scores of all"]).max()
    for part in ("score", "scores of all"):
        np.testing.assert_allclose(other[f"{name}: {part}"], one[f"{name}: {part}"], rtol=0, atol=atol, err_msg=name)
    row, place = np.nonzero(other[f"{name}: found"] != found)
    moved = one[f"{name}: scores of all"][row, other[f"{name}: found"][row, place]]
    np.testing.assert_allclose(moved, score[row, place], rtol=0, atol=2 * atol, err_msg=name)
    assert len(row) <= found.size / 100, f"{name}: {len(row)} of {found.size} places hold another item"


def test_a_moved_item_is_seen() -> None:
    score = np.array([[3.0, 2.0, 1.0]], np.float32)
    one = {"x: score": score, "x: scores of all": score, "x: found": np.array([[0, 1, 2]])}
    assert_same_lists(one, one, "x")
    with pytest.raises(AssertionError):
        assert_same_lists(one, one | {"x: found": np.array([[1, 0, 2]])}, "x")


def test_what_a_processor_can_not_be_taken_for() -> None:
    avx2 = set(processors.KINDS["haswell"].needs)
    assert processors.unfit("haswell", "x86_64", avx2 | {"sse4a"}) == ""
    assert processors.unfit("haswell", "aarch64", avx2) == "the processor is aarch64, haswell is x86_64"
    assert processors.unfit("haswell", "x86_64", avx2 - {"fma"}) == "the processor lacks fma, which haswell has"
    assert "avx512bw" in processors.unfit("skylake-avx512", "x86_64", avx2)


def test_a_command_runs_as_on_the_processor_or_says_why_not() -> None:
    program = "import os; print(os.environ['OPENBLAS_CORETYPE'], os.environ['NUMBA_CPU_NAME'])"
    command = [sys.executable, processors.__file__, "haswell", sys.executable, "-c", program]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    reason = processors.unfit("haswell")
    assert told[-1] == (f"skipped: {reason}" if reason else "Haswell haswell")
