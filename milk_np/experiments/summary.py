"""Tables of an experiment: means and deviations over repeats, effects, paired tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from milk_np.evaluation.significance import Values, holm, mean_and_deviation, paired
from milk_np.experiments.exposed import Exposed
from milk_np.experiments.published import printed, printed_loss
from milk_np.experiments.reproduce import DataSet, Reproduction
from milk_np.experiments.runs import Run
from milk_np.experiments.variants import Experiment, Variant

ALL = "all"


@dataclass
class Cell:
    """One variant under one protocol, one group of items and one metric.

    `values` are those of the repeats; `effect` (per cent), `p_users` and `p_repeats` compare with the baseline,
    Holm-corrected within the column; `lost` is the relative change from the first protocol, (mean, deviation).
    """

    values: list[float]
    mean: float = math.nan
    deviation: float = math.nan
    effect: float = math.nan
    p_users: float = math.nan
    p_repeats: float = math.nan
    printed: float | None = None
    lost: tuple[float, float] | None = None
    printed_lost: float | None = None
    best: bool = False

    def __post_init__(self) -> None:
        known = [value for value in self.values if not math.isnan(value)]  # a group may be empty in a repeat
        self.mean, self.deviation = mean_and_deviation(known) if known else (math.nan, math.nan)


@dataclass(frozen=True)
class Cost:
    """Medians over repeats of what one fit took: core seconds (with the evaluation, in runs of versions that did not
    tell them apart) and bytes on top of the loaded data, nan if unknown."""

    core_seconds: float
    bytes: float

    @classmethod
    def of(cls, summaries: Sequence[dict[str, Any]]) -> Cost:
        """Of finished runs; those that diverged are left out."""
        seconds = [each.get("fit_core_seconds", each.get("core_seconds")) for each in summaries]
        return cls(_median(seconds), _median([each.get("fit_bytes") for each in summaries]))


def _median(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else math.nan


@dataclass
class Table:
    """Results of an experiment on a data set: cells by (protocol, group, metric), then label."""

    experiment: Experiment
    """With the rows that have results."""
    data: DataSet
    left_out: tuple[str, ...] = ()
    """Labels of the rows that have none yet."""
    columns: list[tuple[str, str, str]] = field(default_factory=list)
    cells: dict[tuple[str, str, str], dict[str, Cell]] = field(default_factory=dict)
    baselines: dict[tuple[str, str, str], str] = field(default_factory=dict)
    costs: dict[tuple[str, str], Cost] = field(default_factory=dict)
    """What a fit took, by protocol and label."""
    exposed: dict[str, Exposed] = field(default_factory=dict)
    """Which share of the lists' places the groups of items get, by protocol; no entry where all are of one group."""
    settings: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Settings of a variant under a protocol that differ from the defaults, in repeat 0."""
    seconds: float = 0.0
    runs: int = 0

    @property
    def labels(self) -> list[str]:
        """Rows, in order."""
        return [variant.label for variant in self.experiment.variants]


def summarise(whole: Reproduction, ds: DataSet, experiment: Experiment) -> Table | None:
    """The table of the finished repeats; None if there are none, or too few modalities."""
    found = Found(whole, ds, experiment)
    if not found.runs:
        return None
    table = Table(found.experiment, ds, found.left_out)
    for protocol in experiment.protocols:
        for group in found.groups(protocol):
            for metric in experiment.metrics:
                _add(table, found, (protocol, group, metric))
    for (protocol, label), runs in found.runs.items():
        table.settings[protocol, label] = runs[0].identity()["settings"]
        summaries = [whole.store.get(run) for run in runs]
        table.costs[protocol, label] = Cost.of(summaries)
        table.runs += len(runs)
        table.seconds += sum(summary.get("seconds") or 0.0 for summary in summaries)
    if experiment.kind == "protocols":
        _add_losses(table)
    for protocol in experiment.protocols:
        _add_exposure(table, found, protocol)
    return table


def _add_exposure(table: Table, found: Found, protocol: str) -> None:
    longest = max(int(metric.split("@")[1]) for metric in table.experiment.metrics)
    summaries = {label: [found.store.get(run) for run in found.runs[protocol, label]] for label in table.labels}
    exposed = Exposed.of(summaries, longest)
    if exposed is not None:
        table.exposed[protocol] = exposed


class Found:
    """Runs of an experiment by protocol and label, of repeats that all rows have finished.

    Rows that haven't finished any are left out: those of a model that joined later, or that aren't tuned yet.
    """

    def __init__(self, whole: Reproduction, ds: DataSet, experiment: Experiment) -> None:
        self.store, self.data = whole.store, ds
        self.runs: dict[tuple[str, str], list[Run]] = {}
        planned = list(whole.runs(ds, experiment))
        undone = {(variant.label, run.repeat) for variant, _, run in planned if not self.store.has(run)}
        begun = {variant.label for variant, _, run in planned if (variant.label, run.repeat) not in undone}
        kept = _comparable(experiment, begun)
        self.experiment = replace(experiment, variants=kept)
        self.left_out = tuple(each.label for each in experiment.variants if each not in kept)
        open_ = {repeat for label, repeat in undone if label not in self.left_out}
        for variant, protocol, run in planned:
            if variant in kept and run.repeat not in open_:
                self.runs.setdefault((protocol, variant.label), []).append(run)

    def groups(self, protocol: str) -> list[str]:
        """All items, and for an experiment by groups the groups of its test items."""
        if self.experiment.kind != "groups":
            return [ALL]
        first = self.store.get(self.runs[protocol, self.experiment.variants[0].label][0])
        return [ALL, *first["test"]["slices"]]

    def values(self, protocol: str, label: str, group: str, metric: str) -> list[float]:
        """The metric of each repeat; a run that diverged counts as 0."""
        return [_metric(self.store.get(run), group, metric) for run in self.runs[protocol, label]]

    def users(self, protocol: str, label: str, metric: str) -> Values:
        """The metric of each test user, all repeats concatenated."""
        parts = []
        for run in self.runs[protocol, label]:
            arrays = self.store.per_user(run)
            parts.append(np.asarray(arrays.get(metric, np.zeros(0)), np.float64))
        return np.concatenate(parts)


def _comparable(experiment: Experiment, begun: set[str]) -> tuple[Variant, ...]:
    """The rows among those labelled `begun`; none without the baseline, or without a part of a sweep's curves."""
    kept = tuple(each for each in experiment.variants if each.label in begun)
    whole = len(kept) == len(experiment.variants)
    return kept if whole or (experiment.kind != "sweep" and experiment.baseline in ("", *begun)) else ()


def _metric(summary: dict[str, Any], group: str, metric: str) -> float:
    test = summary.get("test")
    if test is None:
        return 0.0
    where = test if group == ALL else test["slices"].get(group, {})
    return float(where.get(metric, math.nan))


def _add(table: Table, found: Found, column: tuple[str, str, str]) -> None:
    protocol, group, metric = column
    cells = {label: Cell(found.values(protocol, label, group, metric)) for label in table.labels}
    best = max(cells, key=lambda label: (not math.isnan(cells[label].mean), cells[label].mean))
    baseline = table.experiment.baseline or best
    cells[best].best = True
    for label, cell in cells.items():
        cell.printed = printed(table.experiment.name, table.data.name, protocol, label, metric)
        if label != baseline:
            compared = paired(np.array(cell.values), np.array(cells[baseline].values))
            cell.effect, cell.p_repeats = compared.effect, compared.p
            if group == ALL:
                cell.p_users = over_users(found, protocol, label, baseline, metric)
    _correct(cells)
    table.columns.append(column)
    table.cells[column], table.baselines[column] = cells, baseline


def over_users(found: Found, protocol: str, label: str, baseline: str, metric: str) -> float:
    """The p value of a difference over the test users; nan where they aren't the same number."""
    this, other = (found.users(protocol, name, metric) for name in (label, baseline))
    return paired(this, other).p if len(this) == len(other) else math.nan


def _correct(cells: dict[str, Cell]) -> None:
    for name in ("p_users", "p_repeats"):
        adjusted = holm({label: getattr(cell, name) for label, cell in cells.items()})
        for label, value in adjusted.items():
            setattr(cells[label], name, value)


def _add_losses(table: Table) -> None:
    first = table.experiment.protocols[0]
    for protocol, group, metric in table.columns:
        if protocol == first:
            continue
        for label, cell in table.cells[protocol, group, metric].items():
            whole = table.cells[first, group, metric][label]
            cell.lost = mean_and_deviation(lost(whole.values, cell.values))
            if table.experiment.name == "fig5":
                cell.printed_lost = printed_loss(table.data.name, label)


def lost(complete: Iterable[float], missing: Iterable[float]) -> list[float]:
    """Relative change of each repeat from complete to missing, negative for a loss; nan if complete is 0."""
    return [(m - c) / c if c else math.nan for c, m in zip(complete, missing, strict=True)]
