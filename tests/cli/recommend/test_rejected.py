"""milk-recommend for batches: rows that fail are told, and don't stop the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from shop_cases import Call, Shop, npz, rejects, text

from milk_np.cli import recommend


def test_a_history_with_an_unknown_item_is_told_and_the_others_are_served(call: Call, tmp_path: Path) -> None:
    file, out = text(tmp_path / "guests.txt", "i1,i4", "i7,gone", "", "lost,gone"), tmp_path / "rejects.csv"
    found = call("--history", file, "--topk", "5", "--rejects", str(out))
    assert found.code == 3
    assert list(found.lists("history")) == ["1", "3"]
    assert [(row["row"], row["kind"], row["id"]) for row in rejects(out)] == [
        ("2", "history", "2"),
        ("4", "history", "4"),
    ]
    assert "item 'gone' is not in the data set" in rejects(out)[0]["reason"]


def test_unknown_items_of_histories_are_skipped(call: Call, tmp_path: Path) -> None:
    file, out = text(tmp_path / "guests.txt", "i1,i4", "i7,gone", "", "lost,gone"), tmp_path / "rejects.csv"
    found = call("--history", file, "--topk", "5", "--skip-unknown", "--rejects", str(out))
    assert found.code == 0
    lists = found.lists("history")
    assert list(lists) == ["1", "2", "3"]
    assert lists["2"] == call("--history", "i7", "--topk", "5").lists("history")["1"]
    assert [(row["file"], row["row"], row["kind"], row["id"]) for row in rejects(out)] == [
        (file, "2", "item", "gone"),
        (file, "4", "item", "lost"),
        (file, "4", "item", "gone"),
        (file, "4", "history", "4"),
    ]
    assert "left out 3 of kind item, 1 of kind history" in found.err


def test_unknown_users_are_skipped(call: Call, tmp_path: Path) -> None:
    file, out = text(tmp_path / "users.txt", "u5", "nobody", "u2"), tmp_path / "rejects.jsonl"
    line = ["--users", file, "--topk", "2", "--rejects", str(out)]
    assert call(*line).code == 3
    found = call(*line, "--skip-unknown")
    assert (found.code, list(found.lists())) == (0, ["u5", "u2"])
    assert json.loads(out.read_text())["row"] == 2
    assert "left out: user 'nobody' is not in the data set" in found.err


@pytest.mark.parametrize("option", ["--candidates", "--exclude"])
def test_unknown_ids_of_candidates_and_exclusions(shop: Shop, call: Call, tmp_path: Path, option: str) -> None:
    new = [f"i{j}" for j in shop.data.ds.new_items()]
    file = text(tmp_path / "ids.txt", new[0], new[1], "gone")
    found = call("--users", "u5", option, file)
    assert (found.code, found.rows) == (3, [])
    assert f"{file}, row 3: item 'gone' is not in the data set" in found.err
    found = call("--users", "u5", option, file, "--skip-unknown")
    assert found.code == 0
    assert "item 'gone' is not in the data set" in found.err
    listed = set(found.lists()["u5"])
    assert listed == set(new[:2]) if option == "--candidates" else not listed & set(new[:2])


def test_pairs_of_unknown_users(call: Call, tmp_path: Path) -> None:
    best = call("--users", "u5", "--topk", "2").lists()["u5"]
    file = text(tmp_path / "pairs.csv", f"nobody,{best[0]}", f"u5,{best[0]}")
    assert "row 1: user 'nobody' is not in the data set" in call("--users", "u5", "--exclude", file).err
    found = call("--users", "u5", "--exclude", file, "--skip-unknown", "--topk", "1")
    assert (found.code, found.lists()) == (0, {"u5": [best[1]]})


def test_rejects_are_written_where_nothing_is_left(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "rejects.csv"
    found = call("--users", "x,y", "--skip-unknown", "--rejects", str(out))
    assert (found.code, found.rows) == (3, [])
    assert "1 more can't be served either, so nothing is left" in found.err
    assert [(row["file"], row["row"], row["id"]) for row in rejects(out)] == [
        ("--users", "1", "x"),
        ("--users", "2", "y"),
    ]


def test_the_reason_why_nothing_is_left_is_that_of_what_is_missing(call: Call, tmp_path: Path) -> None:
    found = call("--users", "u5,nobody", "--candidates", "gone", "--skip-unknown")
    assert (found.code, found.rows) == (3, [])
    assert "error: item 'gone' is not in the data set" in found.err


def test_fresh_items_that_are_none(shop: Shop, call: Call, tmp_path: Path) -> None:
    file = npz(tmp_path, [], image=np.zeros((0, 6), np.float32))
    found = call("--users", "u5", "--fresh", file, "--topk", "3")
    assert found.lists() == call("--users", "u5", "--topk", "3").lists()
    assert call("--users", "u5", "--new-item", file).code == 3


def test_rejects_without_any(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "rejects.csv"
    assert call("--users", "u5", "--topk", "2", "--rejects", str(out)).code == 0
    assert out.read_text() == "file,row,kind,id,reason\n"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("u5,i3,9",), "line 1: expected item, or user,item, got 3 columns"),
        (("user,rank,item", "u5,1"), "line 2: expected 3 columns, as in the header, got 2"),
        (("u5,",), "line 1: expected an id of kind item, got an empty cell"),
        (('"u5,i3',), "line 1: unexpected end of data"),
    ],
)
def test_wrong_rows_of_exclusions(call: Call, tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    found = call("--users", "u5", "--exclude", text(tmp_path / "never.csv", *lines))
    assert (found.code, found.rows) == (3, [])
    assert said in found.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--new-item", "x.npz", "--fresh", "y.npz"], "--fresh: expected without --new-item"),
        (["--new-item", "x.npz", "--exclude", "y.csv"], "--exclude: doesn't apply to --new-item"),
        (["--fresh", "x.npz", "--candidates", "all"], "--candidates: applies to --users"),
        (["--users", "u1", "--out", "x.csv", "--rejects", "x.csv"], "--rejects: expected another file than --out"),
        (["--fresh", "x.npz", "--users", "u1", "--items", "i1"], "got --users, --items"),
    ],
)
def test_lines_that_do_not_fit_together(call: Call, line: list[str], said: str) -> None:
    found = call(*line)
    assert found.code == 2
    assert said in found.err


def test_the_help_says_what_the_exit_code_tells(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recommend.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "the exit code is 3 if there is any that --skip-unknown doesn't cover" in said
    assert "rejects lists it, the exit code is 3" in said
