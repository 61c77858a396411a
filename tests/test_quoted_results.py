"""Tables and verdicts on the pages, against the saved results."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from quoted import (
    DATA,
    FIG1,
    FIG3,
    FIVE,
    KERNEL,
    SAVED,
    SHORT,
    SYSTEMS,
    TWELVE,
    effect,
    rows,
    saved,
    section,
    shown,
    values,
)

TABLES = {
    "Table 2, twelve splits": (TWELVE, "table2"),
    "Table 2 with the paper's nine systems": (SYSTEMS, "table2"),
    "Figures 1 and 3 with the best baselines": (FIG1, "fig1"),
    "Table 2: all models, five repeats": (FIVE, "table2"),
    "Figure 4: ablation": (FIVE, "fig4"),
    "Figure 5: complete compared with missing": (FIVE, "fig5"),
    "Table 3: imputation against the modules": (FIVE, "table3"),
    "Table 4: how environments are made": (FIVE, "table4"),
    "Users described by their items": (FIVE, "beyond"),
}
"""Sections of the page of results, and the experiments that they show."""
CLAIMS = {
    "Table 2, twelve splits": TWELVE,
    "Claims with the paper's nine systems": SYSTEMS,
    "All claims, five repeats": FIVE,
}

pytestmark = pytest.mark.skipif(not SAVED.exists(), reason="the tests run without their checkout")


@pytest.mark.parametrize("title", TABLES)
def test_tables_of_the_results(title: str) -> None:
    name, experiment = TABLES[title]
    head = re.search(r"^\| test items \| system \| (.*) \|$", section(title), re.MULTILINE)
    assert head is not None
    wrong = [
        (protocol, label, data, cell)
        for protocol, label, *cells in rows(section(title), "test items | system |")
        for data, cell in zip(head.group(1).split(" | "), cells, strict=True)
        if cell != shown(values(name, experiment, DATA[data], protocol, label))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Figures 1 and 3 with the best baselines", FIG3),
        ("Figure 3: Last.fm 2K, by the number of missing modalities", FIVE),
    ],
)
def test_the_figure_by_groups_of_items(title: str, name: str) -> None:
    text = section(title)
    head = re.search(r"^\| items \| (.*) \|$", text, re.MULTILINE)
    assert head is not None
    for items, *cells in rows(text, "items |"):
        for label, cell in zip(head.group(1).split(" | "), cells, strict=True):
            found = values(name, "fig3", "lfm2k", "FTMT", label, items) or []
            assert cell == f"{np.nanmean(found):.4f}", (items, label)


PARTS = (
    "without smoothing",
    "same L2 penalty for all",
    "imputed with the mean",
    "without whitening",
    "no down-weighting",
    "almost no prior",
    "almost linear kernel",
    "256 landmarks",
    "64-dimensional vectors",
)
"""What replaces a part of the kernel profile, in the order of the table of what each gains."""


def test_the_table_of_what_each_part_gains() -> None:
    lines = list(rows(section("Users described by their items"), "part |"))
    for (part, _, *cells), label in zip(lines, PARTS, strict=True):
        for data, cell in zip(DATA, cells, strict=True):
            gains = [effect(FIVE, data, protocol, KERNEL, label, "beyond") for protocol in ("FTMT", "MTMT")]
            told = [int(each.replace("−", "-")) for each in cell.rstrip("%").split(", ")]
            assert told == [round(gain) for gain in gains], (part, data)


@pytest.mark.parametrize("title", CLAIMS)
def test_verdicts_on_the_claims(title: str) -> None:
    known = {(start(each["claim"]), each["protocol"], each["data"]): each for each in saved(CLAIMS[title])["claims"]}
    for claim, *cells in rows(section(title), "claim |"):
        text, _, protocol = claim.rstrip(")").rpartition(" (")
        for data, cell in zip(DATA.values(), cells, strict=True):
            names = (data, SHORT.get(data, data))
            judged = next(
                (known[start(text), protocol, name] for name in names if (start(text), protocol, name) in known), None
            )
            assert cell == told(judged), (claim, data)


def start(claim: str) -> str:
    """A claim without what it says of the training data; some were worded otherwise when the results were saved."""
    return re.split(", also |, training items", claim.replace("shrink the loss", "reduce the loss"))[0]


def told(judged: dict[str, Any] | None) -> str:
    """A verdict as the page shows it."""
    if judged is None:
        return "–"
    loss = "loss" in judged["claim"] or "loses" in judged["claim"]
    by = f"{judged['effect']:+.1f}{' points' if loss else '%'}".replace("-", "−")
    users, repeats = (p_value(judged[name]) for name in ("p_users", "p_repeats"))
    return f"{judged['verdict']}: {by}, {judged['wins']} of {judged['repeats']}, p {users} / {repeats}"


def p_value(value: float | None) -> str:
    """A p value as the page shows it; a loss has none over users."""
    if value is None or np.isnan(value):
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}"
