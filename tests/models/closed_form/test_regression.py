"""The ridge regression against its objective and against copies that are written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closed_form_cases import copies, dense, small
from hypothesis import given
from hypothesis import strategies as st

from milk_np.models.closed_form.regression import ContentRidge, shares
from milk_np.models.closed_form.ridge_direct import RidgeDirect
from milk_np.models.closed_form.rows import content_rows
from milk_np.models.closed_form.svd_ridge import SvdRidge, singular_vectors


def make_case(seed: int, M: int, n: int, K: int, weighted: bool) -> tuple[Any, tuple[int, ...], Any, Any]:
    rng = np.random.default_rng(seed)
    widths = tuple(rng.integers(1, 5, M).tolist())
    items = rng.uniform(0.2, 3, n) if weighted else None
    return rng.standard_normal((n, sum(widths))), widths, rng.standard_normal((n, K)), items


cases = st.builds(
    make_case, seed=st.integers(0, 2**32 - 1), M=st.integers(1, 4), n=st.sampled_from([1, 3, 20]),
    K=st.sampled_from([1, 4]), weighted=st.booleans(),
)  # fmt: skip
weights = st.sampled_from([0.0, 0.3, 1.0, 5.0])


@given(case=cases, weight=weights, penalty=st.sampled_from([0.01, 1.0, 100.0]))
def test_is_the_minimum_with_copies_written_out(case: Any, weight: float, penalty: float) -> None:
    """The gradient of the objective is zero, by central differences along random directions in float64."""
    X, widths, T, items = case
    rows, each = copies(X, widths, weight)
    again = len(rows) // len(X)
    each, targets = each * np.tile(np.ones(len(X)) if items is None else items, again), np.tile(T, (again, 1))

    def objective(W: Any) -> float:
        return float((each[:, None] * (targets - rows @ W) ** 2).sum() + penalty * (W**2).sum())

    ridge = ContentRidge(X, widths, penalty, weight, items)
    W, rng = ridge.solve(T), np.random.default_rng(0)
    for _ in range(3):
        step = 1e-3 * rng.standard_normal(W.shape)
        assert abs(objective(W + step) - objective(W - step)) < 1e-9 * (1 + objective(W))
    np.testing.assert_allclose(ridge.sums() @ T, W, atol=1e-9 * np.abs(W).max())


@pytest.mark.parametrize("M", [1, 2, 3, 4])
@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_shares_are_those_of_the_copies(M: int, weight: float) -> None:
    rows, each = copies(np.ones((1, M)), (1,) * M, weight)
    same, cross = shares(M, weight)
    np.testing.assert_allclose(each.sum(), 1)
    np.testing.assert_allclose((each * rows[:, 0]).sum(), same)
    if M > 1:
        np.testing.assert_allclose((each * rows[:, 0] * rows[:, 1]).sum(), cross, atol=1e-15)


def test_ridge_scores_are_regressions_of_each_user(  # the whole model against the plain formula
) -> None:
    ds = small()
    model = RidgeDirect(content_ridge=0.7).fit(ds)
    x = model.item_factors().astype(np.float64)
    rows, each = copies(x[ds.train_items], (6, 4), 1.0)
    right = (each[:, None] * rows).T @ np.tile(dense(ds).T, (3, 1))
    W = np.linalg.solve((each[:, None] * rows).T @ rows + 0.7 * np.eye(10), right)
    scores = model.user_factors() @ model.item_factors().T
    known = np.flatnonzero(dense(ds).any(axis=1))
    np.testing.assert_allclose(scores[known], (x @ W).T[known], atol=1e-4)


def test_svd_scores_are_those_of_the_regression_on_singular_vectors() -> None:
    ds = small()
    model = SvdRidge(dim=5, content_ridge=0.7, drop_weight=0.5).fit(ds)
    R, x = dense(ds), RidgeDirect().fit(ds).item_factors().astype(np.float64)
    V = np.linalg.svd(R)[2][:5].T
    rows, each = copies(x[ds.train_items], (6, 4), 0.5)
    W = np.linalg.solve(
        (each[:, None] * rows).T @ rows + 0.7 * np.eye(10), (each[:, None] * rows).T @ np.tile(V, (3, 1))
    )
    scores = model.user_factors() @ model.item_factors().T
    known = np.flatnonzero(R.any(axis=1))
    np.testing.assert_allclose(scores[known], (R @ V @ (x @ W).T)[known], atol=1e-4)


def test_many_items_get_the_singular_vectors_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import sparse

    R = sparse.csr_array((np.random.default_rng(0).random((50, 30)) < 0.2).astype(np.float64))
    dense_ = singular_vectors(R, 4, 0)
    monkeypatch.setattr("milk_np.training.pretraining.factors.DENSE", 3)
    found = singular_vectors(R, 4, 0)
    np.testing.assert_array_equal(found, singular_vectors(R, 4, 0))
    np.testing.assert_allclose(np.abs(found.T @ dense_), np.eye(4), atol=1e-8)


@pytest.mark.parametrize("content", ["unit", "centred", "raw-centred"])
def test_rows_are_centred_as_said(content: str) -> None:
    rng = np.random.default_rng(0)
    raw, centre = rng.standard_normal((5, 3)).astype(np.float32) + 2, np.full(3, 2, np.float32)
    raw[1] = centre  # imputed by the mean
    rows = content_rows({"a": raw}, [centre], content)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    expected = {"unit": unit, "centred": unit - unit[1]}.get(content)
    if expected is None:
        far = np.linalg.norm(raw - 2, axis=1, keepdims=True)
        expected = (raw - 2) / np.where(far > 0, far, 1)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert (content == "unit") == bool(rows[1].any())
