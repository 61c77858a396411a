"""Tests marked `gpu` run wherever CuPy finds a device, or an emulator of one; `gpu_cases` skips them elsewhere."""

from __future__ import annotations

import sys

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An emulator that compiles kernels may leave a file for the collector to close, which is no fault of the tests."""
    for item in items:
        if "cupy_on_cpu" in sys.modules and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
