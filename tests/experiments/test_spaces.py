"""Designs of the search: as many trials for everybody, each value as often as any other, the same every time."""

from __future__ import annotations

from collections import Counter

import pytest

from milk_np.experiments.catalogue import EXPERIMENTS
from milk_np.experiments.spaces import design, space_of
from milk_np.settings.shared import Settings

FAMILIES = sorted({v.family for e in EXPERIMENTS.values() for v in e.variants if v.family})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trials", [1, 3, 8])
def test_every_family_gets_the_same_number_of_distinct_trials(family: str, trials: int) -> None:
    found = design(family, trials)
    assert len(found) == trials
    assert all(config not in found[:k] for k, config in enumerate(found))
    assert found == design(family, trials)
    for config in found:
        Settings(**config)
        assert all(config[name] in values for name, values in space_of(family).items())


def test_a_small_grid_is_tried_whole() -> None:
    assert len(design("duif", 100)) == len(design("duif", 8)) == 8


def test_a_latin_design_uses_every_value_equally_often() -> None:
    found = design("milk", 8)
    for name, values in space_of("milk").items():
        counts = Counter(config[name] for config in found)
        assert set(counts.values()) == {8 // len(values)}
