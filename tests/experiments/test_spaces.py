"""Designs of the search: as many trials for everybody, each value as often as any other, the same every time."""

from __future__ import annotations

from collections import Counter

import pytest

from milk_np.experiments.catalogue import experiments
from milk_np.experiments.spaces import Config, design
from milk_np.models.registry import make_settings

FAMILIES = {v.family: make_settings(v.of_family()) for e in experiments().values() for v in e.variants if v.family}


def a_design(family: str, trials: int) -> list[Config]:
    return design(family, FAMILIES[family].tuning_space(), trials)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("trials", [1, 3, 8])
def test_every_family_gets_the_same_number_of_distinct_trials(family: str, trials: int) -> None:
    found = a_design(family, trials)
    assert len(found) == trials
    assert all(config not in found[:k] for k, config in enumerate(found))
    assert found == a_design(family, trials)
    for config in found:
        FAMILIES[family].replace(**config)
        assert all(config[name] in values for name, values in FAMILIES[family].tuning_space().items())


def test_a_small_grid_is_tried_whole() -> None:
    assert len(a_design("duif", 100)) == len(a_design("duif", 8)) == 8


def test_a_latin_design_uses_every_value_equally_often() -> None:
    found = a_design("milk", 8)
    for name, values in FAMILIES["milk"].tuning_space().items():
        counts = Counter(config[name] for config in found)
        assert set(counts.values()) == {8 // len(values)}
