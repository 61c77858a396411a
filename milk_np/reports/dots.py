"""A plot of means with their deviations: one row for each system, one marker for each series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from milk_np.reports.markup import Markup, join, tag
from milk_np.reports.numbers import short, spread, ticks
from milk_np.reports.svg import LETTER, MARKS, WIDTH, figure, legend, mark

ROW, TOP, BOTTOM = 30, 8, 40
LINE = 13
"""From one line of text, or point, of a row to the next."""
NAMES = 170
"""Width that the names of the rows may take."""
RESOLVED = 1e-9
"""Share of the largest number within which numbers are drawn as if they were equal."""


@dataclass(frozen=True)
class Point:
    """A mean, its deviation (nan if unknown) and the single values."""

    mean: float
    deviation: float = math.nan
    values: Sequence[float] = field(default=())


@dataclass(frozen=True)
class Dots:
    """Rows by name; in each row a point for every series. `level` is a dashed line, for example random order."""

    title: str
    axis: str
    series: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Point]]]
    level: tuple[str, float] | None = None
    strong: frozenset[str] = frozenset()

    def svg(self) -> Markup:
        """The plot; its description lists every number."""
        step = ROW + LINE * (len(self.series) - 1)
        head = TOP + 22 * self._legend_rows()
        height = head + step * len(self.rows) + BOTTOM
        scale = _Scale(self._range(), self._labels(), WIDTH - 16)
        bottom = height - BOTTOM
        rows = [self._row(name, points, head + step * i, step, scale) for i, (name, points) in enumerate(self.rows)]
        children = [
            legend(self.series, self._legend_rows()),
            scale.grid(head, bottom, self.axis),
            self._line(scale, head, bottom),
        ]
        return figure(self.title, self._description(), height, *children, *rows)

    def _labels(self) -> float:
        """Width of the names of the rows."""
        longest = max(len(line) for name, _ in self.rows for line in _lines(name))
        return min(longest * LETTER, NAMES) + 18

    def _legend_rows(self) -> int:
        return 0 if len(self.series) == 1 else math.ceil(len(self.series) / 2)

    def _row(self, name: str, points: Sequence[Point], y: float, step: int, scale: _Scale) -> Markup:
        middle = y + step / 2
        class_ = "strong" if name in self.strong else None
        lines = _lines(name)
        label = [
            tag(
                "text",
                line,
                x=scale.left - 10,
                y=middle + 4 + LINE * (k - (len(lines) - 1) / 2),
                text_anchor="end",
                class_=class_,
            )
            for k, line in enumerate(lines)
        ]
        offset = middle - LINE * (len(points) - 1) / 2
        shown = [self._point(point, k, offset + LINE * k, scale) for k, point in enumerate(points)]
        return tag("g", *label, *shown)

    def _point(self, point: Point, series: int, y: float, scale: _Scale) -> Markup | None:
        if not math.isfinite(point.mean) or not scale.holds(point.mean):
            return None
        singles = [tag("circle", cx=scale(v), cy=y, r=1.6, class_="single") for v in point.values if scale.holds(v)]
        bar = None
        if math.isfinite(point.deviation):
            low, high = scale.cut(point.mean - point.deviation), scale.cut(point.mean + point.deviation)
            bar = tag("path", d=f"M{low:.1f} {y:.1f}H{high:.1f}", class_=f"bar s{series % len(MARKS)}")
        return tag("g", bar, *singles, mark(series, scale(point.mean), y))

    def _line(self, scale: _Scale, top: float, bottom: float) -> Markup | None:
        if self.level is None or not scale.holds(self.level[1]):
            return None
        return tag("path", d=f"M{scale(self.level[1]):.1f} {top:.1f}V{bottom:.1f}", class_="level")

    def _range(self) -> tuple[float, float]:
        ends = [
            point.mean + sign * _or_zero(point.deviation)
            for _, points in self.rows
            for point in points
            for sign in (-1, 1)
        ]
        ends += [v for _, points in self.rows for point in points for v in point.values]
        ends = [end for end in ends if math.isfinite(end)]
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        size = max(abs(low), abs(high))
        pad = 0.04 * (high - low)
        if high - low <= RESOLVED * size:  # rounding would place grid lines anywhere
            pad = 0.05 * size or 1.0
        return low - pad, high + pad

    def _description(self) -> str:
        parts = []
        for name, points in self.rows:
            said = [f"{_named(s)}{spread(p.mean, p.deviation)}" for s, p in zip(self.series, points, strict=True)]
            parts.append(f"{name}: {', '.join(said)}")
        return f"{self.axis}. " + "; ".join(parts)


class _Scale:
    """Maps numbers to positions along an axis from `left` to `right`."""

    def __init__(self, ends: tuple[float, float], left: float, right: float) -> None:
        self.low, self.high = ends
        self.left, self.right = left, right

    def __call__(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def cut(self, value: float) -> float:
        return self(min(max(value, self.low), self.high))

    def grid(self, top: float, bottom: float, name: str) -> Markup:
        lines, labels = [], []
        for value in ticks(self.low, self.high):
            x = self(value)
            lines.append(tag("path", d=f"M{x:.1f} {top:.1f}V{bottom:.1f}", class_="grid"))
            labels.append(tag("text", short(value), x=x, y=bottom + 16, text_anchor="middle"))
        middle = (self.left + self.right) / 2
        title = tag("text", name, x=middle, y=bottom + 34, text_anchor="middle", class_="axis")
        return join([*lines, *labels, title])


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _named(series: str) -> str:
    return f"{series} " if series else ""


def _lines(name: str) -> list[str]:
    """A row's name; one that is too wide goes on below, after its first comma."""
    if len(name) * LETTER <= NAMES or ", " not in name:
        return [name]
    first, rest = name.split(", ", 1)
    return [f"{first},", rest]
