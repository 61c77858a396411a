"""Tables are read by column; what is wrong with a file is said with its name and line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_cases import PAIRS, write_table

from milk_np.data.importers.coded import as_ids
from milk_np.data.importers.columns import read_columns
from milk_np.data.importers.log import Columns, read_log
from milk_np.errors import DataError, MissingExtraError


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "log.parquet"
    path.write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match=r"log\.parquet: can't be read as Parquet"):
        read_log(path, Columns())
    parquet.write_table(arrow.table({"user": [1, None], "item": [0.5, 1.0], "sku": [1, 2]}), path)
    with pytest.raises(DataError, match="column 'user' is empty in row 2"):
        read_log(path, Columns(item="sku"))
    with pytest.raises(DataError, match="expected integers or strings in column 'item', got double"):
        read_log(path, Columns(user="sku"))
    with pytest.raises(DataError, match="expected a column 'uid', got user, item, sku"):
        read_log(path, Columns(user="uid"))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "log.parquet").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'milk-np\[parquet\]'"):
        read_log(tmp_path / "log.parquet", Columns())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a column 'user' in the header, got no header"),
        ("uid;item\n1;2\n", "expected a column 'user' in the header, got uid, item .separator ';'.*--separator"),
        ("user,item\n", "expected interactions below the header, got none"),
        ("user,item\n1,2\n3\n4,5\n", "line 3 has 1 column, the header has 2"),
        ("user,item\n1,2\n3,\n", "line 3: column 'item' is empty"),
    ],
)
def test_unfit_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_columns(path, ["user", "item"])
    assert str(path) in str(caught.value)


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "log.csv.gz", [(n, n) for n in range(999)])
    table.write_bytes(table.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"log\.csv\.gz: can't be read"):
        read_columns(table, ["user"])
    (tmp_path / "log.csv").write_bytes(b"user,item\n\xff\xfe,1\n")
    with pytest.raises(DataError, match=r"log\.csv: can't be read .* expected a complete table in UTF-8"):
        read_columns(tmp_path / "log.csv", ["user"])
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_columns(tmp_path / "none.csv", ["user"])


def test_many_chunks_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milk_np.data.importers.text_table.CHUNK", 4)
    columns = read_columns(write_table(tmp_path / "log.csv", PAIRS), ["user", "item"])
    assert list(zip(*(columns[c].tolist() for c in ("user", "item")), strict=True)) == PAIRS


@given(
    st.lists(
        st.one_of(st.integers(-5, 10**18).map(str), st.sampled_from(["007", "1.0", "a", "+1", " 1"])),
        min_size=1,
    )
)
def test_integers_are_recognised_only_in_plain_form(column: list[str]) -> None:
    found = as_ids(np.array(column))
    plain = all(word.lstrip("-").isdigit() and str(int(word)) == word for word in column)
    assert (found.dtype == np.int64) == plain
    assert found.astype(str).tolist() == column
