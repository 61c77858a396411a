"""The plots of an experiment: dots for variants, one series per protocol or group of items; lines for sweeps."""

from __future__ import annotations

from milk_np.experiments.summary import Cell, Table
from milk_np.experiments.variants import Variant
from milk_np.reports import numbers, page
from milk_np.reports.dots import Dots, Point
from milk_np.reports.lines import Curve, Lines
from milk_np.reports.markup import Markup

METRIC = "ndcg@20"
RANDOM = "random order"
SWEPT = {
    "dirichlet_alpha": "Dirichlet α",
    "invariance_weight": "invariance weight β",
    "align_weight": "alignment weight λ",
}


def plots_of(table: Table) -> list[Markup]:
    """Figures with captions, by the kind of the experiment."""
    kind, protocols = table.experiment.kind, table.experiment.protocols
    if kind == "sweep":
        return _sweeps(table)
    if kind == "groups":
        return [_groups(table, protocol) for protocol in protocols]
    if kind == "protocols":
        return [_protocols(table)]
    return [_models(table, protocol) for protocol in protocols]


def _models(table: Table, protocol: str) -> Markup:
    cells = table.cells[protocol, "all", METRIC]
    rows = [(label, [_point(cell)]) for label, cell in cells.items() if label != RANDOM]
    best = frozenset(label for label, cell in cells.items() if cell.best)
    return _figure(table, Dots(f"{_named(table)}, {protocol}", "NDCG@20", [""], rows, strong=best), cells.get(RANDOM))


def _protocols(table: Table) -> Markup:
    protocols = table.experiment.protocols
    first = table.cells[protocols[0], "all", METRIC]
    rows = [
        (label, [_point(table.cells[protocol, "all", METRIC][label]) for protocol in protocols])
        for label in first
        if label != RANDOM
    ]
    return _figure(table, Dots(_named(table), "NDCG@20", protocols, rows), first.get(RANDOM))


def _groups(table: Table, protocol: str) -> Markup:
    groups = [group for p, group, metric in table.columns if p == protocol and metric == METRIC]
    whole = table.cells[protocol, "all", METRIC]
    rows = [
        (label, [_point(table.cells[protocol, group, METRIC][label], single=False) for group in groups])
        for label in whole
        if label != RANDOM
    ]
    return _figure(table, Dots(f"{_named(table)}, {protocol}", "NDCG@20", groups, rows), whole.get(RANDOM))


def _figure(table: Table, dots: Dots, random: Cell | None) -> Markup:
    level = "" if random is None else f" Random order: {numbers.metric(random.mean)}."
    singles = " Small dots are single repeats." if any(p.values for _, points in dots.rows for p in points) else ""
    return page.plot(
        dots.svg(), f"{dots.title}: NDCG@20, mean and sample standard deviation over repeats.{singles}{level}"
    )


def _sweeps(table: Table) -> list[Markup]:
    protocol = table.experiment.protocols[0]
    cells = table.cells[protocol, "all", METRIC]
    tuned = next(variant for variant in table.experiment.variants if variant.sweep is None)
    return [_sweep(table, setting, cells, tuned) for setting in SWEPT]


def _sweep(table: Table, setting: str, cells: dict[str, Cell], tuned: Variant) -> Markup:
    swept = [(variant.label, variant.sweep[1]) for variant in table.experiment.variants if _sets(variant, setting)]  # type: ignore[index]
    names = [f"{value:g}" for _, value in swept]
    means, deviations = ([getattr(cells[label], name) for label, _ in swept] for name in ("mean", "deviation"))
    curve = Curve(SWEPT[setting], list(range(len(swept))), means, deviations)
    level = cells[tuned.label].mean
    title = f"{_named(table)}: {SWEPT[setting]}"
    lines = Lines(title, SWEPT[setting], "NDCG@20", [curve], names, level=("tuned", level))
    return page.plot(
        lines.svg(), f"{title}; the others at their tuned values. Dashed: all tuned, {numbers.metric(level)}."
    )


def _sets(variant: Variant, setting: str) -> bool:
    return variant.sweep is not None and variant.sweep[0] == setting


def _point(cell: Cell, single: bool = True) -> Point:
    return Point(cell.mean, cell.deviation, cell.values if single else ())


def _named(table: Table) -> str:
    return f"{table.experiment.title.split(':')[0]}, {table.data.name}"
