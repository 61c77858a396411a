"""The width of vectors is that of the processor Numba compiles for, not of the one that compiles."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import llvmlite.binding as llvm
import processors
import pytest

from milk_np.kernels.cpu.vectors import holds_64_bytes, widens_half

X86 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason=f"the processor is {platform.machine()}, these targets are x86_64"
)
PROGRAM = """
from milk_np.kernels.cpu import microkernel, vectors
print(vectors.WIDE, vectors.VECTOR_BYTES, *microkernel.SCATTERED, *microkernel.PACKED)
"""


@X86
@pytest.mark.parametrize(
    ("cpu", "features", "wide"),
    [
        ("haswell", "", False),
        ("znver3", "", False),
        ("sandybridge", "", False),
        ("generic", "", False),
        ("skylake-avx512", "", True),
        ("znver4", "", True),
        ("haswell", "+avx2,+avx512f", True),
        ("skylake-avx512", "-avx512f", False),
    ],
)
def test_names_and_features_of_a_target(cpu: str, features: str, wide: bool) -> None:
    assert holds_64_bytes(llvm.get_process_triple(), cpu, features) == wide


@X86
@pytest.mark.parametrize(("cpu", "tiles"), [("haswell", "False 32 6 2 4 3"), ("skylake-avx512", "True 64 6 4 8 3")])
def test_kernels_follow_what_numba_is_told(cpu: str, tiles: str) -> None:
    if reason := processors.unfit(cpu):
        pytest.skip(reason)
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == tiles


@X86
@pytest.mark.parametrize(
    ("cpu", "features", "widens"),
    [
        ("sandybridge", "", False),
        ("haswell", "", True),
        ("haswell", "-f16c,-avx512f,-avx512vl", False),
        ("sandybridge", "+f16c", True),
    ],
)
def test_who_widens_half_precision(cpu: str, features: str, widens: bool) -> None:
    assert widens_half(llvm.get_process_triple(), cpu, features) == widens
