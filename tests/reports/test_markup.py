"""Text that comes from data can't become markup, numbers are readable, plots are well formed and hold every value."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from milk_np.reports import numbers, page
from milk_np.reports.dots import Dots, Point
from milk_np.reports.lines import Curve, Lines
from milk_np.reports.markup import Markup, join, tag

SVG = "{http://www.w3.org/2000/svg}"
finite = st.floats(-1e6, 1e6)


def parsed(svg: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_what_is_put_in_is_escaped() -> None:
    nasty = '<script>alert("x")</script> & more'
    shown = tag("p", nasty, title=nasty, aria_label=None, class_="a")
    assert "<script>" not in shown
    assert parsed(shown).text == parsed(shown).get("title") == nasty
    assert tag("b", tag("i", "x"), None, [Markup("<br>")]) == "<b><i>x</i><br></b>"
    assert join(["a", "<"], ", ") == "a, &lt;"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_any_text_is_a_cell(text: str) -> None:
    assert parsed(tag("td", text)).text in (text, None)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numbers.spread(0.12345, 0.001), "0.1235 ± 0.0010"),
        (numbers.spread(0.5, math.nan), "0.5000"),
        (numbers.per_cent(-2.345), "−2.3 %"),
        (numbers.per_cent(math.nan), "–"),
        (numbers.p_value(0.0004), "< .001"),
        (numbers.p_value(0.0421), ".042"),
        (numbers.p_value(1.0), "1.000"),
        (numbers.metric(math.nan), "–"),
        (numbers.duration(75), "75.0 s"),
        (numbers.duration(600), "10.0 min"),
        (numbers.duration(7200), "2.0 h"),
        (numbers.short(-0.25), "−0.25"),
    ],
)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected


@given(finite, finite)
def test_ticks_are_few_ascending_and_inside(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = numbers.ticks(low, high)
    slack = 1e-9 * max(abs(low), abs(high), 1)
    assert found == sorted(found)
    assert len(found) <= 6
    assert all(low - slack <= tick <= high + slack for tick in found)


def test_dots_show_every_row_and_describe_every_number() -> None:
    rows = [
        ("one", [Point(0.2, 0.05, (0.1, 0.3)), Point(0.4)]),
        ("two & more", [Point(0.3, math.nan), Point(math.nan)]),
    ]
    svg = parsed(Dots("Title", "NDCG", ["a", "b"], rows, level=("random", 0.25), strong=frozenset({"one"})).svg())
    texts = [text.text for text in svg.iter("text")]
    assert {"one", "two & more", "a", "b", "NDCG"} <= set(texts)
    description = svg.find("desc")
    assert description is not None
    assert description.text == "NDCG. one: a 0.2000 ± 0.0500, b 0.4000; two & more: a 0.3000, b –"
    assert svg.get("role") == "img"
    assert svg.get("aria-label", "").startswith("Title. ")
    assert len(list(svg.iter("circle"))) == 2


def test_a_long_name_of_a_row_takes_two_lines() -> None:
    names = (
        "short, with a comma",
        "CCFCRec, published for Video Games",
        "one long name of a row that has no comma",
    )
    svg = parsed(Dots("t", "x", [""], [(name, [Point(0.5)]) for name in names]).svg())
    shown = [(text.text, float(text.get("y", ""))) for text in svg.iter("text") if text.get("text-anchor") == "end"]
    assert [text for text, _ in shown] == [names[0], "CCFCRec,", "published for Video Games", names[2]]
    assert [round(b - a, 1) for (_, a), (_, b) in pairwise(shown)] == [23.5, 13.0, 23.5]  # around the middles of rows


@settings(deadline=None)
@example([(10000.0, 5.960464477539063e-08)])
@given(st.lists(st.tuples(finite, st.floats(0, 1e3)), min_size=1, max_size=6))
def test_dots_stay_inside_the_frame(values: list[tuple[float, float]]) -> None:
    rows = [(f"row {k}", [Point(mean, deviation)]) for k, (mean, deviation) in enumerate(values)]
    svg = parsed(Dots("t", "x", [""], rows).svg())
    width = float(svg.get("viewBox", "").split()[2])
    for path in svg.iter("path"):
        start = path.get("d", "")[1:].split()[0].rstrip("a")
        assert 0 <= float(start) <= width


@pytest.mark.parametrize("logarithmic", [False, True])
def test_lines_draw_what_can_be_drawn(logarithmic: bool) -> None:
    curves = [Curve("a", [1, 2, 3], [0.1, 0.0, 10.0], [0.01, math.nan, 1.0]), Curve("b", [], [])]
    svg = parsed(Lines("Title", "epoch", "loss", curves, logarithmic=logarithmic).svg())
    drawn = [path.get("d", "") for path in svg.iter("path") if "curve" in path.get("class", "")]
    assert drawn[0].count("L") == (1 if logarithmic else 2)  # zero has no logarithm
    assert all(math.isfinite(float(number)) for number in drawn[0][1:].replace("L", " ").split())


def test_lines_with_named_places_and_one_value() -> None:
    svg = Lines("t", "x", "y", [Curve("only", [0], [0.5])], names=["0.1"], level=("tuned", 0.4)).svg()
    assert "only: 0.1 0.5000" in svg
    assert 'class="level"' in svg


def test_a_page_stands_alone() -> None:
    whole = page.page("Title", page.section("a", "A", page.table("Words", ("x", "y"), [("<b>", 1)], frozenset({0}))))
    assert "<script" not in whole
    assert "http" not in whole
    assert "&lt;b&gt;" in whole
    assert whole.startswith("<!DOCTYPE html>")
    assert '<html lang="en">' in whole
