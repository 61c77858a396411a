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
import tables  # noqa: E402
from options import Options  # noqa: E402
from subjects import kernels  # noqa: E402
from worker import RAN  # noqa: E402


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


def test_kernels_by_width_are_one_table() -> None:
    options = Options(quick=True)
    (outcome,) = kernels.measure(options)
    options.scratch.cleanup()
    (ran,) = (found for name, found in RAN.items() if name.startswith("kernels "))
    assert ran["numba"]
    assert len(outcome.rows) == 1 + 2 * 2 * 5 + 3
    assert all(row["GFLOP/s"] > 0 for row in outcome.rows)
    itself = [row for row in outcome.rows if row["features"] == "float32" and row["K"] == 64]
    assert [row.get(kernels.COLUMNS[-1]) for row in itself] == ["1 [1, 1]", "1 [1, 1]", None]
    assert "kernels" in tables.ORDER


def test_a_goal_that_was_missed_is_told_with_its_figure() -> None:
    fine, low, high = (kernels.Spread.of([x]) for x in (1.0, 0.84, 1.6))
    rate = dict.fromkeys([*kernels.PRODUCTS, kernels.WIDE], fine)
    share = dict.fromkeys(kernels.PRODUCTS, fine)
    assert all(note.endswith(": reached.") for note in kernels.goals(rate, share))
    narrow = kernels.Case("x W", True, 17)
    said = kernels.goals(rate | {kernels.WIDE: low}, share | {narrow: high})
    assert said[0].endswith("missed by best 20, all scores, float32, K = 1024 (0.84).")
    assert said[1].endswith("missed by x W, float16, K = 17 (1.6).")


def test_a_kernel_that_computes_something_else_is_not_measured() -> None:
    from peers.kernels import require_equal

    require_equal("x", np.ones(3), np.ones(3), 0.0)
    for wrong in (np.array([1.0, 1.1]), np.array([1.0, np.nan])):
        with pytest.raises(RuntimeError, match="x computes something else"):
            require_equal("x", wrong, np.ones(2), 1e-5)
