"""Numbers of half precision are widened exactly, by an instruction or without one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from milk_np.kernels.cpu.half import widened
from milk_np.kernels.cpu.vectors import HALF

EVERY = """
import numpy as np
from numba import njit
from milk_np.kernels.cpu.half import widened
from milk_np.kernels.cpu.vectors import HALF

@njit
def widen(bits, out):
    for d in range(len(bits)):
        out[d] = widened(bits[d])

numbers = np.arange(1 << 16).astype(np.uint16).view(np.float16)
numbers = numbers[np.isfinite(numbers)]
out = np.empty(len(numbers), np.float32)
widen(numbers.view(np.uint16), out)
assert np.array_equal(out.view(np.uint32), numbers.astype(np.float32).view(np.uint32))
print(HALF)
"""


@pytest.mark.parametrize("cpu", ["host", "generic"])
def test_every_finite_number_is_widened_exactly(cpu: str) -> None:
    env = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""} if cpu == "generic" else None
    done = subprocess.run([sys.executable, "-c", EVERY], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if cpu == "host" or platform.machine() == "x86_64":  # whose plain kind has no instruction; others have one
        assert done.stdout.strip() == str(HALF and cpu == "host")


def test_infinity_and_nan_with_an_instruction() -> None:
    if not HALF:
        pytest.skip("this processor has no instruction for it")

    @njit
    def one(bits: np.ndarray) -> np.float32:
        return widened(bits[0])

    for number in (np.inf, -np.inf, np.nan):
        found = one(np.array([number], np.float16).view(np.uint16))
        np.testing.assert_equal(found, np.float32(number))
