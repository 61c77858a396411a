"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from milk_np.machine import threads

sys.path += sorted({str(path.parent) for path in Path(__file__).parent.rglob("*_cases.py")})  # cases that folders share
os.environ["PYTHONSAFEPATH"] = "1"  # a process that a test starts imports what the tests do, not its folder
threads.prepare()  # Numba refuses a number of threads that changes once they run: settle it for all tests
import numba  # noqa: E402, F401

# An example may compile a kernel first, and the machine may be busy.
settings.register_profile("any-speed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")


@pytest.fixture
def real_data() -> Path:
    """Folder of real data sets, from the environment variable MILK_DATA."""
    folder = os.environ.get("MILK_DATA")
    if not folder:
        pytest.skip("MILK_DATA is not set: it names the folder that holds the real data sets")
    return Path(folder)


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """A test that changes the environment changes it for itself."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
