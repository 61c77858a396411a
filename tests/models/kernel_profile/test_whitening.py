"""Whitening of content against its formula; what it leaves as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np.models.kernel_profile.limits import TRIED
from milk_np.models.kernel_profile.whitening import FLOOR, candidate_axes, whitened, whitening_axes


def axes_of(rows: np.ndarray, exponent: float) -> np.ndarray:
    return whitening_axes(rows, (exponent,))[exponent]


def content(n: int, D: int, seed: int = 0) -> np.ndarray:
    """Rows of unit length, which differ ten times as much along some directions as along others."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, D)) * np.geomspace(10, 1, D) @ np.linalg.qr(rng.standard_normal((D, D)))[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def written_out(rows: np.ndarray, landmarks: np.ndarray, exponent: float) -> np.ndarray:
    """Rows times (S + FLOOR I)^(-exponent / 2) within the span of the landmarks, S their second moments.

    A number is added to each, which no landmark has: what lies outside of the span, times the least axis's factor.
    """
    x, wide = landmarks[landmarks.any(axis=1)].astype(np.float64), rows.astype(np.float64)
    variance, axes = np.linalg.eigh(x.T @ x)
    first = max(0, len(variance) - min(x.shape))
    variance, axes = variance[first:], axes[:, first:]
    factors = (np.maximum(variance, 0) / variance.mean() + FLOOR) ** (-exponent / 2)
    rest = np.linalg.norm(wide - wide @ axes @ axes.T, axis=1, keepdims=True)
    out = np.hstack([wide @ axes * factors @ axes.T, rest * factors.max()])
    lengths = np.linalg.norm(out, axis=1, keepdims=True)
    return np.divide(out, lengths, out=np.zeros_like(out), where=lengths > 0)[:, :-1]


@given(
    n=st.integers(2, 30), D=st.integers(1, 20), exponent=st.floats(0.05, 1), seed=st.integers(0, 50), gaps=st.booleans()
)
def test_cosines_are_the_formula(n: int, D: int, exponent: float, seed: int, gaps: bool) -> None:
    landmarks, rows = content(n, D, seed), content(7, D, seed + 1)
    rows[3] = 0
    if gaps:
        landmarks[n // 2] = 0
    axes = axes_of(landmarks, exponent)
    found, expected = whitened(rows, axes), written_out(rows, landmarks, exponent)
    assert axes.shape == (D, min(D, np.count_nonzero(landmarks.any(axis=1))))
    assert found.dtype == axes.dtype == np.float32
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)
    assert not found[3].any()


def test_exponent_one_makes_the_axes_alike_and_half_is_between() -> None:
    rows = content(4000, 6)

    def spread(exponent: float) -> float:
        s = np.linalg.svd(whitened(rows, axes_of(rows, exponent)), compute_uv=False)
        return float(s[0] / s[-1])

    plain, half, whole = (spread(exponent) for exponent in (0.0, 0.5, 1.0))
    assert plain > 5
    assert plain / 1.5 > half > 1.5 * whole


def test_small_exponents_change_little_where_landmarks_are_few() -> None:
    landmarks, rows = content(10, 40), content(20, 40, seed=1)
    axes = axes_of(landmarks, 1e-6)
    found = whitened(rows, axes) @ whitened(landmarks, axes).T
    np.testing.assert_allclose(found, rows @ landmarks.T, atol=1e-5)


def test_candidates_are_those_given_or_all_that_are_tried() -> None:
    modalities = [content(9, 4), content(9, 3)]
    assert [list(each) for each in candidate_axes(modalities, ())] == [list(TRIED)] * 2
    assert [list(each) for each in candidate_axes(modalities, (0.3,))] == [[0.3]] * 2
    assert [list(each) for each in candidate_axes(modalities, (0.3, 1.0))] == [[0.3], [1.0]]
    for rows, each in zip(modalities, candidate_axes(modalities, ()), strict=True):
        for exponent in TRIED:
            np.testing.assert_array_equal(each[exponent], axes_of(rows, exponent))


def test_exponent_zero_leaves_the_very_rows() -> None:
    rows = content(5, 4)
    axes = axes_of(rows, 0.0)
    assert axes.shape == (4, 0)
    assert whitened(rows, axes) is rows


def test_a_modality_that_no_landmark_owns_stays_as_it_is() -> None:
    rows = content(5, 4)
    assert whitened(rows, axes_of(np.zeros_like(rows), 0.5)) is rows


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_length_of_all_rows_does_not_matter(scale: float) -> None:
    rows = content(50, 5)
    np.testing.assert_allclose(
        whitened(rows, axes_of(np.float32(scale) * rows, 0.5)),
        whitened(rows, axes_of(rows, 0.5)),
        atol=1e-4,
    )
