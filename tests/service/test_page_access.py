"""The pages of the service for everybody: by keyboard alone, by an accessibility checker, with a structure to hear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from browser_cases import FOCUS, STRUCTURE, WIDTHS, Page, axe, browser, needs_browser, tabbed, violations
from service_cases import make_case
from test_page_browser import shown

pytestmark = [pytest.mark.browser, needs_browser]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    with shown(make_case(folder).service(folder / "journal.jsonl"), folder / "probe.html") as address:
        yield address


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", ["/", "/?user=u1", "/?user=nobody", "/docs"])
def test_a_checker_finds_nothing(page: Page, url: str, path: str, width: int, dark: bool, tmp_path: Path) -> None:
    source = axe()
    page.open(f"{url}{path}", width, dark)
    if "user" in path:
        page.until("document.querySelector('#list li, #said.bad')")
    page.picture(tmp_path / f"page-{width}.png")
    assert violations(page, source) == []


@pytest.mark.parametrize("path", ["/", "/?user=u1", "/docs"])
def test_pages_have_a_structure(page: Page, url: str, path: str) -> None:
    page.open(f"{url}{path}", 1200)
    if "user" in path:
        page.until("document.querySelector('#list li')")
    assert page.run(STRUCTURE) == []
    assert page.run("document.documentElement.lang") == "en"


def test_a_list_by_keyboard_alone(page: Page, url: str) -> None:
    page.open(f"{url}/", 1200)
    while page.run(FOCUS)["id"] != "who":
        page.press("Tab")
    page.write("u1")
    while page.run(FOCUS)["tag"] != "BUTTON":
        page.press("Tab")
    page.press("Enter")
    page.until("document.querySelector('#list li')")
    assert "10 items" in page.run("document.getElementById('said').textContent")
    while page.run(FOCUS)["type"] != "checkbox":
        page.press("Tab")
    page.press(" ")
    page.until("document.querySelector('.moved').textContent")
    assert page.run("document.querySelector('.moved').textContent").startswith("Without ")


def test_a_history_by_keyboard_alone(page: Page, url: str) -> None:
    page.open(f"{url}/", 390)
    page.run("document.querySelector('[name=kind]').focus()")
    page.press("ArrowRight")
    page.press("Tab")
    assert page.run(FOCUS)["id"] == "who"
    page.write("i1,i2")
    page.press("Enter")
    page.until("document.querySelectorAll('#list li').length === 10")


@pytest.mark.parametrize("path", ["/?user=u1", "/docs"])
def test_the_focus_is_seen_and_goes_everywhere(page: Page, url: str, path: str) -> None:
    page.open(f"{url}{path}", 390)
    if "user" in path:
        page.until("document.querySelector('#list li')")
    page.run("document.activeElement.blur()")
    places = tabbed(page)
    assert [place for place in places if not place["seen"]] == []
    boxes = page.run("document.querySelectorAll('input[type=checkbox]').length")
    assert sum(place["type"] == "checkbox" for place in places) == boxes
    frames = page.run("document.querySelectorAll('.wide').length")
    assert sum(place["tag"] == "DIV" for place in places) == frames


def test_what_is_searched_and_found_is_said(page: Page, url: str) -> None:
    """A reader who doesn't see the page hears of the outcome, and of an error at once."""
    page.open(f"{url}/?user=nobody", 1200)
    page.until("document.querySelector('#said.bad')")
    assert page.run("document.getElementById('said').getAttribute('role')") == "status"
    assert page.run("document.getElementById('who').getAttribute('aria-invalid')") == "true"
    page.open(f"{url}/?user=u1", 1200)
    page.until("document.querySelector('#list li')")
    assert page.run("document.getElementById('who').getAttribute('aria-invalid')") != "true"
    named = "n => [n.getAttribute('role'), n.getAttribute('aria-label')]"
    groups = page.run(f"[...document.querySelectorAll('#list .switches')].map({named})")
    assert len(groups) == 10
    assert all(role == "group" and label for role, label in groups)
    assert len({label for _, label in groups}) == 10, "the switches of two items have the same name"
