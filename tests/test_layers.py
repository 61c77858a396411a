"""The layers of the package: an import goes down, be it at the top of a file, inside a function or for types alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import milk_np
import milk_np.kernels
from milk_np.models import registry

PACKAGE = Path(milk_np.__file__).parent
KERNELS = Path(milk_np.kernels.__file__).parent

LAYERS = (
    ("errors", "text"),
    ("kernels",),
    ("rng", "files", "ranks", "display"),
    ("settings",),
    ("machine",),
    ("data",),
    ("backends",),
    ("nn",),
    ("serving",),
    ("evaluation",),
    ("training",),
    ("models",),
    ("dask",),
    ("experiments",),
    ("reports",),
    ("service",),
    ("cli",),
    ("",),  # milk_np/__init__.py, which names what is public
)
"""From the ground up. A part imports from the layers below its own and from itself; parts of a layer are strangers."""

MODELS = {row.model.split(".")[2] for row in registry.MODELS.values()}
"""Folders of models/ that a row of the registry names. They know nothing of one another; the others are shared."""

Imports = dict[str, set[str]]


def sources() -> dict[str, str]:
    """Text of every module of the package by its name."""
    found = {}
    for root, prefix in ((PACKAGE, "milk_np"), (KERNELS, "milk_np.kernels")):
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join((prefix, *parts)).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imports_of(texts: dict[str, str]) -> Imports:
    """By module, the modules of the package that it imports anywhere."""
    return {name: set(_imported(ast.parse(text), texts)) - {name} for name, text in texts.items()}


def _imported(tree: ast.AST, known: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        if isinstance(node, ast.ImportFrom) and node.module in known:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from inside & set(known)
            if inside - set(known):
                yield node.module


def part_of(module: str) -> str:
    """The part that a module belongs to: the second word of its name."""
    return module.removeprefix("milk_np").removeprefix(".").partition(".")[0]


def upward(imports: Imports) -> list[str]:
    """Imports that don't go down."""
    height = {part: level for level, parts in enumerate(LAYERS) for part in parts}
    return [
        f"{module} imports {other}"
        for module, others in sorted(imports.items())
        for other in sorted(others)
        if part_of(module) != part_of(other) and height[part_of(module)] <= height[part_of(other)]
    ]


def between_models(imports: Imports) -> list[str]:
    """Imports from one model's folder to another's, and from what models share to one of them."""
    folders = [(module, others) for module, others in imports.items() if module.startswith("milk_np.models")]

    def folder(module: str) -> str:
        return module.removeprefix("milk_np.models.").partition(".")[0] if module.startswith("milk_np.models.") else ""

    return [
        f"{module} imports {other}"
        for module, others in folders
        for other in others
        if folder(other) in MODELS - {folder(module)}
    ]


def circle(imports: Imports) -> list[str]:
    """Modules that import each other in turn, the first such circle; none if there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(imports[module]):
            if found := walk(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(imports) if (found := walk(module, []))), [])


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return sources()


def test_every_part_has_a_layer(texts: dict[str, str]) -> None:
    assert {part_of(module) for module in texts} == {part for parts in LAYERS for part in parts}


def test_imports_go_down(texts: dict[str, str]) -> None:
    assert upward(imports_of(texts)) == []


def test_models_know_nothing_of_one_another(texts: dict[str, str]) -> None:
    assert between_models(imports_of(texts)) == []


def test_no_modules_import_each_other(texts: dict[str, str]) -> None:
    assert circle(imports_of(texts)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("milk_np.data.rows", "from milk_np.models.base import Recommender"),
        ("milk_np.data.rows", "def late():\n    from milk_np.training import loop"),
        ("milk_np.kernels.cpu.topk", "from milk_np import rng"),
        ("milk_np.kernels.reference.topk", "import milk_np.settings.shared"),
        ("milk_np.errors", "if TYPE_CHECKING:\n    from milk_np.text import VERSION"),
        ("milk_np.training.loop", "from milk_np import Milk"),
    ],
)
def test_a_planted_import_upward_is_found(texts: dict[str, str], module: str, line: str) -> None:
    planted = texts | {module: f"{texts[module]}\n{line}\n"}
    found = upward(imports_of(planted))
    assert len(found) == 1
    assert found[0].startswith(f"{module} imports ")


def test_a_planted_import_between_models_is_found(texts: dict[str, str]) -> None:
    for module, other in (("models.kernel_profile.ridge", "models.milk.users"), ("models.stored", "models.duif.model")):
        planted = texts | {f"milk_np.{module}": f"from milk_np.{other} import x"}
        assert between_models(imports_of(planted)) == [f"milk_np.{module} imports milk_np.{other}"]


def test_a_planted_circle_is_found(texts: dict[str, str]) -> None:
    text = f"{texts['milk_np.data.rows']}\ndef late():\n    from milk_np.data import dataset\n"
    found = circle(imports_of(texts | {"milk_np.data.rows": text}))
    assert {"milk_np.data.rows", "milk_np.data.dataset"} <= set(found)
