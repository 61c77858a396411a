"""Put the tables of all saved results into benchmarks/README.md: `python benchmarks/tables.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import RESULTS, markdown

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- tables: written by tables.py -->", "<!-- end of tables -->"
ORDER = ("epoch", "step", "sampling", "gather", "optimiser", "evaluation", "topk", "startup", "memory", "gpu")


def place(record: dict[str, Any]) -> tuple[int, str]:
    """Where a subject stands among the tables: subjects of one family side by side."""
    family = record["subject"].split("_")[0]
    return ORDER.index(family) if family in ORDER else len(ORDER), record["subject"]


def saved() -> list[dict[str, Any]]:
    """All results that are tables of subjects, in order."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    return sorted((record for record in records if "columns" in record), key=place)


def section(record: dict[str, Any]) -> str:
    """One subject: title, table, notes, and where it was measured."""
    where = record["machine"]
    lines = [f"### {record['title']}", "", *markdown(record["columns"], record["rows"]), ""]
    lines += [f"- {note}" for note in record["notes"]]
    return "\n".join([*lines, f"- {record['date']}, {where['cpu']}, {where['cores']} cores."])


def versions(records: list[dict[str, Any]]) -> str:
    """Libraries that were measured, as the latest result has them."""
    latest = max(records, key=lambda record: record["date"])["machine"]
    return "Python " + latest["python"] + ", " + ", ".join(f"{k} {v}" for k, v in latest["versions"].items()) + "."


def filled(text: str, records: list[dict[str, Any]]) -> str:
    """`text` with everything between the marks replaced by the tables."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    body = "\n\n".join([versions(records), *map(section, records)])
    return f"{before}{BEGIN}\n\n{body}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(filled(README.read_text(), saved()))
