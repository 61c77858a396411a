"""What is tuned for each family of models, and the designs of the search: the same number of trials for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod

import numpy as np

from milk_np.rng import generator
from milk_np.settings.option import Value

Space = Mapping[str, tuple[Value, ...]]
Config = dict[str, Value]

_COMMON: Space = {"lr": (5e-3, 1e-2), "reg": (1e-3, 3e-3, 1e-2, 3e-2)}
_ENVIRONMENTS: Space = {"invariance_weight": (0.01, 0.1, 1.0, 10.0), "dirichlet_alpha": (0.1, 1.0)}
_ALIGNMENT: Space = {"align_weight": (0.001, 0.01, 0.1, 1.0)}

_PROFILES: Space = {"lr": (1e-3, 3e-3), "reg": (1e-4, 1e-3)}

SPACES: dict[str, Space] = {
    "milk": {**_COMMON, **_ENVIRONMENTS, **_ALIGNMENT},
    "milk-users-profile": {**_PROFILES, **_ENVIRONMENTS, **_ALIGNMENT},
    "milk-users-both": {**_PROFILES, **_ENVIRONMENTS, **_ALIGNMENT},
    "kernel-profile": {"smoothing": (30.0, 100.0, 300.0), "smoothing_rank": (32, 64, 128)},
    "milk-no-cmam": {**_COMMON, **_ENVIRONMENTS},
    "milk-no-ceim": {**_COMMON, **_ALIGNMENT},
}
"""By family; one that isn't listed tunes the learning rate and the regulariser alone."""


def space_of(family: str) -> Space:
    """What is searched for a family of models."""
    return SPACES.get(family, _COMMON)


def design(family: str, trials: int, seed: int = 0) -> list[Config]:
    """Configurations to try, `trials` of them or all that there are.

    A grid that is small enough is tried whole. Otherwise a random Latin design: each setting goes through its values
    equally often, in an order of its own, so that few trials still cover every value.
    """
    space = space_of(family)
    if prod(len(values) for values in space.values()) <= trials:
        return [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    found: list[Config] = []
    rng = generator(seed, f"tuning {family}")
    while len(found) < trials:
        found += [config for config in _latin(space, trials, rng) if config not in found]
    return found[:trials]


def _latin(space: Space, trials: int, rng: np.random.Generator) -> list[Config]:
    columns = {}
    for name, values in space.items():
        places = np.arange(trials) % len(values)
        columns[name] = [values[place] for place in rng.permutation(places)]
    return [{name: column[row] for name, column in columns.items()} for row in range(trials)]
