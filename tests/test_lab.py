"""The kernel lab: every kernel once on a tiny problem, and what it does with a wrong variant."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import lab  # noqa: E402
import lab_kernels  # noqa: E402


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """The lab sets the threads of the kernels; those of the tests stay."""
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize("name", sorted(lab_kernels.KERNELS))
def test_every_kernel_is_compared_and_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.main([name, "--quick", "--dim", "17"]) == 0
    shown = capsys.readouterr().out
    table = [line for line in shown.splitlines() if line.startswith("| ")]
    assert table[1].startswith("| engine | ")
    assert len(table) >= 3
    assert "KiB" in shown.splitlines()[0]
    assert "\n- " in shown


def test_float16_features(capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.main(["forward", "backward", "--quick", "--half"]) == 0
    assert capsys.readouterr().out.count("| engine | ") == 2


def test_a_variant_that_computes_something_else_ends_the_comparison() -> None:
    truth = np.ones(3)
    assert lab_kernels.checked({"right": lambda: truth + 1e-7}, truth, 1e-6)
    for wrong in (truth + 1e-3, np.full(3, np.nan)):
        with pytest.raises(SystemExit, match="crooked computes something else"):
            lab_kernels.checked({"right": lambda: truth, "crooked": lambda wrong=wrong: wrong}, truth, 1e-6)


@pytest.mark.parametrize(
    ("line", "threads"), [([], "1"), (["topk", "--threads", "3"], "3"), (["--threads=2", "topk"], "2")]
)
def test_threads_of_blas(line: list[str], threads: str) -> None:
    assert lab.threads_asked(line) == threads
