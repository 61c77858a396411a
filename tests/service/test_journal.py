"""Changes that processes share: seen whole or not at all, and in one order."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from milk_np.errors import DataError
from milk_np.service.journal import Journal


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
    with pytest.raises(DataError, match=r"journal: byte 11: not a line of JSON"):
        journal.catch_up()
