"""Jobs that are ended at a file operation go on to what they would have left; the harness finds those that don't."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crashes import KINDS, Bench
from job_cases import Job

from milk_np.files import write_text_atomic

CRASHES = Path(__file__).parents[1] / "crashes.py"


def test_a_pick_of_all_points_loses_nothing() -> None:
    done = subprocess.run(
        [sys.executable, CRASHES, "--points", "2", "--seed", "20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_few_kills_lose_nothing() -> None:
    jobs = ("--job", "train", "--job", "prepare folder", "--job", "serve")
    done = subprocess.run(
        [sys.executable, CRASHES.with_name("kills.py"), "--count", "6", "--seed", "20", *jobs],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def bench(folder: Path, run: Callable[[], int], go_on: Callable[[], int] | None = None) -> Bench:
    """A bench for a job that writes `result`."""

    def begin(start: Path) -> None:
        (start / "result").write_text("old")

    return Bench(Job("small", begin, run, go_on or run, ("result",)), folder)


def wrong(each: Bench) -> set[str]:
    """What is found at any point, without its place."""
    found = (each.check(at, kind) for at, kind in each.points(KINDS))
    return {text.partition(": ")[2].splitlines()[0] for text in found if text}


def whole() -> int:
    try:
        write_text_atomic("result", "new" * 5)
    except OSError:
        return 3
    return 0


def test_a_job_that_loses_nothing_passes(tmp_path: Path) -> None:
    assert wrong(bench(tmp_path, whole)) == set()


def torn() -> int:
    Path("result").write_text("new" * 5)
    return 0


def left() -> int:
    Path("mine").mkdir(exist_ok=True)
    write_text_atomic("mine/half", "x")
    write_text_atomic("result", "new")
    Path("mine/half").unlink()
    Path("mine").rmdir()
    return 0


def swallowed() -> int:
    try:
        write_text_atomic("result", "new")
    except OSError:
        return 0
    return 0


def not_flushed() -> int:
    Path("next").write_text("new" * 5)
    os.replace("next", "result")
    return 0


@pytest.mark.parametrize(
    ("run", "go_on", "found"),
    [
        (torn, whole, "result is neither as before nor as after"),
        (not_flushed, not_flushed, "result is neither as before nor as after"),
        (left, whole, "then goes on, too many or too few: mine/half"),
        (swallowed, lambda: 0, "then goes on, other contents: result"),
        (torn, torn, "a traceback: Traceback (most recent call last):"),
        (whole, lambda: 3, "ended with 3, expected (0,): "),
    ],
)
def test_what_is_lost_is_found(tmp_path: Path, run: Callable[[], int], go_on: Callable[[], int], found: str) -> None:
    assert found in wrong(bench(tmp_path, run, go_on))
