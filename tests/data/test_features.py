"""Virtual feature tables against arrays that are imputed and normalised the slow way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_cases import datasets, small
from hypothesis import given
from hypothesis import strategies as st

from milk_np.data import Dataset, FeatureTable, feature_tables, make_imputer
from milk_np.data import rows as rows_module
from milk_np.data.rows import (
    constant_rows,
    inverse_norms,
    mean_row,
    non_finite_rows,
    row_blocks,
    row_norms,
    unit_rows,
)


@given(st.integers(0, 20_000), st.integers(1, 3_000_000))
def test_blocks_cover_all_rows_once(n: int, width: int) -> None:
    n = min(n, 200) if width > 10_000 else n
    blocks = list(row_blocks(n, width))
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(n))
    assert all(block.stop - block.start <= 4096 for block in blocks)


def test_norms_of_half_precision_do_not_overflow() -> None:
    rows = np.full((3, 1000), 60_000, dtype=np.float16)
    assert row_norms(rows) == pytest.approx([float(rows[0, 0]) * np.sqrt(1000)] * 3)
    assert unit_rows(rows) == pytest.approx(1 / np.sqrt(1000))
    assert (
        mean_row(np.full((9000, 2), 60_000, dtype=np.float16), np.ones(9000, dtype=bool)).tolist()
        == [float(rows[0, 0])] * 2
    )


def test_rows_too_short_to_have_a_direction_are_zero() -> None:
    rows = np.array([[0, 0], [1e-13, 0], [1e-8, 0], [3e38, 0]], dtype=np.float32)
    assert unit_rows(rows)[:, 0].tolist() == pytest.approx([0, 0, 1, 1])
    assert inverse_norms(row_norms(rows)).dtype == np.float32


def test_oddities_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_ELEMENTS", 6)
    rows = np.arange(30, dtype=np.float32).reshape(10, 3)
    rows[4] = 0
    rows[5] = 7
    rows[8, 1], rows[9, 2] = np.nan, -np.inf
    assert non_finite_rows(rows).tolist() == [8, 9]
    assert constant_rows(rows, np.ones(10, bool)) == (1, 1)
    assert constant_rows(rows, np.arange(10) != 4) == (0, 1)
    assert constant_rows(rows, np.arange(10) != 5) == (1, 0)
    assert constant_rows(np.ones((4, 1), dtype=np.float32), np.ones(4, bool)) == (0, 0)


def slow_rows(ds: Dataset, m: int) -> np.ndarray:
    """Mean-filled, normalised rows in float64, row by row."""
    raw = ds.features[ds.modalities[m]].astype(np.float64)
    owners = [i for i in range(ds.n_items) if ds.item_split[i] == 0 and ds.available[i, m]]
    mean = sum(raw[i] for i in owners) / len(owners)
    filled = [raw[i] if ds.available[i, m] else mean for i in range(ds.n_items)]
    return np.array([row / np.linalg.norm(row) if np.linalg.norm(row) > 1e-12 else 0 * row for row in filled])


@given(datasets())
def test_tables_equal_filled_and_normalised_rows(ds: Dataset) -> None:
    tables = feature_tables(ds, make_imputer("mean").fit(ds))
    for m, table in enumerate(tables):
        expected = slow_rows(ds, m)
        assert table.rows() == pytest.approx(expected, abs=2e-5)
        assert table.raw is ds.features[ds.modalities[m]]
        assert table.owned.tolist() == ds.available[:, m].tolist()
        assert (table.source.dtype, table.scale.dtype, table.fill.dtype) == (np.int32, np.float32, np.float32)
        ids = np.array([3, 0, 3])
        assert table.rows(ids) == pytest.approx(expected[ids], abs=2e-5)
        assert table.rows(ids).dtype == np.float32


def test_tables_of_a_memory_map_read_from_it(tmp_path: Path) -> None:
    ds = Dataset.load(small(dtype=np.float16).save(tmp_path / "set"))
    table = feature_tables(ds, make_imputer("mean").fit(ds))[0]
    assert isinstance(table.raw, np.memmap)
    assert (table.width, table.n_items) == (4, 10)
    assert table.rows(np.array([], dtype=np.int32)).shape == (0, 4)


def test_no_fill_is_allowed_when_nothing_is_missing() -> None:
    raw = np.eye(3, dtype=np.float32) * 2
    owned = np.ones(3, dtype=bool)
    table = FeatureTable.build(raw, owned, np.empty((0, 3), np.float32), np.arange(3, dtype=np.int32))
    assert table.rows().tolist() == np.eye(3).tolist()


def test_zero_rows_stay_zero() -> None:
    ds = small()
    ds.features["m0"][0] = 0
    table = feature_tables(ds, make_imputer("zero").fit(ds))[0]
    assert table.scale[0] == 0
    assert not table.rows(np.array([0, 1])).any()


def test_a_table_of_complete_rows() -> None:
    table = FeatureTable.complete(np.array([[3, 4], [0, 0]], dtype=np.float32))
    assert table.rows() == pytest.approx(np.array([[0.6, 0.8], [0, 0]]))
    assert table.owned.all()
