"""Reports for everybody: a checker finds nothing, their structure can be heard, keys reach everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_cases import STRUCTURE, WIDTHS, Page, axe, browser, needs_browser, tabbed, violations

pytestmark = [pytest.mark.browser, needs_browser]
names = pytest.mark.parametrize("name", ["experiments", "run"])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@names
def test_a_checker_finds_nothing(
    page: Page, pages: dict[str, Path], name: str, width: int, dark: bool, tmp_path: Path
) -> None:
    source = axe()
    page.open(pages[name].as_uri(), width, dark)
    page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.picture(tmp_path / f"{name}-{width}.png")
    assert violations(page, source) == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


@names
def test_reports_have_a_structure(page: Page, pages: dict[str, Path], name: str) -> None:
    page.open(pages[name].as_uri(), 1200)
    assert page.run(STRUCTURE) == []


@names
def test_keys_reach_every_table_and_the_focus_is_seen(page: Page, pages: dict[str, Path], name: str) -> None:
    page.open(pages[name].as_uri(), 390)
    page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    places = tabbed(page)
    assert [place for place in places if not place["seen"]] == []
    frames = page.run("document.querySelectorAll('.wide').length")
    assert sum(place["tag"] == "DIV" for place in places) == frames


def test_a_planted_fault_is_found(page: Page, tmp_path: Path) -> None:
    source = axe()
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<!DOCTYPE html><html><body><h3 style="color:#ccc;background:#fff">pale words</h3><input></body></html>'
    )
    page.open(bad.as_uri(), 390)
    found = {each.partition(":")[0] for each in violations(page, source)}
    assert {"html-has-lang", "document-title", "color-contrast", "label"} <= found
    structure = page.run(STRUCTURE)
    for word in ("no language", "no title", "main landmarks: 0", "h1: 0", "heading skips", "no label"):
        assert any(each.startswith(word) for each in structure), word
