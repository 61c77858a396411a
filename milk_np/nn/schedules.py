"""Learning rates as functions of the number of steps taken, so that a resumed run goes on with the same ones."""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from milk_np.errors import SettingsError

Schedule = Callable[[int], float]
"""The rate of the step that follows so many steps: `schedule(0)` is that of the first."""


def constant(lr: float) -> Schedule:
    """`lr` at every step."""
    _positive("lr", lr)
    return lambda steps: lr


def exponential(lr: float, factor: float, every: float) -> Schedule:
    """lr times factor^(steps / every), falling at each step."""
    _decaying(lr, factor, every)
    return lambda steps: lr * factor ** (steps / every)


def staircase(lr: float, factor: float, every: float) -> Schedule:
    """lr times factor^floor(steps / every): the same rate for `every` steps."""
    _decaying(lr, factor, every)
    return lambda steps: lr * factor ** floor(steps / every)


def warm_up(schedule: Schedule, steps: int) -> Schedule:
    """`schedule`, its rates rising from 1 / (steps + 1) of themselves over the first `steps` steps."""
    return lambda taken: schedule(taken) * min(1.0, (taken + 1) / (steps + 1))


def _decaying(lr: float, factor: float, every: float) -> None:
    for name, value in (("lr", lr), ("factor", factor), ("every", every)):
        _positive(name, value)


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise SettingsError(f"{name} of a learning rate schedule is {value}; it must be a number above 0")
