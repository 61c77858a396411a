"""Imputers against slow loops; items outside the data; state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data_cases import datasets, small, small_arrays
from hypothesis import given
from hypothesis import strategies as st

from milk_np.data import (
    Dataset,
    apply_protocol,
    feature_tables,
    imputer_class,
    make_imputer,
    make_synthetic,
)
from milk_np.data.imputers import nearest as impute_nearest
from milk_np.data.imputers.map import RIDGE
from milk_np.errors import DataError, ModalityError, SettingsError

NAMES = ("zero", "mean", "map", "nearest")


def unit(row: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(row.astype(np.float64))
    return row.astype(np.float64) / norm if norm > 1e-12 else 0 * row.astype(np.float64)


def slow(name: str, ds: Dataset, item: int, m: int) -> np.ndarray:
    """The stand-in of one item in modality m, from its own loop over training items."""
    raw = [ds.features[modality] for modality in ds.modalities]
    train = [i for i in range(ds.n_items) if ds.item_split[i] == 0 and ds.available[i, m]]
    mean = np.mean([raw[m][i].astype(np.float64) for i in train], axis=0)
    if name == "zero":
        return 0 * mean
    if name == "mean":
        return mean
    estimates = []
    for p in range(ds.n_modalities):
        if p == m or not ds.available[item, p]:
            continue
        both = [i for i in train if ds.available[i, p]]
        estimate = slow_map if name == "map" else slow_nearest
        fallback = np.mean([unit(raw[m][i]) for i in train], axis=0) if name == "map" else None
        found = estimate(raw[p], raw[m], both, item) if both else fallback
        estimates += [] if found is None else [found]
    return np.mean(estimates, axis=0) if estimates else mean


def slow_map(have: np.ndarray, want: np.ndarray, both: list[int], item: int) -> np.ndarray:
    x = np.array([unit(have[i]) for i in both])
    y = np.array([unit(want[i]) for i in both])
    centred = x - x.mean(0)
    penalty = max(RIDGE * (centred**2).sum() / x.shape[1], 1e-9 * len(both))
    slope = np.linalg.inv(centred.T @ centred + penalty * np.eye(x.shape[1])) @ centred.T @ (y - y.mean(0))
    return y.mean(0) + (unit(have[item]) - x.mean(0)) @ slope


def slow_nearest(have: np.ndarray, want: np.ndarray, both: list[int], item: int) -> np.ndarray:
    cosine = {i: np.float32(unit(have[i]) @ unit(have[item])) for i in both}
    near = sorted(both, key=lambda i: (-cosine[i], i))[: impute_nearest.NEIGHBOURS]
    return np.mean([want[i].astype(np.float64) for i in near], axis=0)


@pytest.mark.parametrize("name", NAMES)
@given(ds=datasets(), data=st.data())
def test_stand_ins_equal_slow_loops(name: str, ds: Dataset, data: st.DataObject) -> None:
    if ds.n_modalities > 1:
        rows = st.lists(st.booleans(), min_size=ds.n_modalities, max_size=ds.n_modalities).filter(any)
        mask = np.array(data.draw(st.lists(rows, min_size=ds.n_items, max_size=ds.n_items)))
        for m in range(ds.n_modalities):  # a training item owns each modality, perhaps none owns two
            mask[m % len(ds.train_items), m] = True
        ds = ds.with_available(mask)
    imputer = make_imputer(name).fit(ds)
    for m in range(ds.n_modalities):
        fill, source = imputer.fill(ds, m)
        assert (fill.dtype, source.dtype) == (np.float32, np.int32)
        assert fill.shape[1] == imputer.widths[ds.modalities[m]]
        for item in range(ds.n_items):
            if ds.available[item, m]:
                assert source[item] == item
            else:
                assert fill[~source[item]] == pytest.approx(slow(name, ds, item, m), abs=2e-3, rel=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_new_items_leave_no_trace(name: str) -> None:
    """Whatever the new items look like, the stand-ins of training items stay the same."""
    ds = small()
    other = small_arrays()
    other["features"] = {key: rows.copy() for key, rows in other["features"].items()}
    for rows in other["features"].values():
        rows[6:] = 100
    first = make_imputer(name).fit(ds).state()
    second = make_imputer(name).fit(Dataset(**other)).state()
    for key, array in first.items():
        assert np.array_equal(array, second[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_missing_are_never_read(name: str) -> None:
    ds = small()
    made = small_arrays()
    for m, key in enumerate(made["modalities"]):
        made["features"][key][~made["available"][:, m]] = 1e4
    spoilt = Dataset(**made)
    one, other = (make_imputer(name).fit(data) for data in (ds, spoilt))
    for m in range(2):
        assert np.array_equal(one.fill(ds, m)[0], other.fill(spoilt, m)[0])


@pytest.mark.parametrize("name", NAMES)
def test_items_outside_the_data_are_completed_as_those_inside(name: str) -> None:
    ds = small(widths=(4, 3, 2), dtype=np.float16)
    imputer = make_imputer(name).fit(ds)
    restored = imputer_class(name).from_state(imputer.state())
    rows = {key: value[6:] for key, value in ds.features.items()}
    done = restored.complete(rows, ds.available[6:])
    for m, key in enumerate(ds.modalities):
        fill, source = imputer.fill(ds, m)
        for n, s in enumerate(source[6:]):
            expected = ds.features[key][s] if s >= 0 else fill[~s]
            assert done[key][n] == pytest.approx(expected.astype(np.float32), rel=1e-5, abs=1e-5)
        assert done[key].dtype == np.float32


def test_a_modality_that_no_new_item_owns_may_be_left_out() -> None:
    ds = small()
    imputer = make_imputer("mean").fit(ds)
    done = imputer.complete({"m0": np.ones((2, 4), dtype=np.float32), "m1": None})
    assert done["m1"].tolist() == [imputer.fitted["mean_m1"].tolist()] * 2
    assert imputer.complete({"m0": np.ones((2, 4))})["m0"].tolist() == [[1] * 4] * 2


@pytest.mark.parametrize(
    ("rows", "available", "message"),
    [
        ({"sound": np.ones((2, 4))}, None, "expected modalities among m0, m1, got sound"),
        ({}, None, "expected at least one of m0, m1, got none"),
        ({"m0": None}, None, "expected at least one of m0, m1, got none"),
        ({"m0": np.ones((2, 5))}, None, r"feature_m0: expected shape \(2, 4\), got \(2, 5\)"),
        (
            {"m0": np.ones((2, 4)), "m1": np.ones((3, 3))},
            None,
            r"feature_m1: expected shape \(2, 3\), got \(3, 3\)",
        ),
        ({"m0": np.ones((2, 4))}, np.ones((2, 2), bool), "feature_m1: expected shape .* got none"),
        ({"m0": np.ones((2, 4))}, np.ones((3, 2), bool), r"available: expected shape \(2, 2\)"),
        (
            {"m0": np.ones((2, 4))},
            np.array([[1, 0], [0, 0]], bool),
            r"1 items miss all of m0, m1 \(first 1\)",
        ),
        ({"m0": np.full((2, 4), np.nan)}, None, "available: 2 items miss all of m0, m1"),
        ({"m0": np.array([[np.nan] * 4, [np.nan, 1, 1, 1]])}, np.ones((2, 2), bool)[:, :1] * [1, 0], "2 rows hold NaN"),
        ({"m0": np.ones(4)}, None, "feature_m0: expected a 2-D"),
    ],
)
def test_unfit_new_items_are_refused(rows: dict[str, Any], available: Any, message: str) -> None:
    with pytest.raises(ModalityError, match=message):
        make_imputer("mean").fit(small()).complete(rows, available)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_nan_is_a_missing_one(name: str) -> None:
    """The rule of raw data and of files of new items."""
    imputer = make_imputer(name).fit(small(n_items=20, seed=3))
    rows = {"m0": np.ones((3, 4), np.float32), "m1": np.ones((3, 3), np.float32)}
    rows["m0"][1] = np.nan
    told = imputer.complete(rows, np.array([[1, 1], [0, 1], [1, 1]], bool))
    found = imputer.complete(rows)
    for modality in told:
        assert np.array_equal(found[modality], told[modality])


def test_nan_in_a_missing_row_of_a_new_item_is_fine() -> None:
    rows = {"m0": np.ones((2, 4)), "m1": np.array([[1, 2, 3], [np.nan] * 3])}
    done = make_imputer("mean").fit(small()).complete(rows, np.array([[True, True], [True, False]]))
    assert np.isfinite(done["m1"]).all()


@pytest.mark.parametrize("name", ["mean", "map", "nearest"])
def test_a_modality_that_no_training_item_owns_is_refused(name: str) -> None:
    ds = small()
    mask = ds.available.copy()
    mask[:6] = [True, False]
    with pytest.raises(ModalityError, match="m1: no training item has this modality"):
        make_imputer(name).fit(ds.with_available(mask))


@pytest.mark.parametrize("name", NAMES)
def test_state_is_plain_arrays_and_complete(name: str) -> None:
    state = make_imputer(name).fit(small()).state()
    assert all(isinstance(array, np.ndarray) and array.dtype.kind != "O" for array in state.values())
    for key in state:
        with pytest.raises(DataError, match=f"state of the {name} imputer: expected array .*{key}"):
            imputer_class(name).from_state({k: v for k, v in state.items() if k != key})


def test_unknown_names() -> None:
    with pytest.raises(SettingsError, match="impute: expected one of zero, mean, map, nearest, got 'knn'"):
        make_imputer("knn")


def test_equal_scores_take_the_lower_id_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.ones((50, 4), dtype=np.float32)
    query = impute_nearest.unit_rows(rows[:2])
    near = [impute_nearest.nearest(query, rows, np.arange(5, 50), 3).tolist()]
    monkeypatch.setattr("milk_np.data.rows.BLOCK_ELEMENTS", 12)
    near.append(impute_nearest.nearest(query, rows, np.arange(5, 50), 3).tolist())
    assert near == [[[5, 6, 7]] * 2] * 2


def test_equal_rows_take_the_lower_id_where_products_are_rounded() -> None:
    """Sixty copies of one row: BLAS gives those at the edge of a product other scores than the rest."""
    rng = np.random.default_rng(0)
    rows = np.tile(rng.standard_normal((1, 37), dtype=np.float32), (60, 1))
    query = impute_nearest.unit_rows(rng.standard_normal((7, 37), dtype=np.float32))
    near = impute_nearest.nearest(query, rows, np.arange(2, 60), 4)
    assert near.tolist() == [[2, 3, 4, 5]] * 7
    assert impute_nearest.nearest(query[:1], rows, np.arange(2, 60), 4).tolist() == near[:1].tolist()


def test_learned_stand_ins_are_closer_than_the_mean() -> None:
    """On planted data, where modalities share content."""
    whole = make_synthetic(200, 400, 4000, seed=1)
    ds = apply_protocol(whole, "FTMT")
    error = {}
    for name in NAMES[1:]:
        tables = feature_tables(ds, make_imputer(name).fit(ds))
        truth = feature_tables(whole, make_imputer("zero").fit(whole))
        cosine = [
            float((t.rows(gone) * w.rows(gone)).sum(axis=1).mean())
            for t, w in zip(tables, truth, strict=True)
            for gone in [np.flatnonzero(~t.owned)]
        ]
        error[name] = 1 - np.mean(cosine)
    assert error["map"] < error["mean"]
    assert error["nearest"] < error["mean"]
