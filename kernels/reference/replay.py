"""A step that can be replayed: all that changes from step to step is in memory, so its arguments stay the same.

A clock (3) int64 counts: the slot of the next batch among those that were drawn ahead, the row of the schedule, and
the steps of Adam so far. A schedule has a row for each step of an epoch: the mixing weights of its environments, and
Adam's step size and epsilon. Drawing and grouping many batches at once are `draw_batch` and `group` for each of them.
"""

from __future__ import annotations

from milk_np.kernels.arrays import Floats, Ints


def set_clock(slot: int, row: int, count: int, clock: Ints) -> None:
    """Set `clock` (3)."""
    clock[:] = slot, row, count


def begin_step(clock: Ints, batches: Ints, batch: Ints, schedule: Floats, now: Floats) -> None:
    """The clock's slot, modulo G, of `batches` (G, L) into `batch` (L), its row of the schedule into `now` (W)."""
    batch[:], now[:] = batches[clock[0] % len(batches)], schedule[clock[1]]


def end_step(clock: Ints, made: Floats, record: Floats) -> None:
    """The losses `made` (R) of a step into the clock's row of `record` (steps, R); the clock moves on."""
    record[clock[1]] = made
    clock += 1
