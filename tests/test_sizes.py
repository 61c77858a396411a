"""Functions and files stay short enough to be held in the head."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

import milk_np
import milk_np.kernels

FOLDERS = (Path(milk_np.__file__).parent, Path(milk_np.kernels.__file__).parent)
REASON = "# Long on purpose: "


def files() -> dict[Path, list[str]]:
    return {path: path.read_text().splitlines() for folder in FOLDERS for path in folder.rglob("*.py")}


def functions() -> list[tuple[str, list[str]]]:
    """Name and lines of every function, its docstring apart."""
    found = []
    for path, lines in files().items():
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef):
                text = lines[node.lineno - 1 : node.end_lineno]
                first = node.body[0]
                if ast.get_docstring(node) is not None and len(node.body) > 1:
                    del text[first.lineno - node.lineno : (first.end_lineno or first.lineno) - node.lineno + 1]
                found.append((f"{path.name}: {node.name}", text))
    return found


def long_functions() -> list[str]:
    """Functions of more than 45 lines that don't say why."""
    return [name for name, text in functions() if len(text) > 45 and REASON not in "\n".join(text)]


def long_files() -> list[str]:
    """Files of more than 300 lines."""
    return [path.name for path, lines in files().items() if len(lines) > 300]


def usual_function() -> float:
    """Median of the functions' lines."""
    return median(len(text) for _, text in functions())


def usual_file() -> float:
    """Median of the files' lines."""
    return median(len(lines) for lines in files().values())


def test_functions_are_short_or_say_why_not() -> None:
    assert usual_function() <= 7
    assert long_functions() == []


def test_files_are_short() -> None:
    assert usual_file() <= 110
    assert long_files() == []


def test_the_package_has_few_files_of_its_own() -> None:
    own = {path.name for path in FOLDERS[0].iterdir() if path.is_file()}
    assert own == {"__init__.py", "errors.py", "py.typed", "rng.py", "text.py"}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is looked at instead of the package."""
    monkeypatch.setattr("test_sizes.FOLDERS", (tmp_path,))
    return tmp_path


@pytest.mark.parametrize(("lines", "found"), [(44, []), (45, ["long.py: f"])])
def test_one_long_function_among_short_ones_is_found(planted: Path, lines: int, found: list[str]) -> None:
    short = "".join(f"def g{n}():\n    pass\n" for n in range(3))
    (planted / "long.py").write_text(f"{short}def f():\n" + "    pass\n" * lines)
    assert usual_function() <= 7
    assert long_functions() == found


def test_a_long_function_may_say_why(planted: Path) -> None:
    (planted / "long.py").write_text(f"def f():\n    {REASON}one table\n" + "    pass\n" * 60)
    assert long_functions() == []


def test_functions_that_are_all_rather_long_are_found(planted: Path) -> None:
    (planted / "rather.py").write_text("".join(f"def g{n}():\n" + "    pass\n" * 7 for n in range(3)))
    assert (usual_function(), long_functions()) == (8, [])


@pytest.mark.parametrize(("lines", "found"), [(300, []), (301, ["long.py"])])
def test_one_long_file_among_short_ones_is_found(planted: Path, lines: int, found: list[str]) -> None:
    for n in range(3):
        (planted / f"short{n}.py").write_text("x = 1\n")
    (planted / "long.py").write_text("x = 1\n" * lines)
    assert usual_file() <= 110
    assert long_files() == found


def test_files_that_are_all_rather_long_are_found(planted: Path) -> None:
    (planted / "rather.py").write_text("x = 1\n" * 111)
    assert (usual_file(), long_files()) == (111, [])


def test_files_of_tests_have_names_of_their_own() -> None:
    """Pytest takes two files of one name for the same module, and refuses to begin."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
