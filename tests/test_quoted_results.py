"""Figures that the pages quote, against the saved results: tables cell by cell, sentences by a table of phrases."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SAVED = ROOT / "benchmarks" / "results" / "reproduce"
RESULTS = ROOT / "docs" / "results.md"
FIVE, TWELVE, SYSTEMS = "results.json", "twelve/results.json", "systems*/results.json"
FIG1, FIG3 = "best-baselines/fig1/results.json", "best-baselines/fig3/results.json"
DATA = {"Last.fm 2K": "lfm2k", "TikTok": "TikTok (image + audio)", "Baby": "Baby (rebuilt features)"}
"""Names of data sets on the pages and in the results."""
SHORT = {"TikTok (image + audio)": "tiktok", "Baby (rebuilt features)": "baby"}
"""What some results call them."""
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
EARLIER = {
    "same L2 penalty for all": "one ridge for all",
    "imputed with the mean": "mean-filled",
    "no down-weighting": "all items alike",
    "almost no prior": "almost no mean user",
    "64-dimensional vectors": "64 numbers a vector",
}
"""Variants whose names were others when the results were saved."""
CLAIMS = {
    "Table 2, twelve splits": TWELVE,
    "Claims with the paper's nine systems": SYSTEMS,
    "All claims, five repeats": FIVE,
}

pytestmark = pytest.mark.skipif(not SAVED.exists(), reason="the tests run without their checkout")


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


KERNEL, PROFILE, SIMILAR, PRINTED = "kernel profile", "content profile", "most similar content", "MILK, printed weights"
Figure = Callable[[], float]


def over(data: str, protocol: str, better: str, worse: str) -> Figure:
    """The effect over twelve repeats."""
    return lambda: effect(TWELVE, data, protocol, better, worse)


def beyond(data: str, protocol: str, better: str, worse: str) -> Figure:
    """The effect over five repeats, in the experiment on users described by their items."""
    return lambda: effect(FIVE, data, protocol, better, worse, "beyond")


def lost(data: str, *labels: str) -> list[Figure]:
    """By how many per cent the mean falls from FTFT to FTMT, and to MTMT, in Figure 1; system by system."""

    def loss(label: str, protocol: str) -> float:
        whole, missing = (np.mean(values(FIG1, "fig1", DATA[data], each, label) or []) for each in ("FTFT", protocol))
        return float(100 * (1 - missing / whole))

    return [partial(loss, label, protocol) for label in labels for protocol in ("FTMT", "MTMT")]


def two_missing(label: str | None) -> Figure:
    """The share that items with two modalities missing have of a system's places in Figure 3, or of the test pairs."""
    exposure = saved(FIG3)["tables"][0]["exposure"][0]
    shares = exposure["pairs"] if label is None else exposure["places"][label]
    return lambda: 100 * float(np.mean(shares["two missing"]))


BABY, TIKTOK, LASTFM = "Baby", "TikTok", "Last.fm 2K"
PHRASES: list[tuple[str, str, list[Figure]]] = [
    (
        "docs/results.md",
        r"\| MILK \| (\d+)% / (\d+)% \| (\d+)% / (\d+)% \| (\d+)% / (\d+)% \|",
        [over(data, protocol, KERNEL, "MILK") for data in DATA for protocol in ("FTMT", "MTMT")],
    ),
    (
        "docs/results.md",
        r"\| content profile \| (\d+)% / (\d+)% \| (\d+)% / (\d+)% \| (\d+)% / (\d+)% \|",
        [over(data, protocol, KERNEL, PROFILE) for data in DATA for protocol in ("FTMT", "MTMT")],
    ),
    (
        "docs/results.md",
        r"ahead by (\d+)% \(Last.fm 2K\), (\d+)% \(TikTok\) and (\d+)% \(Baby\) under FTMT",
        [over(data, "FTMT", KERNEL, SIMILAR) for data in DATA],
    ),
    ("docs/results.md", r"most similar content beats MILK by (\d+)%", [over(BABY, "FTMT", SIMILAR, "MILK")]),
    (
        "docs/results.md",
        r"beats MILK there by (\d+)%\. On Last.fm 2K MILK is (\d+)% ahead of it, on TikTok (\d+)%",
        [
            over(BABY, "FTMT", PROFILE, "MILK"),
            over(LASTFM, "FTMT", "MILK", PROFILE),
            over(TIKTOK, "FTMT", "MILK", PROFILE),
        ],
    ),
    (
        "docs/results.md",
        r"improves MILK on Baby by (\d+)% to (\d+)%",
        [beyond(BABY, protocol, "MILK, users: profile", "MILK") for protocol in ("FTMT", "MTMT")],
    ),
    (
        "docs/results.md",
        r"MILK loses (\d+)% and (\d+)% .* DUIF (\d+)% and (\d+)%, .* GoRec, ahead of both, (\d+)% and (\d+)%,",
        lost(LASTFM, "MILK", "DUIF", "GoRec"),
    ),
    (
        "docs/results.md",
        r"fill (\d+)% and (\d+)% of the places of their lists \(MILK: (\d+)%\), and have (\d+)% of the test pairs",
        [two_missing(label) for label in (KERNEL, "content kNN", "MILK", None)],
    ),
    ("docs/results.md", r"Content kNN loses (\d+)% and (\d+)% there", lost(LASTFM, "content kNN")),
    (
        "docs/results.md",
        r"On TikTok DUIF loses (\d+)% and (\d+)%, content kNN (\d+)% and (\d+)%",
        lost(TIKTOK, "DUIF", "content kNN"),
    ),
    (
        "docs/models.md",
        r"Better than free vectors on Baby \(\+(\d+)% and \+(\d+)%\)",
        [beyond(BABY, protocol, "MILK, users: profile", "MILK") for protocol in ("FTMT", "MTMT")],
    ),
    (
        "docs/models.md",
        r"On Baby it beat MILK by about (\d+)%",
        [lambda: round(over(BABY, "FTMT", PROFILE, "MILK")(), -1)],
    ),
    (
        "docs/tune.md",
        r"tuned weights gave (\d+)% and (\d+)% more NDCG@20 than those printed in the paper on two .* and (\d+)% more",
        [over(data, "FTMT", "MILK", PRINTED) for data in (LASTFM, BABY, TIKTOK)],
    ),
]
"""Page, phrase with its figures, and what each of them is."""


@pytest.mark.parametrize(("page", "phrase", "figures"), PHRASES, ids=[phrase[:40] for _, phrase, _ in PHRASES])
def test_figures_in_sentences(page: str, phrase: str, figures: list[Figure]) -> None:
    found = re.search(phrase, " ".join((ROOT / page).read_text().split()))
    assert found is not None
    assert [int(each) for each in found.groups()] == [round(figure()) for figure in figures]


def test_the_table_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    models = (KERNEL, "MILK", PROFILE, SIMILAR, "random order")
    names = dict(zip(("Last.fm 2K (text", "TikTok (image", "Amazon Baby"), DATA.values(), strict=True))
    lines = {key: line for key in names for line in text.splitlines() if line.startswith(f"| {key}")}
    for key, data in names.items():
        for label, cell in zip(models, lines[key].strip("|").split(" | ")[1:], strict=True):
            mean, _, deviation = cell.strip().partition(" ± ")
            digits = len(mean) - 2
            found = values(TWELVE, "table2", data, "FTMT", label) or []
            assert mean == f"{np.mean(found):.{digits}f}", (key, label)
            assert deviation in ("", f"{np.std(found, ddof=1):.{digits}f}"), (key, label)


def test_a_wrong_figure_is_seen() -> None:
    right = values(TWELVE, "table2", DATA[BABY], "FTMT", "MILK")
    assert right is not None
    assert shown(right) != shown([*right[:-1], right[-1] + 0.01])
    assert round(over(BABY, "FTMT", KERNEL, "MILK")()) == 68
