"""Number formats of the reports."""

from __future__ import annotations

import math

from milk_np.text import bytes_text


def metric(value: float) -> str:
    """Four decimals; a dash for nan."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def spread(mean: float, deviation: float) -> str:
    """Mean ± deviation; the mean alone if the deviation is nan."""
    return metric(mean) if math.isnan(deviation) else f"{mean:.4f} ± {deviation:.4f}"


def per_cent(value: float, digits: int = 1) -> str:
    """A signed percentage with a true minus sign."""
    if math.isnan(value):
        return "–"
    return f"{value:+.{digits}f} %".replace("-", "−")


def p_value(value: float) -> str:
    """A p value; "< .001" for smaller ones."""
    if math.isnan(value):
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}".replace("0.", ".", 1)


def duration(seconds: float) -> str:
    """Seconds as s, min or h."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def core_seconds(value: float) -> str:
    """Core seconds with two digits that count; a dash for nan."""
    if math.isnan(value):
        return "–"
    return f"{value:.2g}" if value < 9.95 else f"{value:.0f}"


def memory(value: float) -> str:
    """Bytes in a fitting unit; a dash for nan."""
    return "–" if math.isnan(value) else bytes_text(int(value))


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """About `about` round values within low..high."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / about))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= about + 0.5)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def short(value: float) -> str:
    """A tick's label: as few digits as it takes."""
    return f"{value:.6g}".replace("-", "−")
