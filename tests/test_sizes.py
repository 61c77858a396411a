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


def test_functions_are_short_or_say_why_not() -> None:
    assert median(len(text) for _, text in functions()) <= 7
    assert [name for name, text in functions() if len(text) > 45 and REASON not in "\n".join(text)] == []


def test_files_are_short() -> None:
    assert median(len(lines) for lines in files().values()) <= 110
    assert [str(path) for path, lines in files().items() if len(lines) > 300] == []


def test_the_package_has_few_files_of_its_own() -> None:
    own = {path.name for path in FOLDERS[0].iterdir() if path.is_file()}
    assert own == {"__init__.py", "errors.py", "files.py", "py.typed", "rng.py", "text.py"}


@pytest.mark.parametrize("lines", [46, 300])
def test_a_long_function_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    (tmp_path / "long.py").write_text("def f():\n" + "    pass\n" * lines)
    monkeypatch.setattr("test_sizes.FOLDERS", (tmp_path,))
    with pytest.raises(AssertionError):
        test_functions_are_short_or_say_why_not()
