"""What changes from step to step, kept on the device (contract: kernels/reference/replay.py): one launch each.

No other device has these kernels: elsewhere a step's arguments cost nothing.
"""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.adam import Tick
from milk_np.kernels.gpu.grouping import group_batches, widths
from milk_np.kernels.gpu.launch import kernel, real
from milk_np.kernels.gpu.sampling import draw_batches

__all__ = ["Tick", "begin_step", "draw_batches", "end_step", "group_batches", "set_clock", "widths"]

VEC = 4
"""Numbers of a batch that a thread copies at once: batches are a multiple of it wide."""


def set_clock(slot: int, row: int, count: int, clock: Array) -> None:
    """Set `clock` (3): the slot of the next batch, its row of the schedule, and how many steps there were."""
    kernel("replay", "set_clock", VEC=VEC).blocks(1, 1, np.int64(slot), np.int64(row), np.int64(count), clock)


def begin_step(clock: Array, batches: Array, batch: Array, schedule: Array, now: Array) -> None:
    """Fetch the batch and the row of the schedule that the clock names."""
    (G, L), W = batches.shape, schedule.shape[1]
    run = kernel("replay", "begin_step", REAL=real(now.dtype), VEC=VEC)
    run.threads(max(L // VEC, W), clock, batches, np.int32(G), np.int64(L // VEC), batch, schedule, np.int32(W), now)


def end_step(clock: Array, made: Array, record: Array) -> None:
    """Put the step's losses where they belong, and move the clock on."""
    kernel("replay", "end_step", VEC=VEC).blocks(1, 256, clock, made, np.int32(len(made)), record)
