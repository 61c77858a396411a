"""What the field would ask first: a system is far above chance on new items, half of which miss a modality."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case, cases

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.baselines.random_order import RandomOrder
from milk_np.models.registry import model_class

ERRORS = 5.0
CASES = [case for case in cases() if case.accurate]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return apply_protocol(make_synthetic(400, 400, 12000, {"image": 24, "text": 16}, new_items=0.3, seed=4), "FTMT")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_above_chance_by_five_standard_errors(case: Case, ds: Dataset) -> None:
    model = model_class(case.name)(**{**case.options, **case.accurate})  # type: ignore[call-arg]
    found, chance = (evaluate(each.fit(ds), ds).per_user["ndcg@20"] for each in (model, RandomOrder()))
    gain = found - chance
    assert gain.mean() > ERRORS * gain.std(ddof=1) / np.sqrt(len(gain))
