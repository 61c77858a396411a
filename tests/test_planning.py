"""The plan for 100 million users: its page shows the saved results, and its arithmetic holds where it can be told."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the tests run without their checkout")


@pytest.fixture
def planning(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("planning")


@pytest.fixture
def check(planning: ModuleType) -> ModuleType:
    pytest.importorskip("distributed")
    return import_module("planning_check")


def test_the_page_shows_the_saved_results(planning: ModuleType) -> None:
    text = planning.PAGE.read_text()
    assert planning.filled(text) == text


def test_the_saved_runs_bear_the_model_out(planning: ModuleType) -> None:
    """What the page says of the check: bits, traffic, and CPU seconds."""
    for each in json.loads(planning.FILE.read_text())["check"]["runs"]:
        model, run = each["model"], each["run"]
        assert each["same bits"]
        assert model["back"] == pytest.approx(run["back"], rel=0.05)
        assert model["out"] == pytest.approx(run["out"], rel=0.05)
        assert 0.3 < model["cpu"] / run["cpu"] < 1.2


def test_work_and_traffic_of_a_fit_by_hand(planning: ModuleType) -> None:
    """Two spans of users, three blocks of items; one modality."""
    sizes = planning.Sizes(20_000, 5000, 200_000, (10,), 64, 16, 32)
    found = {phase.name: phase for phase in planning.fit_phases(sizes)}
    assert found["smoothing"].tasks == 2
    assert found["smoothing"].state == 8.0 * 5000 * 32  # in float64: few items
    assert found["smoothing"].work == {"pair": 2.0 * 200_000 * 32}
    assert found["smoothing"].calls == 2
    assert (found["smoothing"].between, found["smoothing"].back) == (8.0 * 5000 * 32, 8.0 * 5000 * 32)
    normal = found["normal equations"]
    assert normal.tasks == 3
    assert normal.work["multiply"] == 2 * 5000 * 10 * 64 + 2 * 5000 * 64**2
    assert normal.work["gram"] == 5000 * 64**2
    assert (normal.between, normal.back) == (2 * 8 * 64**2, 8 * 64**2)
    assert found["history vectors"].back == 4 * 5000 * 64


@pytest.mark.parametrize("ranks", [1, 3, 8, 50])
def test_the_simulation_of_what_can_be_told(check: ModuleType, planning: ModuleType, ranks: int) -> None:
    """Without traffic, waves of tasks; without work, the client's link alone."""
    constants = {"multiply": 0.5, "task": 0.0, "handling": 0.0}
    work = planning.Phase("work", {"multiply": 40.0}, tasks=10, calls=2)
    waves = -(-10 // ranks)
    assert check.simulated(work, ranks, constants, 1.0, 1.0) == pytest.approx(2 * waves * 1.0)
    assert work.seconds(ranks, constants, 1.0, 1.0) == pytest.approx(2 * waves * 1.0)
    traffic = planning.Phase("traffic", {}, tasks=10, back=30.0)
    assert check.simulated(traffic, ranks, constants, 1.0, 2.0) == pytest.approx(15.0)
    assert traffic.seconds(ranks, constants, 1.0, 2.0) == pytest.approx(15.0)


@pytest.mark.parametrize("ranks", [1, 4, 64])
def test_overlap_saves_time_and_no_more_than_all_transfer(check: ModuleType, planning: ModuleType, ranks: int) -> None:
    """Real phases: the simulation lies between what is computed alone and the sum of both."""
    constants = dict.fromkeys(("multiply", "gram", "add", "exponential", "gathered", "pair", "sorted"), 1e-11)
    constants |= {"task": 0.0, "handling": 0.0}
    for phase in planning.fit_phases(planning.PLAN):
        simulated = check.simulated(phase, ranks, constants, 8.0, 1e9)
        assert phase.cpu(constants) / 8 / ranks <= simulated * (1 + 1e-9)
        assert (phase.state + phase.back) / 1e9 <= simulated * (1 + 1e-9)
