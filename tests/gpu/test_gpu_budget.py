"""What a training step on the device may cost: kernel launches, and no copy in either direction and no waiting."""

from __future__ import annotations

import pytest
from gpu_cases import EMULATOR, counted, home

from milk_np.data import apply_protocol, make_synthetic
from milk_np.models.milk.model import Milk

pytestmark = pytest.mark.gpu

BUDGET = 25
MIDDLE = [
    "rows_forward",  # c = x W + b of all modalities
    "margins",
    "risk_forward",  # losses of the environments, and how much each counts
    "risk_backward",
    "margins_backward_users",
    "margins_backward_items",
    "alignment_count",
    "alignment_pull",
    "regulariser",
    "rows_backward",  # dW and db
]
"""What every step launches, in order, with two modalities or more."""
REPLAYED = ["begin_step", "adam_catch_up", *MIDDLE[:-1], "adam_rows", "rows_backward", "adam", "end_step"]
"""A step; batches are drawn and grouped many at a time: draw_batch, and group_shared twice."""
PLAIN = ["draw_batch", "group_shared", "adam_catch_up", "group_shared", *MIDDLE, "adam_rows", "adam"]
"""A step of users with profiles, or of features that pass by, draws and groups its own batch."""


@pytest.fixture
def launches(monkeypatch):
    """Names of what is launched from now on."""
    from cupy import cublas

    from milk_np.kernels.gpu.launch import Kernel

    names = []

    def noted(original, name_of):
        def call(*arguments, **options):
            names.append(name_of(arguments))
            return original(*arguments, **options)

        return call

    for method in ("threads", "blocks"):
        monkeypatch.setattr(Kernel, method, noted(getattr(Kernel, method), lambda arguments: arguments[0].name))
    monkeypatch.setattr(cublas, "gemm", noted(cublas.gemm, lambda _: "product"))
    return names


def trained(M=2, **options):
    """A model and its trainer after the first step, in which kernels are compiled and the epoch's table is sent."""
    widths = {f"m{m}": 20 for m in range(M)}
    ds = make_synthetic(n_users=200, n_items=150, n_pairs=2400, widths=widths, seed=3)
    model = Milk(**{"dim": 16, "batch_size": 256, "device": "gpu", **options})
    trainer = model.trainer(apply_protocol(ds, "MTMT"))
    trainer.step(1, 0)
    return model, trainer


def test_the_launches_of_a_step(launches):
    """A device replays what is launched here, so all of it is seen in the first step alone."""
    launches.clear()
    _, trainer = trained()
    assert launches[-len(REPLAYED) :] == REPLAYED
    assert launches[-len(REPLAYED) - 4 : -len(REPLAYED)] == ["set_clock", "draw_batch", "group_shared", "group_shared"]
    trainer.engine._replays = []
    launches.clear()
    trainer.step(1, 1)
    assert launches == PLAIN
    assert max(len(PLAIN), len(REPLAYED)) <= BUDGET


@counted
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"environments": "independent", "env_draws": 3},
        {"negative_pool": 50},
        {"without": ("cmam", "ceim")},
        {"preset": "reference"},
    ],
)
def test_nothing_crosses_the_bus_and_nobody_waits(options, launches):
    _, trainer = trained(**options)
    EMULATOR.stats.reset()
    launches.clear()
    steps = trainer.steps - 2
    for step in range(1, steps + 1):
        trainer.step(1, step)
    stats = EMULATOR.stats
    assert (stats.h2d, stats.d2h, stats.d2d, stats.sync) == (0, 0, 0, 0)
    assert stats.launch == len(launches) - launches.count("product"), "nothing is launched beside our kernels"
    assert len(launches) <= BUDGET * steps


@counted
def test_an_epoch_sends_two_tables_and_brings_one_home():
    """Both are the schedule, one for the steps of the last batch's size."""
    _, trainer = trained()
    steps = trainer.steps
    for step in range(1, steps):
        trainer.step(1, step)
    EMULATOR.stats.reset()
    for step in range(steps):
        trainer.step(2, step)
    trainer.losses(steps)
    stats = EMULATOR.stats
    assert (stats.h2d, stats.d2h) == (2, 1)


def test_memory_of_the_device_stops_growing():
    """After a few steps, all arrays come from memory that was used before."""
    import cupy

    model, trainer = trained()
    pool = cupy.get_default_memory_pool()
    for step in range(1, 4):
        trainer.step(1, step)
    before = pool.total_bytes()
    for step in range(4, trainer.steps - 1):
        trainer.step(1, step)
    assert pool.total_bytes() == before
    assert home(model.params.P).dtype == "float32"
