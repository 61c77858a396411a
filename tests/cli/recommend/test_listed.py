"""milk-recommend --candidates and --exclude: what may and may not be listed."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_cases import Call, Shop, npz, rejects, text


def test_only_the_candidates_of_a_file(shop: Shop, call: Call, tmp_path: Path) -> None:
    new = shop.data.ds.new_items()
    some = [f"i{j}" for j in new[[7, 2, 5]]] + ["f1"]
    file = text(tmp_path / "stock.txt", *some)
    found = call("--users", "u5,u2", "--fresh", npz(tmp_path), "--candidates", file)
    assert found.code == 0
    assert set(found.lists()["u5"]) == set(some)
    assert len(found.rows) == 8
    assert "lists have 4 entries, the number of candidates, not 20" in found.err
    table = text(tmp_path / "stock.csv", "shelf,item", *(f"7,{name}" for name in some))
    for given in (table, ",".join(some)):
        assert call("--users", "u5,u2", "--fresh", npz(tmp_path), "--candidates", given).rows == found.rows
    assert set(call("--history", "i1", "--candidates", "i3,i9").lists("history")["1"]) == {"i3", "i9"}
    assert set(call("--similar", "i1", "--candidates", "i3,i9").lists("item", "similar")["i1"]) == {"i3", "i9"}


def test_ids_in_tables(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = call("--users", "u5,u2", "--topk", "3")
    table = text(tmp_path / "users.csv", '"since","user"', "2020,u5", "2021,nobody", "", "2021,u2")
    found = call("--users", table, "--topk", "3")
    assert (found.code, found.rows) == (3, expected.rows)
    assert f"({table}, row 3)" in found.err
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"user": ["u5", "u2"], "n": [1, 2]}), tmp_path / "users.parquet")
    assert call("--users", str(tmp_path / "users.parquet"), "--topk", "3").rows == expected.rows
    monkeypatch.chdir(tmp_path)
    Path("u5").mkdir()  # a folder isn't a file of ids
    assert call("--users", "u5", "--topk", "3").rows == expected.rows[:3]
    found = call("--users", text(tmp_path / "odd.txt", "u,5", '"u2'), "--topk", "3")
    assert (found.code, found.rows) == (3, [])
    assert "user 'u,5' is not in the data set" in found.err


def test_items_and_pairs_are_excluded(shop: Shop, call: Call, tmp_path: Path) -> None:
    whole = call("--users", "u5,u2", "--topk", "40").lists()
    nobody, theirs = whole["u5"][0], whole["u5"][1]
    file = text(tmp_path / "never.csv", nobody, f"u5,{theirs}", f"u9,{whole['u2'][1]}")
    found = call("--users", "u5,u2", "--topk", "40", "--exclude", file)
    assert found.lists() == {
        "u5": [name for name in whole["u5"] if name not in (nobody, theirs)],
        "u2": [name for name in whole["u2"] if name != nobody],
    }
    assert "1 of 2 lists have less than 35 entries (the shortest has 34)" in found.err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_lists_written_before_are_excluded(shop: Shop, call: Call, tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    whole, out = call("--users", "u5,u2", "--topk", "9").lists(), str(tmp_path / f"before.{ending}")
    assert call("--users", "u5,u2", "--topk", "4", "--out", out, "--quiet").code == 0
    assert call("--users", "u5,u2", "--topk", "5", "--exclude", out).lists() == {u: row[4:] for u, row in whole.items()}


def test_exclusions_of_other_lists(call: Call, tmp_path: Path) -> None:
    guests = text(tmp_path / "guests.txt", "i1,i4", "i7")
    whole = call("--history", guests, "--topk", "9").lists("history")
    pairs = text(tmp_path / "pairs.csv", f"2,{whole['2'][0]}")
    found = call("--history", guests, "--topk", "8", "--exclude", pairs).lists("history")
    assert found == {"1": whole["1"][:8], "2": whole["2"][1:]}
    alike = call("--similar", "i4", "--topk", "9").lists("item", "similar")["i4"]
    pairs = text(tmp_path / "alike.csv", "item,similar", f"i4,{alike[0]}", f"i5,{alike[1]}")
    assert call("--similar", "i4", "--topk", "8", "--exclude", pairs).lists("item", "similar")["i4"] == alike[1:]
    users = call("--items", "i4", "--topk", "9").lists("item", "user")["i4"]
    pairs = text(tmp_path / "users.csv", f"{users[0]},i4", f"{users[1]},i5")
    assert call("--items", "i4", "--topk", "8", "--exclude", pairs).lists("item", "user")["i4"] == users[1:]
    assert "absent.csv: no such file" in call("--items", "i4", "--exclude", "absent.csv").err
    assert "expected a pair user,item, got one id" in call("--items", "i4", "--exclude", text(tmp_path / "x", "i4")).err


def test_somebody_for_whom_nothing_is_left(shop: Shop, call: Call, tmp_path: Path) -> None:
    new = [f"i{j}" for j in shop.data.ds.new_items()]
    file, out = text(tmp_path / "never.csv", *(f"u2,{name}" for name in new)), tmp_path / "rejects.csv"
    users = text(tmp_path / "users.txt", "u5", "", "u2")
    found = call("--users", users, "--exclude", file, "--topk", "3", "--rejects", str(out))
    assert found.code == 0
    assert list(found.lists()) == ["u5"]
    (row,) = rejects(out)
    assert (row["file"], row["row"], row["kind"], row["id"]) == (users, "3", "user", "u2")
    assert "nothing is left to list" in row["reason"]
    assert call("--users", users, "--exclude", text(tmp_path / "all.txt", *new)).code == 3
