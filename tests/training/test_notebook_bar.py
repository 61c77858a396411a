"""In a notebook a fit shows a bar by itself."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from training_cases import OPTIONS, small_set

from milk_np import Milk, Progress, RidgeDirect, show_progress
from milk_np.data import Dataset
from milk_np.errors import DivergedError
from milk_np.training.notebook import NotebookBar

SHORT: dict[str, Any] = {**OPTIONS, "epochs": 4}


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small_set()


class Cell:
    """The output of a notebook's cell: what it shows, and how often it was drawn."""

    def __init__(self) -> None:
        self.shown, self.cells, self.drawn = "", 0, 0

    def display(self, html: Any, display_id: bool) -> Any:
        assert display_id
        self.cells += 1
        self._draw(html)
        return SimpleNamespace(update=self._draw)

    def _draw(self, html: str) -> None:
        self.shown, self.drawn = html, self.drawn + 1


def notebook(monkeypatch: pytest.MonkeyPatch, shell: Any) -> Cell:
    """IPython as a notebook has it, or a terminal."""
    cell, ipython, display = Cell(), ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    display.display, display.HTML = cell.display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return cell


def test_in_a_notebook_a_fit_shows_a_bar_by_itself(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = notebook(monkeypatch, SimpleNamespace(kernel=object()))
    Milk(**SHORT).fit(ds)
    assert cell.cells == 1
    assert cell.drawn >= 4
    assert re.search(r'<progress value="1" max="1" aria-label="[^"]+"', cell.shown)
    assert re.search(r"trained 4 epochs in [\d.]+ s, best epoch \d", cell.shown)
    RidgeDirect(topk=(5,)).fit(ds)
    assert cell.cells == 2
    assert "fitted in" in cell.shown
    before = cell.drawn
    Milk(**SHORT).fit(ds, callback=())
    assert cell.drawn == before
    assert isinstance(show_progress(), NotebookBar)


def test_a_bar_in_a_notebook_says_how_it_ended(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = notebook(monkeypatch, SimpleNamespace(kernel=object()))
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        Milk(**{**SHORT, "lr": 1e30}).fit(ds)
    assert "by an error or an interruption" in cell.shown


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["no shell", "terminal"])
def test_elsewhere_a_fit_is_silent(
    ds: Dataset, shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = notebook(monkeypatch, shell)
    Milk(**{**SHORT, "epochs": 2}).fit(ds)
    assert cell.cells == 0
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_not_drawn_more_often_than_one_can_see() -> None:
    now, cell = [0.0], Cell()
    bar = NotebookBar(lambda markup: cell.display(markup, True).update, "ndcg@10", clock=lambda: now[0])
    bar(Progress("start", 0, 1000))
    for epoch in range(1, 1001):
        now[0] = epoch / 1000
        bar(Progress("epoch", epoch, 1000, losses={"total": 0.5}))
    assert 8 <= cell.drawn <= 12
    bar(Progress("evaluation", 1000, 1000, metrics={"ndcg@10": 0.25}, best_epoch=1000))
    assert "valid ndcg@10 0.2500 (best)" in cell.shown
