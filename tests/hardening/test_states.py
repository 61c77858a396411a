"""The states of one run are those that real ends leave, and what is lost is found in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from crashes import ENDS, Bench, plan_of
from job_cases import Job
from states import digest, put, state_of

from milk_np.files import write_text_atomic


def bench(folder: Path, run: Callable[[], int], go_on: Callable[[], int]) -> Bench:
    """A bench for a job that writes `result`."""

    def begin(start: Path) -> None:
        (start / "result").write_text("old")

    return Bench(Job("small", begin, run, go_on, ("result",)), folder)


def mixed() -> int:
    """Files that are flushed, not flushed, appended to, moved and removed, under names that are the same each time."""
    Path("mine").mkdir(exist_ok=True)
    with open("mine/flushed", "w") as file:
        file.write("new" * 5)
        file.flush()
        os.fsync(file.fileno())
    Path("next").write_text("other" * 5)
    os.replace("next", "result")
    with open("result", "a") as file:
        file.write("more")
    Path("mine/flushed").unlink()
    Path("mine").rmdir()
    Path("result").chmod(0o600)
    return 0


def test_a_state_is_what_a_real_end_leaves(tmp_path: Path) -> None:
    each = bench(tmp_path, mixed, mixed)
    by_point = {point: state for state, points in each.states().items() for point in points}
    assert by_point.keys() == set(each.points(ENDS))
    for (at, kind), state in by_point.items():
        each._run(plan_of(at, kind))
        assert digest(state_of(each.place, {})) == digest(state_of(state, {})), (at, kind)


def whole() -> int:
    write_text_atomic("result", "new" * 5)
    return 0


def torn() -> int:
    Path("result").write_text("new" * 5)
    return 0


def not_flushed() -> int:
    Path("next").write_text("new" * 5)
    os.replace("next", "result")
    return 0


def left() -> int:
    Path("half").write_text("x")
    write_text_atomic("result", "new" * 5)
    Path("half").unlink()
    return 0


@pytest.mark.parametrize(
    ("run", "go_on", "found"),
    [
        (whole, whole, ""),
        (torn, whole, "result is neither as before nor as after"),
        (not_flushed, whole, "result is neither as before nor as after"),
        (left, whole, "then goes on, too many or too few: half"),
        (whole, lambda: 3, "ended with 3, expected (0,): "),
    ],
)
def test_what_is_lost_is_found(tmp_path: Path, run: Callable[[], int], go_on: Callable[[], int], found: str) -> None:
    each = bench(tmp_path, run, go_on)
    wrong = {each.check_state(state, points) for state, points in each.states().items()}
    assert any(found in text for text in wrong) if found else wrong == {""}


def test_a_state_is_put_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "file").write_bytes(b"\x00\xff")
    (folder / "a" / "file").chmod(0o640)
    (folder / "link").symlink_to("a/file")
    os.utime(folder / "a" / "file", ns=(5, 5))
    state = state_of(folder, {})
    put(state, tmp_path / "two")
    assert digest(state_of(tmp_path / "two", {})) == digest(state)
    assert (tmp_path / "two" / "a" / "file").stat().st_mtime_ns == 5
    inode = (folder / "a" / "file").stat().st_ino
    assert state_of(folder, {inode: 1})["a/file"].data == b"\x00"
