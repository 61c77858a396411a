"""milk-recommend --shard and milk-merge: the file of all users at once, or what is missing or differs by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trained_cases import Trained, make_trained

from milk_np.cli import merge, recommend

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make_trained(tmp_path_factory.mktemp("trained"))


def make(line: list[str], folder: Path, of: int, numbers: list[int] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers or range(1, of + 1):
        out = ["--shard", f"{number}/{of}", "--out", str(folder / f"{number}.parquet"), "--quiet"]
        assert recommend.main([*line, *out]) == 0


@pytest.mark.parametrize("of", [1, 4, 100])
@pytest.mark.parametrize("with_data", [True, False])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_lists_of_all_at_once(trained: Trained, of: int, with_data: bool, suffix: str, tmp_path: Path) -> None:
    """100 parts of 90 users: some have none."""
    line = ["--model", trained.run, "--users", "all", "--topk", "4", *(["--data", trained.data] if with_data else [])]
    make(line, tmp_path / "parts", of)
    merged, whole = tmp_path / f"merged.{suffix}", tmp_path / f"whole.{suffix}"
    assert merge.main([str(tmp_path / "parts"), "--out", str(merged), "--quiet"]) == 0
    assert recommend.main([*line, "--out", str(whole), "--quiet"]) == 0
    if suffix == "parquet":
        assert parquet.read_table(merged).equals(parquet.read_table(whole))
    else:
        assert merged.read_bytes() == whole.read_bytes()


def test_a_part_is_the_same_when_it_is_made_again(trained: Trained, tmp_path: Path) -> None:
    line = ["--model", trained.run, "--users", "all"]
    for folder in (tmp_path / "a", tmp_path / "b"):
        make(line, folder, 3, [2])
    assert (tmp_path / "a" / "2.parquet").read_bytes() == (tmp_path / "b" / "2.parquet").read_bytes()


def test_users_of_a_file_are_divided_in_its_order(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("u9\nu3\nu7\nu1\nu2\n")
    make(["--model", trained.run, "--users", str(tmp_path / "users.txt"), "--topk", "1"], tmp_path / "parts", 2)
    found = [parquet.read_table(tmp_path / "parts" / f"{n}.parquet")["user"].to_pylist() for n in (1, 2)]
    assert found == [["u9", "u3"], ["u7", "u1", "u2"]]


def refused(capsys: pytest.CaptureFixture[str], *line: str, code: int = 3) -> str:
    assert merge.main(list(line)) == code
    return capsys.readouterr().err


def test_what_is_missing_is_named(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(["--model", trained.run, "--users", "all"], tmp_path / "parts", 6, [1, 3, 6])
    out = tmp_path / "merged.csv"
    assert "missing 2/6, 4/6, 5/6 of 6 parts" in refused(capsys, str(tmp_path / "parts"), "--out", str(out))
    make(["--model", trained.run, "--users", "all"], tmp_path / "many", 90, [1])
    assert "11/90 and 79 more of 90 parts" in refused(capsys, str(tmp_path / "many"), "--out", str(out))
    assert not out.exists()


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (["--topk", "3"], "topk"),
        (["--candidates", "all"], "candidates"),
        (["--include-seen"], "include_seen"),
        (["--users", "u1,u2"], "users"),
    ],
)
def test_parts_of_other_lists_are_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: list[str], what: str
) -> None:
    line = ["--model", trained.run, "--users", "all", "--topk", "5"]
    make(line, tmp_path, 2, [1])
    make([*line, *other], tmp_path, 2, [2])
    shown = refused(capsys, str(tmp_path), "--out", str(tmp_path / "merged.csv"))
    assert f"2.parquet: made of other {what} than" in shown


def test_parts_of_another_model_are_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.npz"
    with np.load(f"{trained.run}/model.npz") as arrays:
        np.savez(other, **{**arrays, "items": arrays["items"] * 2})
    make(["--model", trained.run, "--users", "all"], tmp_path / "parts", 2, [1])
    make(["--model", str(other), "--users", "all"], tmp_path / "parts", 2, [2])
    assert "made of other model than" in refused(capsys, str(tmp_path / "parts"), "--out", str(tmp_path / "m.csv"))


def test_a_part_twice_and_files_that_are_none(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(["--model", trained.run, "--users", "all"], tmp_path, 2, [1])
    (tmp_path / "again.parquet").write_bytes((tmp_path / "1.parquet").read_bytes())
    out = ["--out", str(tmp_path / "merged.csv")]
    assert "is part 1/2, and so is" in refused(capsys, str(tmp_path), *out)
    (tmp_path / "again.parquet").write_bytes(b"PAR1")
    assert "again.parquet: expected a part of lists" in refused(capsys, str(tmp_path), *out)
    assert "no such file or folder" in refused(capsys, str(tmp_path / "none"), *out, code=2)
    (tmp_path / "empty").mkdir()
    assert "no parts: expected Parquet files" in refused(capsys, str(tmp_path / "empty"), *out)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["--users", "all", "--shard", "1/3", "--out", "x.csv"], "--shard: expected --out FILE.parquet"),
        (["--users", "all", "--shard", "1/3"], "--shard: expected --out FILE.parquet"),
        (["--items", "i1", "--shard", "1/3", "--out", "x.parquet"], "--shard: applies to --users"),
    ],
)
def test_wrong_lines(trained: Trained, line: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert recommend.main(["--model", trained.run, *line]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["0/3", "4/3", "2", "a/b", "1/0"])
def test_wrong_numbers(trained: Trained, shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        recommend.main(["--model", trained.run, "--users", "all", "--shard", shard, "--out", "x.parquet"])
    assert f"expected i/n with i from 1 to n, such as 3/8, got '{shard}'" in capsys.readouterr().err
