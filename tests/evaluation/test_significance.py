"""Paired tests against SciPy, Holm's correction against a worked example, and what has no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from milk_np.evaluation.significance import holm, mean_and_deviation, paired


@given(st.integers(0, 2**32 - 1), st.integers(2, 300))
def test_paired_is_students_test(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    other = rng.random(n)
    this = other + rng.normal(0.02, 0.3, n)
    found = paired(this, other)
    assert found.p == pytest.approx(stats.ttest_rel(this, other).pvalue)
    assert found.difference == pytest.approx(this.mean() - other.mean())
    assert found.effect == pytest.approx(100 * (this.mean() / other.mean() - 1))
    assert paired(other, this).p == pytest.approx(found.p)


def test_what_has_no_difference_or_no_pairs() -> None:
    same = np.array([0.2, 0.4])
    assert paired(same, same).p == 1
    assert paired(same + 0.1, same).p < 1e-6
    assert math.isnan(paired(same[:1], same[:1] + 1).p)
    assert math.isnan(paired(np.zeros(0), np.zeros(0)).difference)
    assert math.isnan(paired(same, np.zeros(2)).effect)
    with pytest.raises(ValueError, match=r"one length, got shapes \(2,\) and \(1,\)"):
        paired(same, same[:1])


def test_holm_by_hand() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "none": math.nan})
    assert {k: round(v, 10) for k, v in adjusted.items() if k != "none"} == {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    assert math.isnan(adjusted["none"])


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p: dict[str, float]) -> None:
    adjusted = holm(p)
    assert all(p[name] <= adjusted[name] <= 1 for name in p)
    order = sorted(p, key=lambda name: p[name])
    assert [adjusted[name] for name in order] == sorted(adjusted.values())


def test_deviation_of_one_value_is_unknown() -> None:
    assert mean_and_deviation([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert math.isnan(mean_and_deviation([1.0])[1])
