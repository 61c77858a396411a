"""Everything that is written goes through `milk_np.files`, but for what is named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import milk_np
import milk_np.kernels

ELSEWHERE = {
    "cli/common.py": "stdout without a reader becomes /dev/null",
    "cli/ending.py": "a last line to stderr",
    "cli/streams.py": "closed streams become /dev/null",
    "machine/memory.py": "resets the system's measure of this process",
    "service/journal.py": "locks the file that `files.appending` writes to",
    "data/storage.py": "into a temporary folder of `files.writing`",
    "data/synthetic/large.py": "into a temporary folder of `files.writing`",
    "training/pretraining/cache.py": "removes a damaged table, to learn it anew",
    "kernels/cpu/disk_cache.py": "Numba's files; the kernels know nothing of the package",
}
OS = {"rename", "replace", "unlink", "remove", "rmdir", "truncate", "ftruncate", "link", "symlink", "write"}
METHODS = {"write_text", "write_bytes", "touch", "rename", "unlink", "rmdir", "tofile", "symlink_to"}
NUMPY = {"save", "savez", "savez_compressed", "memmap", "open_memmap"}


def writes(text: str) -> Iterator[int]:
    """Lines that write to the disk."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and _writes(node):
            yield node.lineno


def _writes(call: ast.Call) -> bool:
    match call.func:
        case ast.Name("open") | ast.Attribute(attr="open"):
            modes = [*call.args[:2], *(each.value for each in call.keywords if each.arg == "mode")]
            texts = [each.value for each in modes if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            return any(set(text) <= set("rwabx+t") and set(text) & set("wax+") for text in texts)
        case ast.Attribute(ast.Name("os"), name):
            return name in OS
        case ast.Attribute(ast.Name("np"), name):
            return name in NUMPY and not _to_memory(call)
        case ast.Attribute(ast.Name("shutil"), _):
            return True
        case ast.Attribute(attr=name):
            return name in METHODS
    return False


def _to_memory(call: ast.Call) -> bool:
    """Whether the target is an open file, called so by all of the package."""
    return bool(call.args) and isinstance(call.args[0], ast.Name) and call.args[0].id == "file"


def found(root: Path) -> dict[str, list[int]]:
    """Lines that write, by file, outside of `files/`."""
    paths = [path for path in root.rglob("*.py") if path.parent.name != "files"]
    lines = {str(path.relative_to(root)): sorted(writes(path.read_text())) for path in paths}
    return {name: numbers for name, numbers in lines.items() if numbers}


def test_what_writes_elsewhere_is_named() -> None:
    package, kernels = Path(milk_np.__file__).parent, Path(milk_np.kernels.__file__).parent
    beside = {f"kernels/{name}" for name in found(kernels)}
    assert {name for name in found(package) if not name.startswith("kernels/")} | beside <= ELSEWHERE.keys()


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "path.open('r+b')",
        "path.write_text('x')",
        "os.replace(a, b)",
        "shutil.rmtree(a)",
        "np.save(path, x)",
    ],
)
def test_a_planted_write_is_found(line: str) -> None:
    assert list(writes(f"def f():\n    {line}\n")) == [2]


@pytest.mark.parametrize("line", ["open(path)", "path.open('rb')", "np.save(file, x)", "text.replace('a', 'b')"])
def test_what_writes_nothing_passes(line: str) -> None:
    assert list(writes(line)) == []
