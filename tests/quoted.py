"""Saved results of the experiments, for the tests of the figures that pages quote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SAVED = ROOT / "benchmarks" / "results" / "reproduce"
RESULTS = ROOT / "docs" / "results.md"
FIVE, TWELVE, SYSTEMS = "results.json", "twelve/results.json", "systems*/results.json"
FIG1, FIG3 = "best-baselines/fig1/results.json", "best-baselines/fig3/results.json"
DATA = {"Last.fm 2K": "lfm2k", "TikTok": "TikTok (image + audio)", "Baby": "Baby (rebuilt features)"}
"""Names of data sets on the pages and in the results."""
SHORT = {"TikTok (image + audio)": "tiktok", "Baby (rebuilt features)": "baby"}
"""What some results call them."""
EARLIER = {
    "same L2 penalty for all": "one ridge for all",
    "imputed with the mean": "mean-filled",
    "no down-weighting": "all items alike",
    "almost no prior": "almost no mean user",
    "64-dimensional vectors": "64 numbers a vector",
}
"""Variants whose names were others when the results were saved."""
KERNEL, PROFILE, SIMILAR, PRINTED = "kernel profile", "content profile", "most similar content", "MILK, printed weights"
"""Rows that pages quote often."""


@cache
def saved(name: str) -> dict[str, Any]:
    """Tables and claims of a file of results, or of several, each of other data sets."""
    files = [json.loads(path.read_text()) for path in sorted(SAVED.glob(name))]
    return {part: [each for file in files for each in file[part]] for part in ("tables", "claims")}


def values(name: str, experiment: str, data: str, protocol: str, label: str, items: str = "all") -> list[float] | None:
    """NDCG@20 of every repeat; None if the data set isn't part of the experiment, or the row wasn't run."""
    for table in saved(name)["tables"]:
        here = table["experiment"] == experiment and table["data"] in (data, SHORT.get(data))
        if here and label not in table.get("not_run", ()):
            for column in table["columns"]:
                if (column["protocol"], column["items"], column["metric"]) == (protocol, items, "ndcg@20"):
                    found: list[float] = column["values"][EARLIER.get(label, label)]
                    return found
    return None


def effect(name: str, data: str, protocol: str, better: str, worse: str, experiment: str = "table2") -> float:
    """By how many per cent the mean of `better` is above that of `worse`."""
    high, low = (np.mean(values(name, experiment, DATA[data], protocol, label) or []) for label in (better, worse))
    return float(100 * (high / low - 1))


def section(title: str) -> str:
    """A section of the page of results."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", RESULTS.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found.group(1)


def rows(text: str, head: str) -> Iterator[list[str]]:
    """Cells of the rows of the table whose heading begins with `head`."""
    found = re.search(rf"^\| {re.escape(head)} .*\n\|[-:| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None, head
    for line in found.group(1).splitlines():
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def shown(found: list[float] | None) -> str:
    """Mean and deviation as the pages show them."""
    return "–" if found is None else f"{np.mean(found):.4f} ± {np.std(found, ddof=1):.4f}"
