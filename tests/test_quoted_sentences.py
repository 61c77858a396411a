"""Figures in sentences and in the README's table, against the saved results: a table of phrases."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from quoted import (
    DATA,
    FIG1,
    FIG3,
    FIVE,
    KERNEL,
    PRINTED,
    PROFILE,
    ROOT,
    SAVED,
    SIMILAR,
    TWELVE,
    effect,
    saved,
    shown,
    values,
)

pytestmark = pytest.mark.skipif(not SAVED.exists(), reason="the tests run without their checkout")

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
