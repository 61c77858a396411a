"""Results as CSV, Markdown and LaTeX: the same tables as on the page."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence

from milk_np.experiments.exposed import Exposed
from milk_np.experiments.summary import Cell, Table
from milk_np.reports import numbers
from milk_np.text import printable

CSV_HEAD = [
    *("experiment", "data", "protocol", "items", "label", "metric"),
    *("mean", "deviation", "repeats", "baseline", "effect_percent", "p_users", "p_repeats"),
    *("lost_mean", "lost_deviation", "printed", "values", "core_seconds", "fit_bytes"),
]


def to_csv(tables: Sequence[Table]) -> str:
    """One line for each variant, protocol, group of items and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for table in tables:
        for column in table.columns:
            protocol, group, metric = column
            for label, cell in table.cells[column].items():
                place = (table.experiment.name, _plain_cell(table.data.name), protocol, group, label, metric)
                cost = table.costs[protocol, label]
                shown = (_known(cost.core_seconds), _known(cost.bytes))
                writer.writerow([*place, *_numbers(cell, table.baselines[column]), *shown])
        writer.writerows(_exposure_lines(table))
    return out.getvalue()


def _exposure_lines(table: Table) -> Iterator[list[object]]:
    """Shares of places by protocol, variant and group; what isn't known of them stays empty."""
    for protocol, exposed in table.exposed.items():
        for label, shares in exposed.places.items():
            for group, values in shares.items():
                place = (table.experiment.name, _plain_cell(table.data.name), protocol, group, label)
                yield [*place, f"exposure@{exposed.k}", *_numbers(Cell(values), ""), "", ""]


def _plain_cell(text: str) -> str:
    """Text that a spreadsheet doesn't take for a formula."""
    return f"'{printable(text)}" if text[:1] in "=+-@\t\r" and text else printable(text)


def _markdown_text(text: str) -> str:
    """Text that is no markup."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", printable(text, ""))


def _numbers(cell: Cell, baseline: str) -> list[object]:
    lost = cell.lost or (math.nan, math.nan)
    values = " ".join(_known(value) or "none" for value in cell.values)
    known = [_known(x) for x in (cell.effect, cell.p_users, cell.p_repeats, *lost)]
    printed = "" if cell.printed is None else cell.printed
    return [_known(cell.mean), _known(cell.deviation), len(cell.values), baseline, *known, printed, values]


def _known(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def to_markdown(tables: Sequence[Table]) -> str:
    """A heading and a table for each experiment, data set, protocol and group of items."""
    return "\n".join(line for table in tables for line in _markdown(table))


def _markdown(table: Table) -> Iterator[str]:
    yield f"## {table.experiment.title}: {_markdown_text(table.data.name)}\n"
    yield f"{table.experiment.what}\n"
    for title, head, rows in plain(table):
        yield f"{title}\n"
        yield "| " + " | ".join(head) + " |"
        yield "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"
        yield from ("| " + " | ".join(row) + " |" for row in rows)
        yield ""


def to_latex(tables: Sequence[Table]) -> str:
    """The same as `table` environments that need no package."""
    return "\n".join(line for table in tables for line in _latex(table))


def _latex(table: Table) -> Iterator[str]:
    for title, head, rows in plain(table):
        yield "\\begin{table}\n\\centering"
        yield f"\\caption{{{_tex(f'{table.experiment.title}: {table.data.name}. {title}')}}}"
        yield f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n\\hline"
        yield " & ".join(map(_tex, head)) + " \\\\\n\\hline"
        yield from (" & ".join(map(_tex, row)) + " \\\\" for row in rows)
        yield "\\hline\n\\end{tabular}\n\\end{table}\n"


_TEX = {"%": "\\%", "&": "\\&", "_": "\\_", "#": "\\#", "±": "$\\pm$", "−": "$-$", "–": "--", "<": "$<$"}
_TEX |= {"α": "$\\alpha$", "β": "$\\beta$", "λ": "$\\lambda$", "=": "$=$"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


Plain = tuple[str, list[str], list[list[str]]]


def plain(table: Table) -> Iterator[Plain]:
    """Title, heading and rows, as text, of each part of a table: one per protocol, and one of its exposure."""
    part = _by_group if table.experiment.kind == "groups" else _by_metric
    for protocol in table.experiment.protocols:
        yield part(table, protocol)
        if protocol in table.exposed:
            yield _exposure(table.exposed[protocol], protocol)


def _exposure(exposed: Exposed, protocol: str) -> Plain:
    """The share of places that each group gets, below its shares of the candidates and of the pairs."""
    groups = list(exposed.pairs)
    shares = {"share of the candidates": exposed.items, "share of the test pairs": exposed.pairs}
    rows = [[name, *(numbers.metric(found[group]) for group in groups)] for name, found in shares.items()]
    for label, places in exposed.places.items():
        cells = [Cell(places[group]) for group in groups]
        rows.append([label, *(numbers.spread(cell.mean, cell.deviation) for cell in cells)])
    title = f"{protocol}, exposure: share of the top-{exposed.k} places by number of missing modalities"
    return title, ["variant", *groups], rows


def _by_metric(table: Table, protocol: str) -> Plain:
    columns = [column for column in table.columns if column[0] == protocol]
    head, rows = ["variant"], [[label] for label in table.labels]
    for column in columns:
        cells = table.cells[column]
        head += [column[2], "effect", "p users", "p repeats"]
        lost, printed = any(cell.lost for cell in cells.values()), any(cell.printed for cell in cells.values())
        head += [f"change from {table.experiment.protocols[0]}"] * lost + ["paper"] * printed
        for row, label in zip(rows, table.labels, strict=True):
            row += _cell(cells[label], label == table.baselines[column], lost, printed)
    head += ["core s", "memory"]
    for row, label in zip(rows, table.labels, strict=True):
        cost = table.costs[protocol, label]
        row += [numbers.core_seconds(cost.core_seconds), numbers.memory(cost.bytes)]
    return _title(table, protocol), head, rows


def _cell(cell: Cell, baseline: bool, lost: bool, printed: bool) -> list[str]:
    shown = [numbers.spread(cell.mean, cell.deviation)]
    if baseline:
        shown += ["baseline", "", ""]
    else:
        shown += [numbers.per_cent(cell.effect), numbers.p_value(cell.p_users), numbers.p_value(cell.p_repeats)]
    if lost:
        shown.append(_lost(cell))
    if printed:
        shown.append("" if cell.printed is None else numbers.metric(cell.printed))
    return shown


def _lost(cell: Cell) -> str:
    if cell.lost is None:
        return "–"
    mean, deviation = cell.lost
    spread = "" if math.isnan(deviation) else f" ± {100 * deviation:.1f}"
    paper = "" if cell.printed_lost is None else f" (paper {numbers.per_cent(100 * cell.printed_lost)})"
    return f"{numbers.per_cent(100 * mean)}{spread}{paper}"


def _by_group(table: Table, protocol: str) -> Plain:
    columns = [column for column in table.columns if column[0] == protocol]
    head, rows = ["variant"], [[label] for label in table.labels]
    for column in columns:
        head += [f"{column[2]}, {column[1]}", "effect"]
        for row, label in zip(rows, table.labels, strict=True):
            cell = table.cells[column][label]
            effect = "baseline" if label == table.baselines[column] else numbers.per_cent(cell.effect)
            row += [numbers.spread(cell.mean, cell.deviation), effect]
    return _title(table, protocol), head, rows


def _title(table: Table, protocol: str) -> str:
    column = next(column for column in table.columns if column[0] == protocol)
    against = table.experiment.baseline or "the best row of each column"
    repeats = len(next(iter(table.cells[column].values())).values)
    spread = f"mean ± sample standard deviation of {repeats} repeats"
    without = f"; {not_run(table)}" if table.left_out else ""
    return f"{protocol}, {spread}; effects and p values compared with {against}{without}"


def not_run(table: Table) -> str:
    """The rows that are left out."""
    return f"not run yet: {'; '.join(table.left_out)}"
