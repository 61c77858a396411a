"""docs/first-steps.ipynb runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "first-steps.ipynb"
NEEDED = ("nbclient", "nbformat", "ipykernel", "pandas")

pytestmark = pytest.mark.skipif(not NOTEBOOK.exists(), reason="the tests run without their checkout")


def cells(notebook: Any, kind: str) -> list[Any]:
    """The cells of a kind."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def shown(notebook: Any) -> list[dict[str, str]]:
    """For each cell of code, what it shows, by form; the text that it prints counts as plain text."""
    return [
        {
            form: "".join(value)
            for output in cell["outputs"]
            for form, value in (output["data"] if "data" in output else {"text/plain": output["text"]}).items()
        }
        for cell in cells(notebook, "code")
    ]


@pytest.fixture(scope="module")
def stored() -> Any:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    for name in NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed (extra: notebook)")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, folder / NOTEBOOK.name)
    return json.loads((folder / NOTEBOOK.name).read_text(encoding="utf-8"))


def test_it_shows_what_is_stored_in_it(stored: Any, executed: Any) -> None:
    for cell, mine, now in zip(cells(stored, "code"), shown(stored), shown(executed), strict=True):
        if "image/png" not in mine:  # matplotlib may be absent
            assert sorted(mine) == sorted(now), "".join(cell["source"])


def test_it_ends_with_lists_and_a_picture(executed: Any) -> None:
    texts = shown(executed)
    said = "\n".join(each.get("text/plain", "") for each in texts)
    markup = "\n".join(each.get("text/html", "") for each in texts)
    assert "max_epoch: milk has no such setting; did you mean max_epochs?" in said
    assert "<progress" in markup
    assert "Milk: MILK" in markup
    assert re.search(r"Data set .*synthetic", markup)
    assert markup.count("<th>item</th>") >= 2
    assert texts[-2]["text/plain"].endswith("True")
    assert said.rstrip().endswith(">")
    pictures = [
        each for each in texts if "image/png" in each or "matplotlib is not installed" in each.get("text/plain", "")
    ]
    assert len(pictures) == 1


def test_models_are_ahead_of_the_one_without_training(executed: Any) -> None:
    table = next(each["text/html"] for each in shown(executed) if "kernel profile" in each.get("text/html", ""))
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    alls = [[float(x) for x in re.findall(r"<td>([\d.]+)</td>", row)] for row in rows if "<th>all</th>" in row]
    milk, kernel, plain = (row[3] for row in alls)
    assert min(milk, kernel) > plain


def test_its_links_lead_somewhere_and_it_names_no_machine(stored: Any) -> None:
    text = "".join(line for cell in cells(stored, "markdown") for line in cell["source"])
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).exists()] == []
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp|usr|work)\b", json.dumps(stored)) == []
    assert "first-steps.ipynb" in (NOTEBOOK.parent / "README.md").read_text(encoding="utf-8")
