"""Changes that processes share: seen whole or not at all, and in one order."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from service_cases import Case, make_case

from milk_np.errors import DataError
from milk_np.service.journal import Journal


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("model"))


def test_a_reader_waits_for_a_change_that_is_being_applied(tmp_path: Path) -> None:
    """Else its answer is of the time before a change that the writer was told is done."""
    begun, go_on, applied = threading.Event(), threading.Event(), []

    def slowly(change: dict[str, Any]) -> None:
        begun.set()
        assert go_on.wait(30)
        applied.append(change)

    journal = Journal(tmp_path / "journal", slowly)
    Journal(tmp_path / "journal", lambda change: None).write({"put": 1})
    seen: list[int] = []

    def read() -> None:
        journal.catch_up()
        seen.append(len(applied))

    first = threading.Thread(target=read)
    first.start()
    assert begun.wait(30)
    second = threading.Thread(target=read)
    second.start()
    second.join(0.2)
    go_on.set()
    for each in (first, second):
        each.join(30)
    assert seen == [1, 1]
    assert applied == [{"put": 1}]


def test_a_change_that_is_refused_is_passed_once(tmp_path: Path) -> None:
    calls: list[Any] = []

    def refuse(change: dict[str, Any]) -> None:
        calls.append(change)
        if change == {"bad": 1}:
            raise DataError("no")

    journal = Journal(tmp_path / "journal", refuse)
    other = Journal(tmp_path / "journal", lambda change: None)
    other.write({"bad": 1})
    other.write({"good": 1})
    with pytest.raises(DataError, match="no"):
        journal.catch_up()
    journal.catch_up()
    assert calls == [{"bad": 1}, {"good": 1}]


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", lambda change: None)
    journal.write({"put": 1})
    with open(journal.path, "a", encoding="utf-8") as file:
        file.write("{broken\n")
    with pytest.raises(DataError, match=r"journal: byte 11: not JSON"):
        journal.catch_up()


def test_a_line_that_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", lambda change: None)
    journal.write({"put": 1})
    for torn in (b'{"put": 2', b'{"put": 2}', b"\x00" * 40):
        with open(journal.path, "ab") as file:
            file.write(torn)
        Journal(tmp_path / "journal", lambda change: None).write({"put": 3})
    seen: list[Any] = []
    Journal(tmp_path / "journal", seen.append).catch_up()
    assert seen == [{"put": 1}, {"put": 3}, {"put": 3}, {"put": 3}]


def test_a_change_that_is_refused_or_cannot_be_written_leaves_no_line(tmp_path: Path) -> None:
    def refuse(change: dict[str, Any]) -> None:
        if change != {"good": 1}:
            raise DataError("no")

    journal = Journal(tmp_path / "journal", refuse)
    journal.write({"good": 1})
    before = journal.path.read_bytes()
    with pytest.raises(DataError, match="no"):
        journal.write({"bad": 1})
    assert journal.path.read_bytes() == before
    journal.write({"good": 1})
    assert len(journal.path.read_bytes()) == 2 * len(before)


def test_others_read_a_change_when_it_is_applied(tmp_path: Path) -> None:
    seen: list[Any] = []
    reader = Journal(tmp_path / "journal", seen.append)

    def apply(change: dict[str, Any]) -> None:
        reader.catch_up()
        assert seen == []
        assert json.dumps(change).encode() in reader.path.read_bytes()  # on the disk already

    Journal(tmp_path / "journal", apply).write({"put": 1})
    reader.catch_up()
    assert seen == [{"put": 1}]


def test_a_service_whose_journal_cannot_be_written_answers_as_before(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = case.service(tmp_path / "journal")
    row = {"fresh": {"image": None, "text": case.ds.features["text"][1].tolist()}}
    service.remove(["i3"])
    flushed: list[int] = []

    def fails_at_the_end(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) == 2:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", fails_at_the_end)
    with pytest.raises(OSError, match="Input/output"):
        service.put(row)
    assert "fresh" not in service.all
    assert "fresh" not in service.added
    assert service.removed == {"i3"}
    service.put(row)
    assert "fresh" in case.service(tmp_path / "journal").all
    with pytest.raises(DataError, match="item 'i3' was removed"):
        service.remove(["i3"])


@pytest.mark.parametrize(
    "change",
    [1, [], {}, {"put": 1}, {"put": {"a": 1}}, {"put": {"a": {"image": "x"}}}, {"put": {"a": {"image": [None]}}},
     {"put": {"a": {"image": [10**400]}}},
     {"remove": "i3"}, {"remove": [3]}, {"reload": {}}, {"other": 1}, {"put": {}, "remove": []}],
)  # fmt: skip
def test_a_line_that_is_no_change_is_named(case: Case, tmp_path: Path, change: Any) -> None:
    (tmp_path / "journal").write_text(json.dumps({"remove": ["i5"]}) + "\n" + json.dumps(change) + "\n")
    with pytest.raises(DataError, match=r"journal: byte 19: expected .*put, remove or reload"):
        case.service(tmp_path / "journal")
