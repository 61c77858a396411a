"""Tables and claims from planted results: means, effects, tests, losses, verdicts, what isn't finished."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from milk_np.data import make_synthetic
from milk_np.experiments.catalogue import FIG4, FIG5
from milk_np.experiments.claims import Judged, judge
from milk_np.experiments.exposed import Exposed
from milk_np.experiments.reproduce import Reproduction, ReproductionPlan
from milk_np.experiments.runs import Result
from milk_np.experiments.summary import Cost, summarise
from milk_np.experiments.variants import Claim, Variant, restricted
from milk_np.models.milk.settings import MilkSettings
from milk_np.reports.experiments import write_reports
from milk_np.reports.tables import plain

USERS = 40
GOOD = {"random order": 0.05, "w/o both": 0.3, "w/o CMAM": 0.31, "w/o CEIM": 0.3, "MILK": 0.4, "kernel profile": 0.2}


@pytest.fixture
def whole(tmp_path: Path) -> Reproduction:
    data = make_synthetic(80, 60, 600, {"image": 4, "text": 3}).save(tmp_path / "small.npz")
    base = MilkSettings(dim=4, max_epochs=2, batch_size=64)
    plan = ReproductionPlan((data,), (FIG4, FIG5), base, tmp_path / "out", repeats=3, trials=1)
    planted = Reproduction(plan, lambda _: None)
    for _, search in planted._searches():
        for config in search.design(1):
            plant(planted, search.run(config), 0.2)
    planted.look()
    for experiment in plan.experiments:
        for variant, protocol, run in planted.runs(planted.data[0], experiment):
            plant(planted, run, GOOD[variant.label] * {"FTFT": 1.2, "FTMT": 1.0, "MTMT": 0.9}[protocol])
    return planted


def plant(whole: Reproduction, run, level: float) -> None:  # type: ignore[no-untyped-def]
    """A result of about that level, with noise that the draw and the level decide."""
    rng = np.random.default_rng([run.draw, round(1000 * level)])
    values = (level + rng.normal(0, 0.01, USERS)).astype(np.float32)
    metrics = {name: float(values.mean()) for name in ("ndcg@20", "recall@20", "ndcg@10")}
    summary = {**run.identity(), "test": {**metrics, "slices": {}}, "valid": metrics, "seconds": 1.0}
    summary |= {"core_seconds": 9.0, "fit_core_seconds": 1.5 + run.draw, "fit_bytes": None if run.draw else 3 * 2**20}
    if run.settings.protocol != "FTFT":
        summary["test"]["exposure"] = exposure(level, run.draw)
    users = np.arange(USERS)
    whole.store.put(run, Result(summary, {"users": users, "ndcg@20": values, "recall@20": values}))


def exposure(level: float, draw: int) -> dict[str, dict[str, float]]:
    """Complete items get `level` and a hundredth for each draw of the places, but half of the pairs."""
    top = level + draw / 100
    return {
        "complete": {"items": 0.6, "pairs": 0.5, "top20": top},
        "one missing": {"items": 0.4, "pairs": 0.5, "top20": 1 - top},
    }


def test_exposure_stands_beside_the_table(whole: Reproduction) -> None:
    table = summarise(whole, whole.data[0], FIG5)
    assert table is not None
    assert list(table.exposed) == ["FTMT"]  # all items of FTFT are complete
    exposed = table.exposed["FTMT"]
    assert exposed.k == 20
    assert exposed.items == pytest.approx({"complete": 0.6, "one missing": 0.4})
    assert exposed.places["MILK"]["complete"] == pytest.approx([0.4, 0.41, 0.42])
    parts = [part for part in plain(table) if "exposure" in part[0]]
    assert [title.split(",")[0] for title, _, _ in parts] == ["FTMT"]
    _, head, rows = parts[0]
    assert head == ["variant", "complete", "one missing"]
    assert rows[:2] == [
        ["share of the candidates", "0.6000", "0.4000"],
        ["share of the test pairs", "0.5000", "0.5000"],
    ]
    assert ["MILK", "0.4100 ± 0.0100", "0.5900 ± 0.0100"] in rows
    assert len(rows) == 2 + len(table.labels)


def test_exposure_is_in_every_file(whole: Reproduction) -> None:
    write_reports(whole, ["milk-reproduce"])
    out = whole.plan.out
    assert "share of the top-20 places" in (out / "report.html").read_text()
    assert "share of the top-20 places" in (out / "results.md").read_text()
    assert "share of the top-20 places" in (out / "results.tex").read_text()
    every = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    lines = [line for line in every if line["metric"] == "exposure@20"]
    mine = [line for line in lines if line["label"] == "MILK" and line["experiment"] == "fig5"]
    assert [(line["items"], float(line["mean"])) for line in mine] == [
        ("complete", pytest.approx(0.41)),
        ("one missing", pytest.approx(0.59)),
    ]
    assert all(None not in line for line in lines)
    tables = json.loads((out / "results.json").read_text())["tables"]
    places = {each["experiment"]: each["exposure"][0]["places"] for each in tables}
    assert places["fig4"]["MILK"]["complete"] == pytest.approx([0.4, 0.41, 0.42])


def test_exposure_that_is_not_known_is_left_out() -> None:
    one, two = ({"test": {"exposure": exposure(level, 0)}} for level in (0.2, 0.3))
    found = Exposed.of({"a": [one, two], "b": [{"test": {}}, {"diverged": "nan"}]}, 20)
    assert found is not None
    assert found.places == {"a": {"complete": [0.2, 0.3], "one missing": [0.8, 0.7]}}
    assert Exposed.of({"a": [one]}, 10) is None
    assert Exposed.of({"b": [{"test": {}}]}, 20) is None
    del two["test"]["exposure"]["one missing"]
    assert Exposed.of({"a": [two]}, 20) is None


def test_a_table_has_means_effects_and_tests(whole: Reproduction) -> None:
    table = summarise(whole, whole.data[0], FIG4)
    assert table is not None
    column = ("FTMT", "all", "ndcg@20")
    cells, base = table.cells[column], table.cells[column]["w/o both"]
    best = cells["MILK"]
    assert (best.best, best.mean, len(best.values)) == (True, pytest.approx(0.4, abs=0.01), 3)
    assert best.deviation == pytest.approx(np.std(best.values, ddof=1))
    assert best.effect == pytest.approx(100 * (best.mean / base.mean - 1))
    raw = stats.ttest_rel(best.values, base.values).pvalue
    assert raw <= best.p_repeats <= 4 * raw + 1e-12  # four comparisons
    assert cells["w/o CEIM"].p_users > 0.05
    assert np.isnan(base.effect)
    title, head, rows = next(iter(plain(table)))
    assert title.startswith("FTMT, mean ± sample standard deviation of 3 repeats; ")
    assert title.endswith("; effects and p values compared with w/o both")
    assert len({len(row) for row in [head, *rows]}) == 1


def test_losses_are_relative_to_complete_items(whole: Reproduction) -> None:
    table = summarise(whole, whole.data[0], FIG5)
    assert table is not None
    lost = table.cells["FTMT", "all", "ndcg@20"]["MILK"].lost
    assert lost is not None
    assert lost[0] == pytest.approx(1 / 1.2 - 1, abs=0.02)
    assert table.cells["FTFT", "all", "ndcg@20"]["MILK"].lost is None


def test_claims_follow_the_numbers(whole: Reproduction) -> None:
    judged = {each.claim.text: each for each in judge(whole, whole.data[0])}
    assert judged["both modules together beat neither"].verdict == "holds"
    assert judged["both modules together beat neither"].wins == 3
    assert judged["the environments add to the alignment"].effect == pytest.approx(100 / 3, abs=3)
    assert all("beats DUIF" not in text for text in judged)  # table 2 wasn't asked for


@pytest.mark.parametrize(
    ("p", "effect", "wins", "same", "expected"),
    [
        (0.01, 2, 5, False, "holds"),
        (0.01, -2, 0, False, "the opposite holds"),
        (0.2, 2, 5, False, "tends to hold"),
        (0.2, -2, 0, False, "the opposite tends to hold"),
        (0.2, 2, 3, False, "not shown"),
        (0.2, 2, 5, True, "holds"),
        (0.01, 2, 5, True, "the opposite holds"),
    ],
)
def test_verdicts(whole: Reproduction, p: float, effect: float, wins: int, same: bool, expected: str) -> None:
    claim = Claim("a claim", "fig4", "FTMT", "MILK", "w/o both", same=same)
    judged = Judged(claim, whole.data[0], 0.4, 0.3, effect, 0.001, p, wins, 5)
    assert judged.verdict == expected
    assert replace(judged, p_users=0.9).verdict != "the opposite holds" or p >= 0.05


def test_a_repeat_that_is_not_finished_is_left_out(whole: Reproduction) -> None:
    runs = [run for _, _, run in whole.runs(whole.data[0], FIG4) if run.draw == 2]
    (whole.store.folder / f"{runs[-1].key}.json").unlink()
    table = summarise(whole, whole.data[0], FIG4)
    assert table is not None
    assert len(table.cells["FTMT", "all", "ndcg@20"]["MILK"].values) == 2
    for path in whole.store.folder.glob("*.json"):
        path.unlink()
    whole.tuned.clear()
    whole.look()
    assert summarise(whole, whole.data[0], FIG4) is None
    assert "report in" in write_reports(whole, ["milk-reproduce"])
    assert "No repeat is finished yet" in (whole.plan.out / "report.html").read_text()


def test_a_row_without_results_is_left_out_and_named(whole: Reproduction) -> None:
    """A model that joined later, or isn't tuned yet, doesn't hide what the others have."""
    data, wide = (
        whole.data[0],
        replace(FIG5, name="fig1", variants=(*FIG5.variants, Variant("MTPR", {"model": "mtpr"}))),
    )
    late = [run for variant, _, run in whole.runs(data, wide) if variant.label == "kernel profile"]
    (whole.store.folder / f"{late[0].key}.json").unlink()
    table = summarise(whole, data, wide)
    assert table is not None
    assert (table.left_out, len(table.cells["FTMT", "all", "ndcg@20"]["MILK"].values)) == (("MTPR",), 2)
    for run in late:
        (whole.store.folder / f"{run.key}.json").unlink(missing_ok=True)
    table = summarise(whole, data, wide)
    assert table is not None
    assert table.left_out == ("kernel profile", "MTPR")
    assert table.labels == [variant.label for variant in FIG5.variants if variant.label != "kernel profile"]
    assert len(table.cells["FTMT", "all", "ndcg@20"]["MILK"].values) == 3
    whole.plan = replace(whole.plan, experiments=(wide,))
    assert "fig1, synthetic: not run yet: kernel profile; MTPR" in write_reports(whole, ["milk-reproduce"])
    for name in ("report.html", "results.md", "results.tex"):
        assert "not run yet: kernel profile; MTPR" in (whole.plan.out / name).read_text()
    assert json.loads((whole.plan.out / "results.json").read_text())["tables"][0]["not_run"] == list(table.left_out)


def test_nothing_is_compared_with_a_baseline_that_has_no_results(whole: Reproduction) -> None:
    data = whole.data[0]
    for label, shown in (("w/o CMAM", True), (FIG4.baseline, False)):
        for variant, _, run in whole.runs(data, FIG4):
            if variant.label == label:
                (whole.store.folder / f"{run.key}.json").unlink(missing_ok=True)
        assert (summarise(whole, data, FIG4) is not None) == shown
    assert summarise(whole, data, replace(FIG5, kind="sweep")) is None  # which is one curve


def test_time_and_memory_stand_beside_the_accuracy(whole: Reproduction) -> None:
    """Medians over the repeats that know them: of 1.5, 2.5 and 3.5 seconds, and of one that told its memory."""
    table = summarise(whole, whole.data[0], FIG4)
    assert table is not None
    cost = table.costs["FTMT", "MILK"]
    assert (cost.core_seconds, cost.bytes) == (2.5, 3 * 2**20)
    assert Cost.of([{"core_seconds": 4.0}, {"diverged": "nan"}]).core_seconds == 4.0
    assert np.isnan(Cost.of([{"diverged": "nan"}]).bytes)
    _, head, rows = next(iter(plain(table)))
    assert head[-2:] == ["core s", "memory"]
    assert {tuple(row[-2:]) for row in rows} == {("2.5", "3.0 MB")}


def test_claims_of_rows_that_are_left_out_are_not_judged(whole: Reproduction) -> None:
    few = replace(whole.plan, experiments=(restricted(FIG4, ("milk",)), replace(FIG5, variants=FIG5.variants[-1:])))
    known = {each.claim.text for each in judge(replace_plan(whole, few), whole.data[0])}
    assert "both modules together beat neither" in known
    assert not any("loses less" in text or "reduce the loss" in text for text in known)


def replace_plan(whole: Reproduction, plan: ReproductionPlan) -> Reproduction:
    changed = Reproduction(plan, lambda _: None)
    changed.look()
    return changed


def test_groups_stand_in_the_order_of_what_they_miss() -> None:
    """The first repeat may lack a group that later ones have."""

    def told(*groups: str) -> dict[str, Any]:
        shares = {"items": 0.1, "pairs": 0.1, "top5": 0.1}
        return {"test": {"exposure": dict.fromkeys(groups, shares)}}

    runs = [told("complete", "two missing"), told("complete", "one missing", "two missing")]
    found = Exposed.of({"a": runs}, 5)
    assert found is not None
    assert list(found.items) == ["complete", "one missing", "two missing"]
