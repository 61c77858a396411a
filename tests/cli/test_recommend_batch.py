"""milk-recommend for batches: new items pooled with the catalogue's, what may and may not be listed, rows that fail."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_cases import Trained, make_trained

from milk_np.cli import recommend, train
from milk_np.models.stored import StoredModel, load

ROWS = {"image": np.linspace(-8, 8, 24, dtype=np.float32).reshape(4, 6), "text": 12 * np.eye(4, 5, dtype=np.float32)}
IDS = ["f0", "f1", "f2", "f3"]


@dataclass(frozen=True)
class Shop:
    """A trained kernel profile, which serves histories, and its data."""

    run: str
    data: Trained
    model: StoredModel


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    trained, run = make_trained(folder), str(folder / "best")
    size = ["--landmarks", "60", "--profile-width", "12", "--kernel-noise", ".05", "--whitening", "0", "--topk", "5"]
    assert train.main(["--data", trained.data, "--model", "kernel-profile", *size, "--out", run, "--quiet"]) == 0
    return Shop(run, trained, load(f"{run}/model.npz"))


@dataclass(frozen=True)
class Shown:
    """What a line printed."""

    code: int
    rows: list[dict[str, str]]
    err: str

    def lists(self, query: str = "user", found: str = "item") -> dict[str, list[str]]:
        """Lists by what they are for."""
        out: dict[str, list[str]] = {}
        for row in self.rows:
            out.setdefault(row[query], []).append(row[found])
        return out


Call = Callable[..., Shown]


@pytest.fixture
def call(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a line on the shop's model."""

    def run(*line: str) -> Shown:
        capsys.readouterr()
        code = recommend.main(["--model", shop.run, *line])
        shown = capsys.readouterr()
        return Shown(code, list(csv.DictReader(io.StringIO(shown.out))), shown.err)

    return run


def npz(folder: Path, ids: list[str] | None = IDS, **rows: Any) -> str:
    """A file of new items."""
    arrays: dict[str, Any] = rows or ROWS
    path = folder / "fresh.npz"
    np.savez(path, **arrays, **({} if ids is None else {"item_ids": np.array(ids)}))
    return str(path)


def text(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def rejects(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def pooled(shop: Shop, vector: Any, k: int, left_out: set[str] = frozenset(), ids: Any = None) -> list[str]:  # type: ignore[assignment]
    """The best of the catalogue's new items and the fresh ones, computed one by one."""
    new = shop.data.ds.new_items() if ids is None else ids
    names = [f"i{j}" for j in new] + IDS
    vectors = [*shop.model.item_factors(new), *shop.model.encode_items(ROWS)]
    score = {name: float(vector @ each) for name, each in zip(names, vectors, strict=True) if name not in left_out}
    return sorted(score, key=lambda name: (-score[name], names.index(name)))[:k]


# New items together with the catalogue's


def test_fresh_items_are_ranked_with_the_new_ones_for_users(shop: Shop, call: Call, tmp_path: Path) -> None:
    found = call("--users", "u5,u2", "--fresh", npz(tmp_path), "--topk", "25")
    assert found.code == 0
    lists = found.lists()
    for user in (5, 2):
        assert lists[f"u{user}"] == pooled(shop, shop.model.user_factors(np.array([user], np.int32))[0], 25)
    assert set(lists["u5"]) & set(IDS)
    assert set(lists["u5"]) - set(IDS)


def test_the_same_on_data_given_by_hand(shop: Shop, call: Call, tmp_path: Path) -> None:
    line = ["--users", "u5,u2", "--fresh", npz(tmp_path), "--topk", "25"]
    assert call(*line, "--data", shop.data.data).lists() == call(*line).lists()


def test_a_model_without_training_pools_too(shop: Shop, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = ["--model", "profile", "--data", shop.data.data, "--fresh", npz(tmp_path), "--topk", "60"]
    old = ",".join(f"i{j}" for j in shop.data.ds.train_items[:2])
    assert recommend.main([*line, "--history", old]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["item"] for row in rows} == {*IDS, *(f"i{j}" for j in shop.data.ds.new_items())}


def test_fresh_items_are_ranked_with_the_new_ones_for_a_history(shop: Shop, call: Call, tmp_path: Path) -> None:
    file = text(tmp_path / "guests.txt", "i1,i4,f2", "i7")
    found = call("--history", file, "--fresh", npz(tmp_path), "--topk", "25").lists("history")
    first, second = shop.model.encode_users([np.array([1, 4]), np.array([7])])
    assert found == {"1": pooled(shop, first, 25, {"f2"}), "2": pooled(shop, second, 25)}


def test_fresh_items_are_similar_and_have_similar_ones(shop: Shop, call: Call, tmp_path: Path) -> None:
    found = call("--similar", "i4,f1", "--fresh", npz(tmp_path), "--topk", "124").lists("item", "similar")
    everything = np.arange(shop.data.ds.n_items)
    vectors = np.vstack([shop.model.item_factors(everything), shop.model.encode_items(ROWS)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [*(f"i{j}" for j in everything), *IDS]
    for name in ("i4", "f1"):
        cosine = unit @ unit[names.index(name)]
        best = [names[n] for n in np.argsort(-cosine, kind="stable") if names[n] != name]
        assert found[name][:30] == best[:30]
        assert len(found[name]) == len(names) - 1


def test_users_for_fresh_items(shop: Shop, call: Call, tmp_path: Path) -> None:
    file = npz(tmp_path)
    found = call("--fresh", file, "--topk", "4").lists("item", "user")
    scores = shop.model.encode_items(ROWS) @ shop.model.user_factors().T
    assert found == {name: [f"u{n}" for n in np.argsort(-row)[:4]] for name, row in zip(IDS, scores, strict=True)}
    assert call("--fresh", file, "--topk", "4", "--items", "f2,i3").lists("item", "user")["f2"] == found["f2"]


def test_a_folder_and_parquet_are_read_like_an_archive(shop: Shop, call: Call, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    image = ROWS["image"].copy()
    image[3] = np.nan
    rows = {"image": image, "text": ROWS["text"]}
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, array in rows.items():
        np.save(folder / f"{name}.npy", array)
    text(folder / "item_ids.txt", *IDS)
    cells = {name: array.tolist() for name, array in rows.items()}
    cells["image"][3] = None  # type: ignore[call-overload]
    parquet.write_table(arrow.table({"item": IDS, "title": ["a"] * 4, **cells}), tmp_path / "fresh.parquet")
    line = ["--users", "u5", "--topk", "60", "--fresh"]
    expected = call(*line, npz(tmp_path, **rows)).rows
    assert call(*line, str(folder)).rows == expected
    assert call(*line, str(tmp_path / "fresh.parquet")).rows == expected
    assert call("--new-item", str(folder), "--users", "u5").lists()["u5"] == [
        row["item"] for row in expected if row["item"] in IDS
    ]


def test_fresh_items_that_fail_do_not_stop_the_others(shop: Shop, call: Call, tmp_path: Path) -> None:
    image, words = np.repeat(ROWS["image"][:1], 6, axis=0), np.repeat(ROWS["text"][:1], 6, axis=0)
    image[1], words[1] = np.nan, np.nan
    image[2, 3] = np.inf
    file = npz(tmp_path, ["a", "none", "torn", "a", "i3", "b"], image=image, text=words)
    out = tmp_path / "rejects.csv"
    found = call("--users", "u5", "--fresh", file, "--topk", "60", "--rejects", str(out))
    assert found.code == 3
    assert set(found.lists()["u5"]) - {f"i{j}" for j in shop.data.ds.new_items()} == {"a", "b"}
    assert [(row["file"], row["row"], row["kind"], row["id"]) for row in rejects(out)] == [
        (file, "2", "item", "none"),
        (file, "3", "item", "torn"),
        (file, "4", "item", "a"),
        (file, "5", "item", "i3"),
    ]
    reasons = [row["reason"] for row in rejects(out)]
    for said, expected in zip(reasons, ("has none of", "of image holds NaN", "given twice", "already"), strict=True):
        assert expected in said
    assert "left out 4 of kind item" in found.err


def test_fresh_items_need_ids_where_the_data_have_some(call: Call, tmp_path: Path) -> None:
    found = call("--users", "u5", "--fresh", npz(tmp_path, None))
    assert (found.code, found.rows) == (3, [])
    assert "fresh.npz: has no item_ids" in found.err


# What may be listed


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
    nobody, hers = whole["u5"][0], whole["u5"][1]
    file = text(tmp_path / "never.csv", nobody, f"u5,{hers}", f"u9,{whole['u2'][1]}")
    found = call("--users", "u5,u2", "--topk", "40", "--exclude", file)
    assert found.lists() == {
        "u5": [name for name in whole["u5"] if name not in (nobody, hers)],
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


# Unknown ids


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
