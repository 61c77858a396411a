"""Tests marked `gpu` run wherever CuPy finds a device, or an emulator of one; `gpu_cases` skips them elsewhere.

Of these, the ones marked `emulator` need an emulator, whose copies and launches can be counted, and those marked
`device` a real device. Where they can't mean anything they aren't run, and the last lines say how many.
"""

from __future__ import annotations

import sys

import pytest

LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """An emulator that compiles kernels may leave a file for the collector to close, which is no fault of the tests."""
    emulated = "cupy_on_cpu" in sys.modules
    other = "device" if emulated else "emulator"
    left_out = [item for item in items if item.get_closest_marker(other)]
    items[:] = [item for item in items if not item.get_closest_marker(other)]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = [item.nodeid for item in left_out]
    for item in items:
        if emulated and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which tests were left out, and why."""
    left_out = config.stash.get(LEFT_OUT, [])
    if left_out:
        kind = "a real device" if "cupy_on_cpu" in sys.modules else "an emulator of a device"
        terminalreporter.write_line(f"left out, since they need {kind}: {', '.join(left_out)}")


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel profile works on few rows at a time."""
    monkeypatch.setattr("milk_np.models.kernel_profile.smoother.BLOCK_ROWS", {"cpu": 32, "gpu": 32})
    monkeypatch.setattr("milk_np.models.kernel_profile.blocks.BLOCK_ROWS", {"cpu": 32, "gpu": 32})
