"""Content kNN against its definition, one pair at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from closed_form_cases import dense, small

from milk_np.models.baselines.most_similar import MostSimilar
from milk_np.models.closed_form.knn import ContentKnn
from milk_np.models.closed_form.ridge_direct import RidgeDirect


@pytest.mark.parametrize("weights", ["sum", "plain"])
@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_scores_are_sums_of_powers_of_cosines(weights: str, power: float) -> None:
    ds = small("MTMT")
    model = ContentKnn(neighbours=5, knn_power=power, knn_weights=weights, content="raw-centred").fit(ds)
    x = RidgeDirect(content="raw-centred").fit(ds).item_factors().astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    scores, R = model.user_factors() @ model.item_factors().T, dense(ds)
    known = np.flatnonzero(R.any(axis=1))
    for i in ds.new_items():
        cosines = x[ds.train_items] @ x[i]
        near = np.argsort(-cosines, kind="stable")[:5]
        w = np.zeros(len(cosines))
        w[near] = np.maximum(cosines[near], 0) ** power
        if weights == "sum":
            w /= w.sum()
        np.testing.assert_allclose(scores[known, i], R[known] @ w, atol=1e-4)


def test_without_missing_modalities_the_published_default_is_a_case_of_it() -> None:
    ds = small("FTFT")
    ours = ContentKnn(neighbours=20, knn_power=1.0, knn_weights="plain", content="raw-centred").fit(ds)
    published = MostSimilar().fit(ds)
    np.testing.assert_allclose(2 * ours.item_factors(), published.item_factors(), atol=1e-4)


def test_an_item_unlike_all_others_has_no_weights_and_no_nan() -> None:
    ds = small("FTFT")
    features = {name: np.abs(rows) for name, rows in ds.features.items()}
    for rows in features.values():
        rows[ds.new_items()[0]] *= -1
    model = ContentKnn(content="unit").fit(replace(ds, features=features))
    assert not model.item_factors()[ds.new_items()[0]].any()
    assert np.isfinite(model.item_factors()).all()
