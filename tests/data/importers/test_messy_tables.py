"""Tables as people have them: separators, headers, quotes, odd rows. What can't be read is an error with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_cases import FEATURES, PAIRS, pairs_of, words, write_features, write_table

from milk_np.data import from_tables
from milk_np.data.importers.coded import coded_numbers
from milk_np.data.importers.log import Columns, Log, read_log
from milk_np.data.importers.text_table import read_text
from milk_np.errors import DataError


def pairs_in(log: Log) -> list[tuple[object, object]]:
    return list(zip(log.user.values().tolist(), log.item.values().tolist(), strict=True))


@pytest.mark.parametrize(
    ("sep", "called"), [("\t", "tab"), (";", "';'"), ("|", "'|'"), ("::", "'::'"), (" ", "' '"), (",", None)]
)
def test_separators_are_found_and_told(tmp_path: Path, sep: str, called: str | None) -> None:
    table = write_table(tmp_path / "log.csv", PAIRS, sep=sep)
    ds = from_tables(table, write_features(tmp_path), separator="space" if sep == " " else None)
    assert pairs_of(ds) == words(PAIRS)
    assert ds.meta.get("notes", []) == ([] if called is None else [f"separator of log.csv: {called}"])


@pytest.mark.parametrize("first", ["sep=;\n", "# made by a program\n# on a day\n", "#", "\n\n", "SEP=;\r\n"])
def test_lines_before_the_header_are_skipped(tmp_path: Path, first: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{first}user;item\n1;2\n3;4\n")
    assert pairs_in(read_log(path, Columns())) == [(1, 2), (3, 4)]


@pytest.mark.parametrize("line", ["1::{}::5::978300760", "1\t{}\t5\t978300760", "1,{},5,2020-01-01", "1|{}|x|y"])
def test_tables_without_a_header_are_read_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text("".join(line.format(n) + "\n" for n in (1193, 661)))
    assert pairs_in(read_log(path, Columns("1", "2"))) == [(1, 1193), (1, 661)]
    with pytest.raises(DataError, match=r"expected columns from 1 to 4 .*, got 1, 9"):
        read_log(path, Columns("1", "9"))


def test_a_line_without_any_known_separator_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("user item\n1 2\n")
    with pytest.raises(
        DataError, match=r"got user item \(no tab, ',', ';', '\|', '::' in it: spaces are --separator space"
    ):
        read_log(path, Columns())
    path.write_text("user,item\n0,1,2\n1,3,4\n")
    with pytest.raises(DataError, match=r"line 2 has 3 columns, .* or a column has no name in the header"):
        read_log(path, Columns())


def test_a_missing_header_is_said(tmp_path: Path) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    with pytest.raises(DataError, match=r"line 1 .*looks like data.* --user-col 1 --item-col 2 \(separator '::'\)"):
        read_log(path, Columns())


def test_a_quotation_mark_in_a_table_without_quoting_is_text(tmp_path: Path) -> None:
    rows = [(u, i, '"Title' if n in (3, 20) else f'"T ""{n}"""') for n, (u, i) in enumerate(PAIRS)]
    columns, _ = read_text(write_table(tmp_path / "log.tsv", rows, "user,item,title", "\t"), ["user", "item", "title"])
    assert columns["title"].values()[[3, 4, 20]].tolist() == ['"Title', 'T "4"', '"Title']
    assert len(columns["user"]) == len(PAIRS)


@pytest.mark.parametrize("sep", [",", ";"])
def test_a_stray_quotation_mark_never_swallows_rows(tmp_path: Path, sep: str) -> None:
    for marks, said in (((100,), "a quotation mark isn't closed"), ((100, 300), "line 10[23]")):
        rows = [(n % 40, n, ('"' if n in marks else "") + f"Title {n}") for n in range(400)]
        path = write_table(tmp_path / "log.csv", rows, "user,item,title", sep)
        with pytest.raises(DataError, match=rf"log.csv: line 10[23]: a quotation mark|{said}"):
            read_log(path, Columns())
    rows = [(n % 40, n, f"T{n}" + {100: '"', 300: '"'}.get(n, "")) for n in range(400)]
    assert len(read_log(write_table(tmp_path / "log.csv", rows, "user,item,title", sep), Columns())) == 400


def test_a_value_that_begins_and_ends_with_stray_marks_is_found_by_its_rows(tmp_path: Path) -> None:
    """The worst: the second mark closes the value of the first, so that the text is well formed."""
    rows = [(n % 40, n, {100: '"Title', 300: 'Title"'}.get(n, "Title")) for n in range(400)]
    with pytest.raises(DataError, match=r"line 103 looks like a row \(21, 101\).* stray quotation mark"):
        read_log(write_table(tmp_path / "log.csv", rows, "user,item,title"), Columns())


def test_line_breaks_in_quoted_text_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('user,item,review\nu1,i1,"good, really\ncheap, light, small\n\nok"\nu2,i2,plain\n')
    assert pairs_in(read_log(path, Columns())) == [("u1", "i1"), ("u2", "i2")]
    path.write_text(path.read_text() + "u3,i3\n")
    with pytest.raises(DataError, match="line 7 has 2 columns, the header has 3"):
        read_log(path, Columns())


def test_a_row_of_another_width_is_an_error_with_its_line(tmp_path: Path) -> None:
    rows = [(u, "Hello, world" if n == 7 else "x", n, i) for n, (u, i) in enumerate(PAIRS)]
    path = write_table(tmp_path / "log.csv", rows, "user,title,year,item")
    with pytest.raises(DataError, match=r"line 9 has 5 columns, the header has 4; .* has to be quoted"):
        read_log(path, Columns())


def test_rows_of_later_chunks_are_named_by_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milk_np.data.importers.text_table.CHUNK", 3)
    path = tmp_path / "log.csv"
    path.write_text('user,item,note\n1,1,"two\nlines"\n\n2,2,x\n3,3,x\n4,,x\n')
    with pytest.raises(DataError, match="line 7: column 'item' is empty"):
        read_log(path, Columns())


def test_ids_that_arrays_cannot_keep_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'user': got an id of 20,000 characters"):
        read_log(write_table(tmp_path / "log.csv", [*PAIRS, ("x" * 20_000, 5)]), Columns())
    with pytest.raises(DataError, match=r"column 'user': the id 'u1\\x00' ends with a NUL"):
        read_log(write_table(tmp_path / "log.csv", [*PAIRS, ("u1\0", 5)]), Columns())


def parquet_of(tmp_path: Path, **columns: object) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table(columns), tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def test_large_unsigned_ids_stay_as_they_are(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    ids = [2**63 + 7, 2**64 - 1, 5]
    for many in (ids, [2**63 + n for n in range(3)]):
        path = parquet_of(tmp_path, user=arrow.array(many, arrow.uint64()), item=[0, 1, 2])
        assert [int(value) for value in read_log(path, Columns()).user.values()] == many


def test_bytes_that_hold_text_are_text(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    path = parquet_of(tmp_path, user=arrow.array([b"user1", b"\xc3\xa9"], arrow.binary()), item=[0, 1])
    assert read_log(path, Columns()).user.values().tolist() == ["user1", "é"]
    path = parquet_of(tmp_path, user=arrow.array([b"\xff\x00", b"a"], arrow.binary()), item=[0, 1])
    with pytest.raises(DataError, match="column 'user' holds bytes that are no text in UTF-8"):
        read_log(path, Columns())
    path = parquet_of(tmp_path, user=arrow.array([b"0123456789abcdef"] * 2, arrow.binary(16)), item=[0, 1])
    with pytest.raises(DataError, match="expected integers or strings in column 'user', got fixed_size_binary"):
        read_log(path, Columns())


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_words_of_many_batches_keep_their_places(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("milk_np.data.importers.arrow._BATCH", 7)
    monkeypatch.setattr("milk_np.data.importers.arrow._MOST_WORDS", 20)
    rng = np.random.default_rng(0)
    names = [f"u{n}" for n in rng.integers(0, 30, 200)]
    table = arrow.table({"user": arrow.array(names, getattr(arrow, kind)()), "item": np.arange(200)})
    try:
        parquet.write_table(table, tmp_path / "log.parquet", row_group_size=50)
    except arrow.ArrowNotImplementedError:
        pytest.skip(f"this version of pyarrow can't write {kind}")
    assert read_log(tmp_path / "log.parquet", Columns()).user.values().tolist() == names


def test_a_folder_of_parts_is_a_table(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "clicks.parquet"
    for n, part in enumerate((PAIRS[:20], PAIRS[20:])):
        place = folder / f"day={n}"
        place.mkdir(parents=True)
        user, item = zip(*part, strict=True)
        parquet.write_table(arrow.table({"user": user, "item": item}), place / f"part-0000{n}.snappy.parquet")
    (folder / "_SUCCESS").touch()
    assert pairs_of(from_tables(folder, write_features(tmp_path))) == words(PAIRS)
    days = read_log(folder, Columns(time="day")).time
    assert days is not None
    assert days.values.tolist() == [0] * 20 + [1] * (len(PAIRS) - 20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sampled_from([np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64]).flatmap(
        lambda kind: st.tuples(
            st.just(kind),
            st.lists(st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max)), min_size=1, max_size=30),
        )
    ),
    st.integers(0, 40),
)
def test_numbers_of_any_type_are_coded(drawn: tuple[type, list[int]], close: int) -> None:
    kind, values = drawn
    near = [min(int(np.iinfo(kind).max), values[0] + n % 5) for n in range(close)]
    column = coded_numbers(np.array(values + near, kind))
    assert [int(value) for value in column.values()] == values + near
    assert len(np.unique(column.ids)) == len(column.ids)


def test_items_from_1_against_rows_from_0_are_warned_of(tmp_path: Path) -> None:
    shifted = [(u, i + 1) for u, i in PAIRS]
    features = {name: np.vstack([rows, rows[:1]]) for name, rows in FEATURES.items()}
    ds = from_tables(write_table(tmp_path / "log.csv", shifted), write_features(tmp_path, features=features))
    assert "item 0 has no pair, and ids go from 1 to 12: if they count from 1" in ds.statistics()
    ds = from_tables(write_table(tmp_path / "log.csv", PAIRS), write_features(tmp_path))
    assert "count from 1" not in ds.statistics()
    with pytest.raises(DataError, match="ids may start at 1 while rows are counted from 0"):
        from_tables(write_table(tmp_path / "log.csv", shifted), write_features(tmp_path))
