"""Configurations to try when tuning: the same number of trials for every family of models."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from milk_np.rng import generator
from milk_np.settings.option import Value
from milk_np.settings.shared import Space

Config = dict[str, Value]


def design(family: str, space: Space, trials: int, seed: int = 0) -> list[Config]:
    """`trials` configurations of a family to try, or all in its `space` if there are fewer.

    A small enough grid is tried in full. Otherwise a Latin hypercube sample: each setting takes its values equally
    often, in an independent random order, so that few trials still cover every value.
    """
    if prod(len(values) for values in space.values()) <= trials:
        return [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    found: list[Config] = []
    rng = generator(seed, f"tuning {family}")
    while len(found) < trials:
        for config in _latin(space, trials, rng):
            found += [config] if config not in found else []
    return found[:trials]


def _latin(space: Space, trials: int, rng: np.random.Generator) -> list[Config]:
    columns = {}
    for name, values in space.items():
        places = np.arange(trials) % len(values)
        columns[name] = [values[place] for place in rng.permutation(places)]
    return [{name: column[row] for name, column in columns.items()} for row in range(trials)]
