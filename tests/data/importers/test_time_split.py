"""Split by time: what is first seen after the cut is new, and training ends with the cut."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_cases import pairs_of, write_table

from milk_np.data import Dataset, Preparation, from_tables
from milk_np.errors import DataError, SettingsError

START = datetime(2024, 1, 1, tzinfo=UTC)


def drifting(n: int = 900, seed: int = 0) -> list[tuple[str, int, int]]:
    """Pairs (user, item, day) of a catalogue to which an item is added every other day."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.integers(0, 100, n))
    return list(
        {(f"u{rng.integers(20)}", int(rng.integers(0, 10 + day // 2)), int(day)) for day in days}
    )  # some pairs come again on another day


def prepare(tmp_path: Path, rows: list[tuple[Any, ...]], since: Any = None, **how: Any) -> Dataset:
    np.save(tmp_path / "image.npy", np.random.default_rng(0).normal(size=(62, 3)).astype(np.float32))
    table = write_table(tmp_path / "log.csv", rows, "user,item,when")
    plan = Preparation(split="time", new_since=since, merge_duplicates=True, **how)
    return from_tables(table, {"image": tmp_path / "image.npy"}, plan, time_col="when")


def slow(rows: list[tuple[str, int, int]], cut: int) -> dict[int, tuple[str, int]]:
    """First day of each item by recomputation in Python, and whether it is old or new."""
    first: dict[int, int] = {}
    for _, item, day in rows:
        first[item] = min(day, first.get(item, day))
    return {item: ("old" if day < cut else "new", day) for item, day in first.items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.integers(20, 80), st.integers(0, 5))
def test_against_recomputation(tmp_path: Path, cut: int, seed: int) -> None:
    rows = drifting(seed=seed)
    ds, first = prepare(tmp_path, rows, str(cut)), slow(rows, cut)
    old = {item for item, (kind, _) in first.items() if kind == "old"}
    new = {item for item, (kind, _) in first.items() if kind == "new"}
    assert set(ds.train_items.tolist()) == old
    assert set(ds.evaluated_items.tolist()) == new
    assert pairs_of(ds) == {(u, str(i)) for u, i, day in rows if i in new or day < cut}
    late = sum(1 for _, i, day in rows if i in old and day >= cut)
    text = f"new since {cut}: {len(new)} of {len(first)} items; left out {late} later pairs of "
    assert text in ds.meta["notes"][0]
    assert max(first[i][1] for i in ds.new_items(1).tolist()) <= min(first[i][1] for i in ds.new_items(2).tolist())
    earlier, half = len(ds.new_items(1)), len(new) // 2  # items of the day in the middle are test items, all of them
    day = min(first[i][1] for i in ds.new_items(2).tolist())
    assert earlier <= half < earlier + sum(1 for kind, seen in first.values() if kind == "new" and seen == day)
    trained = {(str(ds.user_ids[u]), int(i)) for u, i in zip(*ds.interactions(0), strict=True)}  # type: ignore[index]
    assert trained <= {(u, i) for u, i, day in rows if day < cut}


DAY = 60
FORMS: dict[str, tuple[Any, str]] = {
    "date": (lambda day: str(date.fromordinal(START.toordinal() + day)), "2024-03-01"),
    "time": (lambda day: f"{date.fromordinal(START.toordinal() + day)} 07:30:00", "2024-03-01"),
    "zone": (lambda day: f"{date.fromordinal(START.toordinal() + day)}T07:30:00+02:00", "2024-03-01T00:00:00Z"),
    "seconds": (lambda day: int(START.timestamp()) + day * 86_400, "2024-03-01"),
    "milliseconds": (lambda day: (int(START.timestamp()) + day * 86_400) * 1000, "2024-03-01"),
    "number": (lambda day: int(START.timestamp()) + day * 86_400, str(int(START.timestamp()) + DAY * 86_400)),
    "fraction": (lambda day: day / 10, "6"),
}


@pytest.mark.parametrize("form", FORMS)
def test_dates_times_and_numbers_mean_the_same(tmp_path: Path, form: str) -> None:
    write, since = FORMS[form]
    rows = drifting()
    ds = prepare(tmp_path, [(u, i, write(day)) for u, i, day in rows], since)
    assert ds.content_hash == prepare(tmp_path, rows, str(DAY)).content_hash


@pytest.mark.parametrize("kind", ["timestamp", "date32", "int64", "double"])
def test_times_of_parquet(tmp_path: Path, kind: str) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = drifting()
    expected = prepare(tmp_path, rows, str(DAY)).content_hash
    days = np.array([day for _, _, day in rows])
    times: Any = {"int64": days, "double": days.astype(float)}.get(kind, np.datetime64("2024-01-01") + days)
    if kind == "timestamp":
        times = arrow.array(times.astype("datetime64[ns]"), arrow.timestamp("ns", "Europe/Paris"))
    user, item, _ = zip(*rows, strict=True)
    parquet.write_table(arrow.table({"user": user, "item": item, "when": times}), tmp_path / "log.parquet")
    since = str(DAY) if kind in ("int64", "double") else "2024-03-01"
    plan = Preparation(split="time", new_since=since, merge_duplicates=True)
    ds = from_tables(tmp_path / "log.parquet", {"image": tmp_path / "image.npy"}, plan, time_col="when")
    assert ds.content_hash == expected


@pytest.mark.parametrize("share", [0.1, 0.3, "0.3", None])
def test_a_share_of_the_items_is_new(tmp_path: Path, share: Any) -> None:
    ds = prepare(tmp_path, drifting(), share)
    n_items = len(np.unique(ds.item))
    assert len(ds.evaluated_items) == pytest.approx(float(share or 0.2) * n_items, abs=3)


def test_a_k_core_keeps_the_split(tmp_path: Path) -> None:
    rows = drifting(3000)
    ds, whole = prepare(tmp_path, rows, "60", k_core=3), prepare(tmp_path, rows, "60")
    assert ds.item_ids is not None
    assert np.array_equal(ds.item_split, whole.item_split[ds.item_ids.astype(int)])


@pytest.mark.parametrize(
    ("since", "error", "message"),
    [
        ("200", DataError, r"got \d+, 0, 0 of them with the cut at 200; items are first seen from 0 to 9\d: choose"),
        ("0", DataError, "got 0, "),
        ("spring", SettingsError, "--new-since: expected a date such as .*, a number or a share .*, got 'spring'"),
    ],
)
def test_cuts_that_leave_nothing(tmp_path: Path, since: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(tmp_path, drifting(), since)


def test_times_that_are_none(tmp_path: Path) -> None:
    rows = [(u, i, "yesterday" if n == 5 else "2024-05-01") for n, (u, i, _) in enumerate(drifting())]
    with pytest.raises(DataError, match=r"column 'when': expected times such as .* got 'yesterday' \(row 6\)"):
        prepare(tmp_path, rows)
    with pytest.raises(SettingsError, match="--new-since: applies to --split time"):
        Preparation(new_since="2024-05-01")
    with pytest.raises(SettingsError, match="split: expected random, time or column, got 'date'"):
        Preparation(split="date")
    with pytest.raises(SettingsError, match="says already which items are new"):
        Preparation(split="time", new_since="2024-05-01", new_items=0.1)
