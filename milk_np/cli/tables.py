"""Tables that commands print: several models by group of items, and mean and deviation over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milk_np.evaluation.result import Evaluation


def compare_table(evaluations: Mapping[str, Evaluation], metrics: Sequence[str]) -> str:
    """One row for each group of items, one column for each metric and model."""
    first, names = next(iter(evaluations.values())), list(evaluations)
    widths = [max(10, len(name) + 2) for name in names]
    head = f"{'':<27}" + "".join(f"  {metric:>{sum(widths)}}" for metric in metrics)
    titles = "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    columns = f"{'items':<18}{'users':>9}" + ("  " + titles) * len(metrics)
    rows = [_row("all", first.n_users, [each.metrics for each in evaluations.values()], metrics, widths)]
    for group, users in first.slice_users.items():
        rows.append(_row(group, users, [each.slices[group] for each in evaluations.values()], metrics, widths))
    return "\n".join([head, columns, *rows])


def _row(
    group: str, users: int, values: Sequence[Mapping[str, float]], metrics: Sequence[str], widths: Sequence[int]
) -> str:
    columns = list(zip(values, widths, strict=True))
    cells = ["".join(f"{value[metric]:>{width}.4f}" for value, width in columns) for metric in metrics]
    return f"{group:<18}{users:>9,}" + "".join("  " + cell for cell in cells)


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation of every metric ("name@K") of several results, by its name."""
    summary = {}
    for name in (name for name in results[0] if "@" in name):
        values = [float(result[name]) for result in results]
        summary[name] = {"mean": statistics.fmean(values), "deviation": statistics.stdev(values)}
    return summary


def seeds_table(splits: Mapping[str, Mapping[str, Mapping[str, float]]], metrics: Sequence[str]) -> str:
    """Mean and sample standard deviation of the metrics, one row for each split."""
    lines = [f"{'':<8}" + "".join(f"{metric:>20}" for metric in metrics)]
    for split, values in splits.items():
        cells = [f"{values[name]['mean']:.4f} ± {values[name]['deviation']:.4f}" for name in metrics]
        lines.append(f"{split:<8}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)
