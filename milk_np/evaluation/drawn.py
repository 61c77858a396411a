"""Evaluation on users drawn at random, and how far its means may be from those of all users."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import SettingsError
from milk_np.evaluation.metrics import PerUser
from milk_np.rng import generator

_QUANTILE = 1.959964
"""Of the normal distribution: 95 % lie within so many standard deviations of the mean."""
LEAST = 30
"""Fewest users to draw: with fewer the normal distribution says little of a mean."""


Drawn = Callable[[NDArray[np.int32]], NDArray[np.int32]]
"""Which of the users (n,) are evaluated, ascending."""


def everybody(users: NDArray[np.int32]) -> NDArray[np.int32]:
    """All of the users (n,)."""
    return users


def draw(users: NDArray[np.int32], count: int | None, seed: int) -> NDArray[np.int32]:
    """`count` of the users (n,), ascending and without repetition; all of them if there aren't more."""
    if count is None:
        return users
    if count < LEAST:
        raise SettingsError(f"sample_users: expected at least {LEAST}, got {count}")
    if count >= len(users):
        return users
    return np.sort(generator(seed, "evaluated users").choice(users, count, replace=False))


def half_widths(values: PerUser, population: int) -> dict[str, float]:
    """Half the width of each mean's 95 % confidence interval, for users drawn from `population` without repetition.

    1.96 s sqrt((1 - n/N) / n), with the sample's standard deviation s (Cochran 1977, Sampling Techniques, section 2.6).
    It is 0 where all users were evaluated.
    """
    n = len(next(iter(values.values())))
    shrunk = math.sqrt((1 - n / population) / n)
    return {name: _QUANTILE * float(np.std(each, ddof=1)) * shrunk if n > 1 else 0.0 for name, each in values.items()}
