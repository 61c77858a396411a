"""Exposure against counting in Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.data import make_mask, make_synthetic
from milk_np.data.arrays import Split
from milk_np.evaluation.evaluate import evaluate
from milk_np.evaluation.exposure import Exposure, exposure_lines, group_name


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 30), st.integers(1, 12), st.integers(1, 9), st.integers(1, 5))
def test_shares_are_counts(seed: int, N: int, n: int, K: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    n_missing = rng.integers(0, groups, N)
    relevant = rng.integers(0, N, 17).astype(np.int32)
    lists = rng.integers(-1, N, (n, K)).astype(np.int32)
    topk = tuple(sorted({1, (K + 1) // 2, K}))
    exposure = Exposure(n_missing, relevant, topk)
    for part in np.array_split(lists, 3):
        exposure.add(part)
    found = exposure.shares()
    assert list(found) == [group_name(group) for group in sorted(set(n_missing.tolist()))]
    for group in set(n_missing.tolist()):
        shares = found[group_name(group)]
        assert shares["items"] == (n_missing == group).mean()
        assert shares["pairs"] == (n_missing[relevant] == group).mean()
        for k in topk:
            listed = [n_missing[i] for i in lists[:, :k].ravel() if i >= 0]
            assert shares[f"top{k}"] == sum(g == group for g in listed) / max(len(listed), 1)


@pytest.mark.parametrize("n_missing", [(0, 0, 1), (0, 0, 0)])
def test_an_evaluation_says_them_where_items_differ(n_missing: tuple[int, ...]) -> None:
    ds = make_synthetic(60, 90, 800, {"image": 5, "text": 4}, new_items=0.4, seed=1)
    if any(n_missing):
        ds = ds.with_available(make_mask(ds.item_split, 2, "FTMT", seed=1))
    rng = np.random.default_rng(0)
    found = evaluate(
        (rng.standard_normal((60, 3), np.float32), rng.standard_normal((90, 3), np.float32)), ds, topk=(5, 10)
    )
    assert found.to_dict()["exposure"] == found.exposure
    missing = 2 - ds.available[ds.interactions(Split.TEST)[1]].sum(axis=1)
    assert found.exposure["complete"]["pairs"] == (missing == 0).mean()
    for name in ("items", "pairs", "top5", "top10"):
        assert sum(each[name] for each in found.exposure.values()) == pytest.approx(1)
    assert ("share of the" in found.table()) == (len(found.exposure) > 1) == any(n_missing)


def test_the_table() -> None:
    shares = {"complete": {"items": 0.5, "pairs": 0.25, "top20": 1.0}, "one missing": {"items": 0.5, "pairs": 0.75}}
    shares["one missing"]["top20"] = 0.0
    assert list(exposure_lines(shares))[1:] == [
        "share of the          items     pairs    top 20",
        "complete             0.5000    0.2500    1.0000",
        "one missing          0.5000    0.7500    0.0000",
    ]
