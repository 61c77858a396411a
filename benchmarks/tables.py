"""Put the tables of all saved results into benchmarks/README.md and one HTML page: `python benchmarks/tables.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import result_page
from harness import RESULTS, markdown

README = Path(__file__).resolve().parent / "README.md"
MARKS = {
    RESULTS: ("<!-- tables: written by tables.py -->", "<!-- end of tables -->"),
    RESULTS / "avx2": ("<!-- avx2 tables: written by tables.py -->", "<!-- end of avx2 tables -->"),
}
"""Folders of results, and where their tables go."""
GPU = "<!-- gpu tables: written by tables.py -->", "<!-- end of gpu tables -->"
"""Where the tables of all cards go."""
ORDER = (
    "epoch", "step", "systems", "kernels", "sampling", "gather", "optimiser", "evaluation", "topk", "startup", "first",
    "memory", "gpu",
)  # fmt: skip


def place(record: dict[str, Any]) -> tuple[int, str]:
    """Where a subject stands among the tables: subjects of one family side by side."""
    family = record["subject"].split("_")[0]
    return ORDER.index(family) if family in ORDER else len(ORDER), record["subject"]


def saved(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """All results of a folder that are tables of subjects, in order."""
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted((record for record in records if "columns" in record), key=place)


def cards() -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """The name of every card, which is what its results' first note begins with, and its results, by their folder."""
    found = {folder.name: saved(folder) for folder in sorted((RESULTS / "gpu").glob("*/"))}
    return {folder: (each[0]["notes"][0].split(",")[0], each) for folder, each in found.items() if each}


def section(record: dict[str, Any], level: int = 3) -> str:
    """One subject: title, table, notes, and where it was measured."""
    where = record["machine"]
    lines = [f"{'#' * level} {record['title']}", "", *markdown(record["columns"], record["rows"]), ""]
    lines += [f"- {note}" for note in record["notes"]]
    return "\n".join([*lines, f"- {record['date']}, {where['cpu']}, {where['cores']} cores{held(record)}."])


def held(record: dict[str, Any]) -> str:
    """Instruction set, caches and clock, of results that have them."""
    where = record["machine"]
    if "caches" not in where:
        return ""
    kept = "" if record["isa"] == "native" else f", held to {record['isa'].upper()} as each program was seen to be"
    sizes = ", ".join(f"{level} {size}" for level, size in where["caches"].items())
    clock = f"{where['clock_ghz']} GHz" if where["clock_ghz"] else f"clock left out: {where['clock_left_out']}"
    return f", {where['instructions'][-1]}{kept}; caches {sizes}; {clock}"


def versions(records: list[dict[str, Any]]) -> str:
    """Libraries that were measured, each as the latest result that has it."""
    found: dict[str, str] = {}
    for record in sorted(records, key=lambda record: record["date"]):
        versions = record["machine"]["versions"].items()
        found |= {name: version for name, version in versions if version != "not installed" or name not in found}
        python = record["machine"]["python"]
    return f"Python {python}, " + ", ".join(f"{name} {version}" for name, version in found.items()) + "."


def filled(text: str) -> str:
    """`text` with everything between the marks replaced by the tables."""
    for folder, marks in MARKS.items():
        records = saved(folder)
        text = between(text, marks, [versions(records), *map(section, records)] if records else [])
    blocks = []
    for name, records in cards().values():
        blocks += [f"### {name}", versions(records), *(section(record, level=4) for record in records)]
    return between(text, GPU, blocks)


def between(text: str, marks: tuple[str, str], blocks: list[str]) -> str:
    """`text` with these blocks between two marks, in place of what stood there."""
    begin, end = marks
    before, rest = text.split(begin)
    body = "\n\n".join(blocks) or "Nothing was measured yet."
    return f"{before}{begin}\n\n{body}\n\n{end}{rest.split(end)[1]}"


def page() -> str:
    """The HTML page of all saved results."""
    return result_page.html({folder.name: saved(folder) for folder in MARKS}, cards())


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
    result_page.FILE.write_text(page())
