"""Fuzzing: a short run finds nothing, and what is wrong is found."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from pathlib import Path

import mutants
import numpy as np
import pytest
from fuzz import Bench, Runner
from fuzz_kind import REFUSED, Kind, one_of
from fuzz_kinds import KINDS
from guided import Choices

from milk_np.errors import DataError

FUZZ = Path(__file__).parents[1] / "fuzz.py"


def test_a_short_run_finds_nothing() -> None:
    done = subprocess.run(
        [sys.executable, FUZZ, "--cases", "20", "--seed", "20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def crash() -> None:
    import ctypes
    import faulthandler

    faulthandler.disable()  # it is meant to crash: no word of it on the screen
    ctypes.string_at(0)


def unpickle() -> None:
    np.load("file", allow_pickle=True)


def planted(text: str) -> int:
    """What a program with faults does with a text of one letter."""
    match text:
        case "z":
            crash()
        case "e":
            raise ValueError("an error that no command tells")
        case "d":
            raise DataError("")
        case "m":
            return len(bytearray(1 << 40))
    return 0


@pytest.mark.parametrize(
    ("letter", "found"),
    [
        ("z", "ended with -11"),
        ("e", "ValueError at"),
        ("d", "an error without a message"),
        ("m", "MemoryError"),
        ("a", ""),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letter: str, found: str) -> None:
    kind = Kind(
        lambda folder: (folder / "file").write_text("-") and None,
        lambda rng, files: {"file": (letter if rng.random() < 0.5 else "-").encode()},
        lambda: planted(Path("file").read_text()),
    )
    monkeypatch.setitem(KINDS, "planted", kind)
    monkeypatch.setattr("faulthandler.enable", lambda *_: None)
    runner = Runner(Bench("planted", tmp_path / "bench", 0))
    runner.run(0, 12)
    assert bool(runner.wrong) == bool(found)
    assert all(found in each for each in runner.wrong)
    if letter != "a":
        assert 2 < len(runner.wrong) < 11  # it goes on after each


def test_a_change_under_a_seal_and_an_object_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(folder: Path) -> None:
        np.save(folder / "file", np.arange(3))
        (folder / "file.npy").rename(folder / "file")

    changes = one_of(file=mutants.changed_bytes)
    monkeypatch.setitem(KINDS, "planted", Kind(make, changes, lambda: Path("file").read_bytes(), sealed=True))
    bench = Bench("planted", tmp_path / "one", 0)
    assert bench.wrong(bench.files) == ""
    assert bench.wrong({"file": b"other"}) == "a change was accepted that a checksum tells of"
    monkeypatch.setitem(KINDS, "planted", Kind(make, changes, unpickle))
    bench = Bench("planted", tmp_path / "two", 0)
    assert bench.wrong({"file": mutants.npy(np.array([mutants.Payload()], object))}) == "something was unpickled"


def test_a_kind_whose_own_files_are_refused_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "planted", Kind(lambda folder: None, lambda rng, files: files, lambda: REFUSED))
    with pytest.raises(RuntimeError, match="planted: files that nobody has changed are refused"):
        Bench("planted", tmp_path / "bench", 0)


def test_changes_are_the_same_for_a_seed_and_keep_the_structure() -> None:
    data = mutants.zipped([("a.npy", mutants.npy(np.arange(4))), ("meta.npy", mutants.npy(np.array('{"a": 1}')))])
    made = [mutants.changed_npz(random.Random(number), data) for number in range(200)]
    assert made == [mutants.changed_npz(random.Random(number), data) for number in range(200)]
    assert len(set(made)) > 150
    whole = 0
    for each in made:
        try:
            whole += bool(mutants.entries(each))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, OverflowError):
            continue
    assert whole > 120  # right checksums, so that what is inside is looked at


def test_bytes_decide_choices() -> None:
    first, same, other = (Choices(data) for data in (b"\x07\x00\xff", b"\x07\x00\xff", b""))
    assert [first.choice("abcdefgh") for _ in range(6)] == [same.choice("abcdefgh") for _ in range(6)]
    assert [other.choice("abcdefgh") for _ in range(3)] == ["a"] * 3
    assert other.random() == 0


def nested(data: bytes) -> int:
    """Fails for one of four thousand million."""
    if data[0] == 0x4D and data[1] == 0x49:
        if data[2] == 0x4C:
            if data[3] == 0x4B:
                raise ValueError("found")
            return 3
        return 2
    return 0


def test_coverage_leads_to_what_chance_would_not_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guided = pytest.importorskip("guided")
    pytest.importorskip("atheris", reason="the extra fuzz is not installed")
    kind = Kind(
        lambda folder: (folder / "file").write_text("----") and None,
        lambda rng, files: {"file": bytes(rng.getrandbits(8) for _ in range(4))},
        lambda: nested(Path("file").read_bytes()),
    )
    monkeypatch.setitem(KINDS, "planted", kind)
    monkeypatch.chdir(tmp_path)
    found = guided.run(Bench("planted", tmp_path / "bench", 0), 120, 7, __name__)
    assert found.tried[guided.WHAT] > 100
    assert len(found.wrong) == 1
    assert "ValueError at" in found.wrong[0]


def test_functions_and_methods_of_a_package_are_led_by() -> None:
    guided = pytest.importorskip("guided")
    found = {function.__qualname__ for function in guided.functions("milk_np.data")}
    assert {"Dataset.load", "Dataset.statistics", "Arrays.n_users"} <= found
