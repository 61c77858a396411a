"""What fuzzing found in files that come in parts, and in files of new items: each is told, with the file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_kind import cli
from job_cases import data, in_parts, in_shards, inside, model

from milk_np.cli import merge, recommend
from milk_np.cli.fresh import read_new_items
from milk_np.data.importers.log import column_of
from milk_np.data.shards import load_shards, shard_sizes
from milk_np.data.share import share_shards
from milk_np.errors import DataError, ModalityError
from milk_np.models.stored import load
from milk_np.ranks.group import Alone
from milk_np.serving.parts import KEY
from milk_np.training.keeping import parts_of, write_parts


def put(folder: Path, name: str, array: np.ndarray[Any, Any]) -> None:
    """Another array in a folder, with its checksum."""
    np.save(folder / f"{name}.npy", array)
    meta = json.loads((folder / "meta.json").read_text())
    meta["checksums"][name] = f"{zlib.crc32((folder / f'{name}.npy').read_bytes()):08x}"
    (folder / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("user", lambda x: x.astype("V3")),
        ("user", lambda x: x[None]),
        ("user", lambda x: x.astype(np.uint64) + np.uint64(2**63)),
        ("user", lambda x: x + np.int32(1000)),
        ("item", lambda x: x.astype(np.float32)),
        ("split", lambda x: x[:-1]),
        ("user_ids", lambda x: np.arange(len(x))),
        ("user_ids", lambda x: x[:-1]),
    ],
)
def test_every_array_of_a_shard_is_checked(tmp_path: Path, name: str, change: Callable[[Any], Any]) -> None:
    in_shards(tmp_path)
    folder = tmp_path / "shards" / "users-00001"
    put(folder, name, change(np.load(folder / f"{name}.npy")))
    with pytest.raises(DataError, match=rf"users-00001: entry '{name}'"):
        load_shards(tmp_path / "shards")


@pytest.mark.parametrize("sizes", [[20], [], [20, True], [20, 2**70], None])
def test_shards_that_the_meta_does_not_have_are_told(tmp_path: Path, sizes: object) -> None:
    in_shards(tmp_path)
    file = tmp_path / "shards" / "meta.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shards": sizes}))
    with pytest.raises(DataError, match="shards"):
        load_shards(tmp_path / "shards", [1])


def test_a_meta_that_is_no_text_is_told(tmp_path: Path) -> None:
    in_shards(tmp_path)
    (tmp_path / "shards" / "meta.json").write_bytes(b"{\xff")
    with pytest.raises(DataError, match=r"meta\.json can't be read"):
        shard_sizes(tmp_path / "shards")


PARTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "number 0": (lambda about: about | {"number": 0}, "it says that it is part 0/2"),
    "number 3": (lambda about: about | {"number": 3}, "it says that it is part 3/2"),
    "nested": (lambda about: json.loads("[" * 900 + "]" * 900), "expected a part of lists"),
}


def parts(folder: Path, change: Callable[[Any], Any]) -> tuple[int, str]:
    """What merging says when a part's table was changed."""
    pq = pytest.importorskip("pyarrow.parquet")
    in_parts(folder)
    path = folder / "lists" / "2.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    return merging(folder)


def merging(folder: Path) -> tuple[int, str]:
    import io
    from contextlib import redirect_stderr

    with inside(folder), redirect_stderr(io.StringIO()) as said:
        return merge.main(["lists", "--out", "all.jsonl", "--quiet"]), said.getvalue()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_says_otherwise_of_what_it_is_a_part(tmp_path: Path, name: str) -> None:
    change, expected = PARTS[name]

    def other(table: Any) -> Any:
        about = change(json.loads(table.schema.metadata[KEY]))
        return table.replace_schema_metadata({KEY: json.dumps(about).encode()})

    code, said = parts(tmp_path, other)
    assert code == 3
    assert expected in said
    assert not (tmp_path / "all.jsonl").exists()


def test_a_part_of_very_many_is_told_at_once(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    in_parts(tmp_path)
    for path in (tmp_path / "lists").iterdir():
        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[KEY]) | {"of": 10**13}
        pq.write_table(table.replace_schema_metadata({KEY: json.dumps(about).encode()}), path)
    code, said = merging(tmp_path)
    assert code == 3
    assert "missing 3/10000000000000, 4/" in said
    assert "and 9,999,999,999,988 more of 10,000,000,000,000 parts" in said


@pytest.mark.parametrize("what", ["missing", "nan", "lists", "renamed", "numbers", "order", "width"])
def test_a_part_with_other_columns_is_told(tmp_path: Path, what: str) -> None:
    pa = pytest.importorskip("pyarrow")

    def other(table: Any) -> Any:
        n, at = table.num_rows, table.column_names.index("score")
        made: dict[str, Callable[[], Any]] = {
            "missing": lambda: table.set_column(at, "score", pa.array([None] * n, pa.float32())),
            "nan": lambda: table.set_column(at, "score", pa.array([float("nan")] * n, pa.float32())),
            "lists": lambda: table.set_column(at, "score", pa.array([[1.0]] * n)),
            "renamed": lambda: table.rename_columns([f"{name}s" for name in table.column_names]),
            "order": lambda: table.select(table.column_names[::-1]),
            "width": lambda: table.set_column(at, "score", table["score"].cast(pa.float64())),
            "numbers": lambda: table.set_column(0, table.column_names[0], pa.array(list(range(n)))),
        }
        return made[what]()

    code, said = parts(tmp_path, other)
    assert code == 3
    assert "2.parquet: " in said
    assert "Traceback" not in said


def test_parts_of_a_damaged_file_are_told(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    in_parts(tmp_path)
    path = tmp_path / "lists" / "2.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(200) + content[204:])  # pages; the footer stays
    code, said = merging(tmp_path)
    assert (code, "2.parquet: its lists can't be read" in said) == (3, True)


@pytest.mark.parametrize("text", ["[" * 5000, '{"token": "a", "users": [1e400]}', '{"token": "a", "users": 3}', "\xff"])
def test_a_list_of_parts_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "parts.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"parts\.json: expected the list of a folder's parts"):
        parts_of(tmp_path)


@pytest.mark.parametrize("kind", ["f4,i4", "M8[s]", "V3", "U3"])
def test_rows_of_new_items_are_checked_before_their_lengths_are_compared(tmp_path: Path, kind: str) -> None:
    model(tmp_path)
    rows = np.zeros((2, 4), kind)
    np.savez(tmp_path / "new.npz", text=rows, image=np.ones((2, 5), np.float32), item_ids=["n1", "n2"])
    with inside(tmp_path):
        for more in ("--new-item", "--fresh"):
            assert cli(recommend.main, "--model", "run", more, "new.npz", "--threads", "1")[0] == 3
    trained = load(tmp_path / "run" / "model.npz")
    for ask in (trained.score_items, trained.recommend_users_for_new_items):
        with pytest.raises(ModalityError, match="text: expected"):
            ask({"text": rows})
    with pytest.raises(ModalityError, match="text: expected"):
        trained.with_items(["n1", "n2"], {"text": rows})


@pytest.mark.parametrize("kind", ["f4,i4", "f4", "?", "S2", "M8[s]"])
def test_ids_of_new_items_are_texts_or_whole_numbers(tmp_path: Path, kind: str) -> None:
    model(tmp_path)
    np.savez(tmp_path / "new.npz", text=np.ones((2, 4), np.float32), item_ids=np.zeros(2, kind))
    with pytest.raises(DataError, match=r"new\.npz: items: expected a list of ids, texts or whole numbers"):
        read_new_items(str(tmp_path / "new.npz"), ("image", "text"))


def test_ids_of_a_log_that_are_no_text_are_told() -> None:
    with pytest.raises(DataError, match="expected ids as UTF-8 text"):
        column_of(np.array([b"a", b"\xff"]), "column item")


def test_a_set_in_shards_is_still_read(tmp_path: Path) -> None:
    in_shards(tmp_path)
    ds, whole = load_shards(tmp_path / "shards"), data(tmp_path)
    assert np.array_equal(ds.user, whole.user)
    assert ds.user.dtype == np.int32


def test_the_next_version_clears_what_a_killed_writer_left(tmp_path: Path) -> None:
    """Kills of a run on shards left temporary files of the version that was never finished."""
    in_shards(tmp_path)
    share = share_shards(tmp_path / "shards", Alone())[1]
    parts = [{"user": np.zeros(n)} for n in share.shard_sizes]
    write_parts(share, tmp_path / "last.npz", {"item": np.ones(2)}, parts, {})
    (tmp_path / "last" / f".items.{'a' * 16}.npz.{'b' * 16}.tmp").write_bytes(b"half")
    write_parts(share, tmp_path / "last.npz", {"item": np.ones(2)}, parts, {})
    names = sorted(path.name.split(".")[0] for path in (tmp_path / "last").iterdir())
    assert names == ["items", "parts", *(f"users-{n:05d}" for n in share.shards)]
