"""All saved results of the benchmarks as one HTML page that stands alone; `tables.py` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import RESULTS, cell

from milk_np.reports import page
from milk_np.reports.markup import Markup, tag

FILE = RESULTS / "benchmarks.html"
TITLES = {"results": "On a CPU", "avx2": "On a CPU held to AVX2"}
"""Folders of results and what their part of the page is called."""


def html(records: Mapping[str, list[dict[str, Any]]], cards: Mapping[str, tuple[str, list[dict[str, Any]]]]) -> str:
    """The page of the records of every folder, in order, then of every card; those without any are left out."""
    named = {folder: (TITLES[folder], each) for folder, each in records.items()}
    named |= {folder: (f"On a GPU: {name}", each) for folder, (name, each) in cards.items()}
    found = {folder: (title, each) for folder, (title, each) in named.items() if each}
    sections = [page.section(place, title, *map(subject, each)) for place, (title, each) in found.items()]
    links = page.contents({place: title for place, (title, _) in found.items()})
    return page.page("Benchmarks of milk_np", links, *sections)


def subject(record: dict[str, Any]) -> Markup:
    """One subject: its table, notes, and where it was measured."""
    columns, where = record["columns"], record["machine"]
    rows = [[cell(row.get(name, "")) for name in columns] for row in record["rows"]]
    table = page.table(record["title"], columns, rows)
    notes = [tag("p", note) for note in record["notes"]]
    libraries = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    place = f"{record['date']}, {where['cpu']}, {where['cores']} cores, Python {where['python']}, {libraries}."
    return tag("div", tag("h3", record["title"]), table, *notes, tag("p", place, class_="muted"))
