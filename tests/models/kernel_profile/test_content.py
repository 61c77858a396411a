"""Content rows and their similarities against the formulas."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.data import rows as data_rows
from milk_np.data.dataset import Dataset
from milk_np.models.kernel_profile.content import content, content_of, item_blocks, similarities

WIDTHS = {"image": 5, "text": 3}


@pytest.fixture
def centres() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(D).astype(np.float32) for name, D in WIDTHS.items()}


@pytest.fixture
def owned() -> np.ndarray:
    return np.array([[1, 1], [1, 0], [0, 1], [1, 1], [0, 1], [1, 0]], np.bool_)


def features(kind: type = np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal((6, D)).astype(kind) for name, D in WIDTHS.items()}


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_rows_are_centred_and_of_unit_length(centres, owned, kind: type) -> None:
    found, given = content(centres, features(kind), owned), features(kind)
    for m, name in enumerate(WIDTHS):
        assert found[m].dtype == np.float32
        for row, raw, own in zip(found[m], given[name], owned[:, m], strict=True):
            centred = raw.astype(np.float64) - centres[name]
            np.testing.assert_allclose(row, centred / np.linalg.norm(centred) if own else 0, atol=1e-6)


@pytest.mark.parametrize("stored", [np.nan, np.inf, 1e30])
def test_a_missing_modality_is_a_row_of_zeros_whatever_is_stored(centres, owned, stored: float) -> None:
    given = features()
    for m, name in enumerate(WIDTHS):
        given[name][~owned[:, m]] = stored
    for found, expected in zip(content(centres, given, owned), content(centres, features(), owned), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_item_at_the_centre_is_a_row_of_zeros(centres) -> None:
    found = content(centres, {name: centre[None] for name, centre in centres.items()}, np.ones((1, 2), np.bool_))
    assert not any(rows.any() for rows in found)


def test_nobody_owns_a_modality_and_no_items(centres) -> None:
    found = content(centres, features(), np.tile([True, False], (6, 1)))
    assert found[0].any()
    assert not found[1].any()
    empty = {name: rows[:0] for name, rows in features().items()}
    assert [x.shape for x in content(centres, empty, np.zeros((0, 2), np.bool_))] == [(0, 5), (0, 3)]


def test_items_of_a_data_set(centres, owned) -> None:
    split = np.array([0, 0, 0, 0, 1, 2], np.uint8)
    ds = Dataset(np.arange(6), np.arange(6), split, split, tuple(WIDTHS), features(), owned)
    ids = np.array([5, 2, 2, 0])
    for some, every in zip(content_of(centres, ds, ids), content(centres, features(), owned), strict=True):
        np.testing.assert_array_equal(some, every[ids])


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_similarities_are_the_formula(centres, owned, scale: float) -> None:
    rows = content(centres, features(), owned)
    landmarks = [x[[3, 0, 1, 2]] for x in rows]
    found = similarities(rows, landmarks, scale)
    assert found.shape == (2, 6, 4)
    assert found.dtype == np.float32
    assert (found > 0).all()
    assert (found <= 1 + 1e-6).all()
    for m, (x, landmark) in enumerate(zip(rows, landmarks, strict=True)):
        expected = np.exp(scale * (x.astype(np.float64) @ landmark.astype(np.float64).T - 1))
        np.testing.assert_allclose(found[m], expected, rtol=1e-5)
    np.testing.assert_allclose(found[0, [3, 0, 1], [0, 1, 2]], 1, rtol=1e-5)
    np.testing.assert_allclose(found[0][~owned[:, 0]], np.exp(-scale), rtol=1e-6)
    np.testing.assert_allclose(found[1][:, 2], np.exp(-scale), rtol=1e-6)  # landmark 1 lacks the text


def test_similarities_leave_the_rows_as_they_are(centres, owned) -> None:
    rows = content(centres, features(), owned)
    before = [x.copy() for x in rows]
    similarities(rows, rows, 2.0)
    for x, old in zip(rows, before, strict=True):
        np.testing.assert_array_equal(x, old)


def test_blocks_cover_all_items_in_order(centres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_rows, "BLOCK_ELEMENTS", 20)
    blocks = item_blocks(11, centres)
    assert [len(range(11)[block]) for block in blocks] == [4, 4, 3]
    assert [i for block in blocks for i in range(11)[block]] == list(range(11))
    assert item_blocks(0, centres) == []
