"""The pages: their links lead somewhere, their code compiles, their commands and options exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from milk_np.errors import EXIT_CODES
from milk_np.models import registry

ROOT = Path(__file__).parents[1]
README, BENCHMARKS = ROOT / "README.md", ROOT / "benchmarks"
GUIDES = sorted((ROOT / "docs").glob("*.md"))
CARDS = sorted((ROOT / "docs" / "models").glob("*.md"))
LINKED = [README, *GUIDES, BENCHMARKS / "README.md"]
PAGES = [*LINKED, *CARDS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
OTHERS = {
    "milk-np",
    "milk-count",
    "--strict",
    "--anew",
    "--guided",
    "--run",
    "--preload",
    "--states",
    "--kind",
    "--case",
    "--job",
}
"""The package, the command that CONTRIBUTING.md shows how to write, options of mypy, gunicorn and the harnesses."""
MOST_WORDS = 1100

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").exists(), reason="the tests run without their checkout, as on an installed wheel"
)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """A page without its fenced blocks, whose # are no headings and whose brackets no links."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Targets of the links that lead to files or headings of the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    wrong = []
    for link in links(page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


def commands(text: str) -> list[str]:
    """Command lines of the blocks in sh and console, continued lines joined, comments and output left out."""
    shell = [line.partition("  #")[0] for block in blocks(text, "sh") for line in joined(block)]
    shown = [line[2:] for block in blocks(text, "console") for line in joined(block) if line.startswith("$ ")]
    return [line.partition(" | ")[0] for line in (*shell, *shown)]


def joined(block: str) -> list[str]:
    """Lines of a block, those that end in a backslash joined with the next."""
    return block.replace("\\\n", " ").splitlines()


def scripts() -> set[str]:
    """Names of the project's commands."""
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


@cache
def options(command: str) -> frozenset[str]:
    """Options of a command; those of every model that milk-train trains."""
    models = [["--model", name] for name in registry.trained()] if command == "milk-train" else []
    lines = [[sys.executable, str(ROOT / "bin" / command), *more, "--help"] for more in ([], *models)]
    texts = [subprocess.run(line, capture_output=True, text=True, check=True).stdout for line in lines]
    return named(" ".join(texts))


def named(text: str) -> frozenset[str]:
    """Options that a text names."""
    return frozenset(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pages
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two\n[a](#one-two) [b](page.md) [c](https://x.y/z) [d](none.md) [e](#three) [f](page.md#x)\n"
    )
    assert broken(page) == ["none.md", "#three", "page.md#x"]


def test_every_guide_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index.read_text())}
    assert {*LINKED} - {index} <= listed


def test_every_card_is_in_the_table_of_models() -> None:
    table = ROOT / "docs" / "models.md"
    assert {*CARDS} <= {(table.parent / link.partition("#")[0]).resolve() for link in links(table.read_text())}


BESIDE = {
    *("apsw", "distributed", "duckdb", "faiss", "lancedb", "mlflow", "onnxruntime", "pandas", "polars"),
    *("qdrant_client", "sklearn.base", "sklearn", "sqlite_vec", "tensorboard"),
}
"""What pages need beside the package; tests/cli/test_export.py runs the recipes of docs/vectors.md."""


NEEDED = dict.fromkeys(("milk_np.service.app", "milk_np.service.start"), "fastapi")
"""What parts of the package need that an extra brings."""


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))  # walks make what they import
def test_python_compiles_and_imports_what_there_is(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        for node in ast.walk(compile(block, str(page), "exec", ast.PyCF_ONLY_AST)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name not in BESIDE or find_spec(alias.name):
                        import_module(alias.name)
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None
                if node.module in BESIDE and not find_spec(node.module.partition(".")[0]):
                    continue
                if not find_spec(NEEDED.get(node.module, "milk_np")):
                    continue
                for alias in node.names:
                    assert hasattr(import_module(node.module), alias.name), f"{node.module}.{alias.name}"


@pages
def test_commands_exist_with_their_options(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"(?<![\w./-])milk-[a-z]+(?!\w)", text)) - scripts() <= OTHERS
    for line in commands(text):
        parts = re.split(r"(?:^|[;&\s/])(milk-[a-z]+)", line)
        for command, rest in zip(parts[1::2], parts[2::2], strict=True):
            assert command in scripts(), line
            assert named(rest) <= options(command), line


@pages
def test_options_in_the_text_exist(page: Path) -> None:
    known = frozenset[str]().union(*(options(command) for command in scripts()))
    own = named(" ".join(path.read_text() for path in BENCHMARKS.glob("*.py")))
    assert named(prose(page.read_text())) <= known | own | OTHERS


def test_the_table_of_exit_codes_is_that_of_the_commands() -> None:
    text = (ROOT / "docs" / "file-format.md").read_text().partition("## Exit codes")[2]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_the_readme_is_one_page() -> None:
    assert len(README.read_text().split()) <= MOST_WORDS


@pages
def test_no_page_names_a_folder_of_a_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp|usr|work)\b", page.read_text()) == []


def test_tables_of_the_benchmarks_are_the_saved_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    tables = import_module("tables")
    text = (BENCHMARKS / "README.md").read_text()
    assert tables.filled(text) == text
    assert (BENCHMARKS / "results" / "benchmarks.html").read_text() == tables.page()
