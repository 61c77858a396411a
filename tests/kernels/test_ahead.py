"""Kernels compiled ahead by helpers: the plans are what runs reach, and helpers are started where they are of use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.data import apply_protocol, make_synthetic
from milk_np.evaluation.evaluate import evaluate
from milk_np.kernels.cpu import ahead
from milk_np.kernels.cpu.topk import top_k
from milk_np.models.registry import MODELS, make_model, make_settings

RUNS = {
    "milk": {"dim": 8, "epochs": 1, "batch_size": 256},
    "kernel profile": {"model": "kernel-profile"},
    "ranking": {"model": "profile"},
}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Helpers that would have been started, each a process that waits."""
    helpers: list[Any] = []

    def start(*_: Any) -> Any:
        helpers.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return helpers[-1]

    monkeypatch.setattr(ahead, "_start", start)
    yield helpers
    for helper in helpers:
        helper.stdin.close()


@pytest.mark.parametrize("plan", ahead.PLANS)
def test_a_run_reaches_every_kernel_of_its_plan_with_these_types(plan: str) -> None:
    ds = apply_protocol(
        make_synthetic(150, 160, 2400, {"image": 600, "text": 12}, new_items=0.3, seed=3), "FTMT", seed=1
    )
    evaluate(make_model(make_settings(RUNS[plan] | {"topk": (10,)})).fit(ds), ds, topk=(10,))
    rng = np.random.default_rng(0)  # vectors as wide as those of more items than these
    top_k(rng.standard_normal((80, 512)), rng.standard_normal((400, 512)), 10)
    for name, types in ahead.PLANS[plan].items():
        assert types in ahead.kernel(name).signatures, name


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_helpers_share_a_plan_and_begin_at_its_end(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    compiled: list[str] = []

    class Kernel:
        def __init__(self, name: str) -> None:
            self.name = name

        def compile(self, types: Any) -> None:
            assert types == ahead.PLANS["milk"][self.name]
            compiled.append(self.name)

    monkeypatch.setattr(ahead, "kernel", Kernel)
    for part in range(parts):
        ahead.compile_part("milk", part, parts)
    assert sorted(compiled) == sorted(ahead.PLANS["milk"])
    assert compiled[0] == list(ahead.PLANS["milk"])[-1]


def test_a_helper_leaves_its_kernels_where_others_look(tmp_path: Path) -> None:
    """Nothing is compiled by an import, and one kernel by a helper that is given a tenth of a plan of ten."""
    plan = list(ahead.PLANS["kernel profile"])
    part = plan[::-1].index("lists._sum")
    ask = "from milk_np.kernels.cpu import ahead; print(*ahead.missing('kernel profile'))"

    def run(*line: str) -> list[str]:
        env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, *line], env=env, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert run("-c", ask) == plan
    run("-m", ahead.__name__, "kernel profile", str(part), str(len(plan)))
    assert run("-c", ask) == [name for name in plan if name != "lists._sum"]


@pytest.mark.parametrize(("cores", "helpers"), [(1, 0), (2, 1), (3, 2), (64, ahead.MOST)])
def test_one_core_is_left_to_the_process_itself(
    monkeypatch: pytest.MonkeyPatch, started: list[Any], cores: int, helpers: int
) -> None:
    monkeypatch.setattr(ahead, "_worth_it", lambda plan: True)
    with ahead.compiling("milk", cores) as count:
        assert count == len(started) == helpers
        assert all(helper.poll() is None for helper in started)
    assert all(helper.poll() is not None for helper in started)


def test_helpers_end_with_an_error(monkeypatch: pytest.MonkeyPatch, started: list[Any]) -> None:
    monkeypatch.setattr(ahead, "_worth_it", lambda plan: True)
    with pytest.raises(KeyboardInterrupt), ahead.compiling("milk", 2):
        raise KeyboardInterrupt
    assert [helper.poll() is None for helper in started] == [False]


def test_no_helper_where_little_is_missing_or_nothing_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, started: list[Any], tmp_path: Path
) -> None:
    class Kernel:
        stats = type("Stats", (), {"cache_path": str(tmp_path)})

    monkeypatch.setattr(ahead, "kernel", lambda name: Kernel)
    for absent, writable, helpers in ([], True, 0), (["a"], True, 0), (["a"] * 12, False, 0), (["a"] * 12, True, 1):
        monkeypatch.setattr(ahead, "missing", lambda plan, absent=absent: absent)
        monkeypatch.setattr(os, "access", lambda *_, writable=writable: writable)
        with ahead.compiling("milk", 2) as count:
            assert count == helpers


def test_every_model_has_a_plan() -> None:
    assert {make_settings({"model": name}).compiles for name in MODELS} == set(ahead.PLANS) == set(ahead.SECONDS)


def test_no_helper_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_worth_it", lambda plan: True)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with ahead.compiling("milk", 2) as count:
        assert count == 0
