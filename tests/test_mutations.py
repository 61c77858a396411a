"""The harness of planted errors, and that every planted error still has a place in the code."""

from __future__ import annotations

from pathlib import Path

import gpu_mutations
import mutations
import planting
import pytest
from planting import ROOT, Copy, Mutation, Proof

CASES = [*mutations.MUTATIONS, *gpu_mutations.MUTATIONS]


@pytest.mark.parametrize("mutation", CASES, ids=lambda m: f"{m.file}: {m.name}")
def test_text_to_change_stands_once(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text()
    assert mutation.planted(text) != text


def test_text_that_is_gone_is_told() -> None:
    mutation = Mutation("sign", "milk_np/rng.py", "a + b", "a - b")
    assert mutation.planted("c = a + b") == "c = a - b"
    for text in ("c = b + a", "c = a + b\nd = a + b"):
        with pytest.raises(ValueError, match=r"milk_np/rng.py: 'a \+ b' stands there \d times, expected once"):
            mutation.planted(text)


@pytest.mark.parametrize(
    ("code", "shown", "told"),
    [
        (0, "3 passed", ""),
        (1, "FAILED tests/a.py::test_b - assert\n1 failed", "tests/a.py::test_b"),
        (1, "FAILED a.py::b - x\nbarrier divergence, line 7", "a.py::b barrier divergence, line 7"),
        (-11, "....", "exit code -11"),
        (4, "ERROR: file or directory not found", "exit code 4"),
    ],
)
def test_what_pytest_says_is_told(code: int, shown: str, told: str) -> None:
    assert planting.failure(code, shown) == told


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one function and one test."""
    for folder in ("milk_np", "kernels", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "milk_np" / "__init__.py").touch()
    (tmp_path / "kernels" / "__init__.py").write_text("def add(a, b):\n    return a + b  # both\n")
    test = "from milk_np.kernels import add\n\n\ndef test_add():\n    assert add(3, 1) == 4\n"
    (tmp_path / "tests" / "test_add.py").write_text(test)
    monkeypatch.setattr(planting, "ROOT", tmp_path)
    return tmp_path


ERRORS = [
    Mutation("difference", "kernels/__init__.py", "a + b", "a - b"),
    Mutation("comment", "kernels/__init__.py", "  # both", ""),
]


def test_an_error_is_planted_and_caught(house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = Proof(("tests/test_add.py",))
    copy = Copy(tmp_path / "copy")
    assert copy.caught_by(proof) == ""
    copy.put(ERRORS[0])
    assert copy.caught_by(proof) == "tests/test_add.py::test_add"
    assert planting.run(ERRORS, lambda mutation: proof, ["diff"]) == 0
    assert planting.run(ERRORS, lambda mutation: proof, []) == 1
    assert "| comment | kernels/__init__.py | **nothing** |" in capsys.readouterr().out


def test_a_test_that_fails_by_itself_ends_the_run(house: Path) -> None:
    with pytest.raises(SystemExit, match="exit code 4 fails without any error planted"):
        planting.run(ERRORS, lambda mutation: Proof(("tests/none.py",)), [])
    with pytest.raises(SystemExit, match="no error's name or file holds sum"):
        planting.run(ERRORS, lambda mutation: Proof(()), ["sum"])
