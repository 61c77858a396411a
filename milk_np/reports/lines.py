"""A plot of curves over an axis of numbers or of named positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from milk_np.reports.markup import Markup, join, tag
from milk_np.reports.numbers import metric, short, ticks
from milk_np.reports.svg import LETTER, MARKS, WIDTH, figure, legend, mark

HEIGHT, RIGHT, TOP, BOTTOM = 200, 18, 10, 44
MARKED = 14


@dataclass(frozen=True)
class Curve:
    """y over x, with deviations where they are known."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    deviation: Sequence[float] = field(default=())


@dataclass(frozen=True)
class Lines:
    """Curves in one frame. `names` label the positions 0, 1, 2, ... of an axis without numbers."""

    title: str
    x_axis: str
    y_axis: str
    curves: Sequence[Curve]
    names: Sequence[str] = ()
    level: tuple[str, float] | None = None
    zero: bool = False
    logarithmic: bool = False

    def svg(self) -> Markup:
        """The plot; its description gives the ends and the best of every curve."""
        rows = 0 if len(self.curves) == 1 else math.ceil(len(self.curves) / 2)
        top = TOP + 22 * rows + 16
        bottom = top + HEIGHT
        frame = _Frame(self._x_range(), self._y_range(), self._left(), top, bottom)
        parts = [legend([curve.name for curve in self.curves], rows), self._x_grid(frame), self._y_grid(frame)]
        curves = [self._curve(curve, k, frame) for k, curve in enumerate(self.curves)]
        return figure(self.title, self._description(), bottom + BOTTOM, *parts, self._level(frame), *curves)

    def _curve(self, curve: Curve, series: int, frame: _Frame) -> Markup:
        points = [(frame.x(x), frame.y(self._up(y))) for x, y in zip(curve.x, curve.y, strict=True) if self._shown(y)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else "M0 0"
        line = tag("path", d=path, class_=f"curve s{series % len(MARKS)}")
        bars = [
            tag(
                "path",
                d=f"M{frame.x(x):.1f} {frame.y(y - d):.1f}V{frame.y(y + d):.1f}",
                class_=f"bar s{series % len(MARKS)}",
            )
            for x, y, d in zip(curve.x, curve.y, curve.deviation, strict=False)
            if math.isfinite(d)
        ]
        marks = [mark(series, x, y) for x, y in (points if len(points) <= MARKED else points[-1:])]
        return tag("g", line, *bars, *marks)

    def _level(self, frame: _Frame) -> Markup | None:
        if self.level is None:
            return None
        y = frame.y(self._up(self.level[1]))
        return tag("path", d=f"M{frame.left} {y:.1f}H{WIDTH - RIGHT}", class_="level")

    def _x_grid(self, frame: _Frame) -> Markup:
        places = [(float(k), name) for k, name in enumerate(self.names)]
        places = places or [(value, short(value)) for value in ticks(*frame.x_range, about=5)]
        labels = [tag("text", name, x=frame.x(x), y=frame.bottom + 18, text_anchor="middle") for x, name in places]
        title = tag(
            "text",
            self.x_axis,
            x=(frame.left + WIDTH - RIGHT) / 2,
            y=frame.bottom + 38,
            text_anchor="middle",
            class_="axis",
        )
        return join([*labels, title])

    def _y_grid(self, frame: _Frame) -> Markup:
        parts: list[Markup] = []
        for value in ticks(*frame.y_range):
            y = frame.y(value)
            parts.append(tag("path", d=f"M{frame.left} {y:.1f}H{WIDTH - RIGHT}", class_="grid"))
            parts.append(tag("text", self._label(value), x=frame.left - 6, y=y + 4, text_anchor="end"))
        parts.append(tag("text", self.y_axis, x=4, y=frame.top - 10, class_="axis"))
        return join(parts)

    def _left(self) -> float:
        """Width of the labels of the ticks."""
        return 16 + LETTER * max(len(self._label(value)) for value in ticks(*self._y_range()))

    def _label(self, tick: float) -> str:
        return short(10**tick) if self.logarithmic else short(tick)

    def _up(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _shown(self, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not self.logarithmic)

    def _x_range(self) -> tuple[float, float]:
        if self.names:
            return -0.4, len(self.names) - 0.6
        every = [x for curve in self.curves for x in curve.x] or [0.0]
        return (min(every), max(every)) if max(every) > min(every) else (min(every) - 1, max(every) + 1)

    def _y_range(self) -> tuple[float, float]:
        ends = [0.0] if self.zero and not self.logarithmic else []
        for curve in self.curves:
            known = [y for y in curve.y if self._shown(y)]
            ends += [self._up(y) for y in known]
            ends += [
                y + s * d for y, d in zip(curve.y, curve.deviation, strict=False) for s in (-1, 1) if math.isfinite(d)
            ]
        if self.level is not None:
            ends.append(self._up(self.level[1]))
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        return (low if self.zero and not self.logarithmic else low - pad), high + pad

    def _description(self) -> str:
        return f"{self.y_axis} over {self.x_axis}. " + "; ".join(self._said(curve) for curve in self.curves)

    def _said(self, curve: Curve) -> str:
        if self.names:
            pairs = [f"{name} {metric(y)}" for name, y in zip(self.names, curve.y, strict=True)]
            return f"{curve.name}: {', '.join(pairs)}"
        if not curve.y:
            return f"{curve.name}: none"
        return f"{curve.name}: from {short(curve.y[0])} to {short(curve.y[-1])}, highest {short(max(curve.y))}"


@dataclass(frozen=True)
class _Frame:
    """Maps numbers to positions in the plot."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float
    top: float
    bottom: float

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (WIDTH - RIGHT - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)
