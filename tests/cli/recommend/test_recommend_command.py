"""milk-recommend: every kind of list, from a model's file alone or with data, and wrong lines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from trained_cases import Trained, make_trained

from milk_np.cli import recommend
from milk_np.models.milk.model import Milk


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a line that must succeed; return its CSV rows."""

    def call(*line: str) -> list[dict[str, str]]:
        assert recommend.main(list(line)) == 0
        return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    return call


def test_items_for_users(trained: Trained, shown) -> None:  # type: ignore[no-untyped-def]
    rows = shown("--model", trained.run, "--users", "u5,u2", "--topk", "3")
    assert [(row["user"], row["rank"]) for row in rows] == [(u, r) for u in ("u5", "u2") for r in "123"]
    model, new = Milk.load(f"{trained.run}/model.npz"), trained.ds.new_items()
    scores = model.item_factors(new) @ model.user_factors(np.array([5], np.int32))[0]
    assert [row["item"] for row in rows[:3]] == [f"i{new[j]}" for j in np.argsort(-scores)[:3]]
    assert float(rows[0]["score"]) == pytest.approx(scores.max(), rel=1e-5)


def test_all_users_with_data(trained: Trained, shown) -> None:  # type: ignore[no-untyped-def]
    rows = shown("--model", trained.run, "--data", trained.data, "--users", "all", "--topk", "2")
    assert len(rows) == 2 * trained.ds.n_users
    assert {row["item"] for row in rows} <= {f"i{j}" for j in trained.ds.new_items()}


def test_the_model_alone_knows_what_was_seen(trained: Trained, shown) -> None:  # type: ignore[no-untyped-def]
    line = ["--model", trained.run, "--users", "u3", "--candidates", "all", "--topk", "9"]
    assert shown(*line) == shown(*line, "--data", trained.data)
    line = ["--model", trained.run, "--items", "i4", "--topk", "9"]
    assert shown(*line) == shown(*line, "--data", trained.data)


def test_users_in_a_file(trained: Trained, shown, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "users.txt").write_text("u7\n\nu1 \n")
    rows = shown("--model", trained.run, "--users", str(tmp_path / "users.txt"), "--topk", "1")
    assert [row["user"] for row in rows] == ["u7", "u1"]


def test_what_was_seen_is_left_out(trained: Trained, shown) -> None:  # type: ignore[no-untyped-def]
    ds = trained.ds
    user, item = ds.interactions(0)
    seen = {f"i{j}" for j in item[user == 3]}
    line = [
        "--model",
        trained.run,
        "--data",
        trained.data,
        "--users",
        "u3",
        "--candidates",
        "all",
        "--topk",
        "120",
    ]
    assert {row["item"] for row in shown(*line)} == {f"i{j}" for j in range(ds.n_items)} - seen
    assert len(shown(*line, "--include-seen")) == ds.n_items


def test_users_for_items(trained: Trained, shown) -> None:  # type: ignore[no-untyped-def]
    new, old = f"i{trained.ds.new_items()[0]}", f"i{trained.ds.train_items[0]}"
    rows = shown("--model", trained.run, "--items", new, "--topk", "90")
    assert list(rows[0]) == ["item", "rank", "user", "score"]
    assert sorted(row["user"] for row in rows) == sorted(f"u{n}" for n in range(90))
    with_data = shown("--model", trained.run, "--data", trained.data, "--items", old, "--topk", "90")
    assert len(with_data) == 90 - int((trained.ds.interactions(0)[1] == trained.ds.train_items[0]).sum())
    assert len(shown("--model", trained.run, "--items", old, "--topk", "90", "--include-seen")) == 90


def test_similar_items(trained: Trained, shown) -> None:  # type: ignore[no-untyped-def]
    rows = shown("--model", trained.run, "--similar", "i4", "--topk", "3", "--candidates", "new")
    assert [row["item"] for row in rows] == ["i4"] * 3
    assert {row["similar"] for row in rows} <= {f"i{j}" for j in trained.ds.new_items()}
    assert all(row["similar"] != "i4" for row in shown("--model", trained.run, "--similar", "i4"))


def test_a_list_is_no_longer_than_the_candidates(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert recommend.main(["--model", trained.run, "--users", "u1", "--topk", "9999"]) == 0
    shown, new = capsys.readouterr(), len(trained.ds.new_items())
    assert len(shown.out.splitlines()) == 1 + new
    assert f"lists have {new} entries, the number of candidates, not 9999" in shown.err


def test_the_rest_is_delivered(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--model", trained.run, "--users", "u1,u1000,u2", "--topk", "3"]
    assert recommend.main([*line, "--rejects", str(tmp_path / "rejects.csv")]) == 3
    shown = capsys.readouterr()
    assert [row["user"] for row in csv.DictReader(io.StringIO(shown.out))] == ["u1"] * 3 + ["u2"] * 3
    assert "left out: user 'u1000' is not in the data set; did you mean u10" in shown.err
    (row,) = csv.DictReader(io.StringIO((tmp_path / "rejects.csv").read_text()))
    assert (row["kind"], row["id"]) == ("user", "u1000")


def test_one_fresh_item_without_features(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.ones((3, 6), np.float32)
    image[1] = np.nan
    file = fresh(tmp_path / "new.npz", image=image, item_ids=np.array(["a", "b", "c"]))
    assert recommend.main(["--model", trained.run, "--new-item", file, "--topk", "2"]) == 3
    shown = capsys.readouterr()
    assert [row["item"] for row in csv.DictReader(io.StringIO(shown.out))] == ["a", "a", "c", "c"]
    assert "left out: item 'b' has none of image, text" in shown.err


def fresh(path: Path, **arrays: object) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def test_users_for_brand_new_items(trained: Trained, shown, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    image, text = np.ones((2, 6), np.float32), np.ones((2, 5), np.float32)
    text[0] = np.nan
    file = fresh(tmp_path / "new.npz", image=image, text=text, item_ids=np.array(["a", "b"]))
    rows = shown("--model", trained.run, "--new-item", file, "--topk", "2")
    assert [(row["item"], row["rank"]) for row in rows] == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]
    model = Milk.load(f"{trained.run}/model.npz")
    alone = model.encode_items({"image": image[:1]})
    assert float(rows[0]["score"]) == pytest.approx((model.user_factors() @ alone[0]).max(), rel=1e-4)


def test_a_single_new_item_for_some_users(trained: Trained, shown, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = fresh(tmp_path / "new.npz", text=np.arange(5, dtype=np.float32))
    rows = shown("--model", trained.run, "--new-item", file, "--users", "u1,u2")
    assert [(row["user"], row["item"]) for row in rows] == [("u1", "0"), ("u2", "0")]


@pytest.mark.parametrize("model", ["profile", "random"])
def test_models_without_training(trained: Trained, shown, tmp_path: Path, model: str) -> None:  # type: ignore[no-untyped-def]
    line = ["--model", model, "--data", trained.data, "--topk", "2"]
    assert len(shown(*line, "--users", "u1,u2")) == 4
    assert len(shown(*line, "--new-item", fresh(tmp_path / "new.npz", image=np.ones((3, 6), np.float32)))) == 6


def test_written_to_a_file(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lists.jsonl"
    assert recommend.main(["--model", trained.run, "--users", "u1", "--topk", "4", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote 4 rows to {out}\n"
    first = json.loads(out.read_text().splitlines()[0])
    assert list(first) == ["user", "rank", "item", "score"]
    assert (first["user"], first["rank"]) == ("u1", 1)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ([], 2, "expected one of --users, --history, --items, --similar or --new-item, got none of them"),
        (["--users", "u1", "--items", "i1"], 2, "got --users, --items"),
        (["--new-item", "x.npz", "--similar", "i1"], 2, "--new-item: expected alone or with --users"),
        (["--items", "i1", "--candidates", "all"], 2, "--candidates: applies to --users, --history and --similar"),
        (["--users", "u1", "--topk", "0"], 2, "expected a whole number of at least 1, got '0'"),
        (["--users", "u1", "--out", "x.xlsx"], 2, "ends in .csv, .jsonl, .parquet"),
        (["--users", ","], 2, "--users: expected ids separated by commas"),
        (["--users", "u1000"], 3, "user 'u1000' is not in the data set; did you mean u10"),
        (["--similar", "j4"], 3, "item 'j4' is not in the data set; did you mean i4"),
        (["--new-item", "absent.npz"], 3, "absent.npz: No such file"),
    ],
)
def test_wrong_lines(
    trained: Trained, line: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ended = recommend.main(["--model", trained.run, *line])
    except SystemExit as error:
        ended = int(str(error.code))
    assert ended == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"imagee": np.ones((1, 6), np.float32)}, "array 'imagee' is not a modality; the model has image, text"),
        ({"image": np.ones((1, 7), np.float32)}, "new.npz: feature_image: expected shape (1, 6), got (1, 7)"),
        ({"image": np.ones((1, 6)), "text": np.ones((2, 5))}, "expected one row per item"),
        (
            {"image": np.full((1, 6), np.nan, np.float32)},
            "new.npz: item '0' has none of image, text",
        ),
        ({"image": np.ones((2, 6), np.float32), "item_ids": np.array(["a"])}, "expected 2 item_ids"),
        ({}, "expected one row per item in each modality's array, got no array"),
    ],
)
def test_wrong_new_items(
    trained: Trained,
    tmp_path: Path,
    arrays: dict[str, object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = fresh(tmp_path / "new.npz", **arrays)
    assert recommend.main(["--model", trained.run, "--new-item", file]) == 3
    assert message in capsys.readouterr().err
