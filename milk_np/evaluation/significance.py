"""Whether a difference between two systems is significant: paired tests, Holm's correction, effects."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Paired:
    """A system compared with another on the same users or repeats.

    Attributes
    ----------
    difference : mean of (this - other)
    effect : difference in per cent of the other's mean; nan if that is 0
    p : two-sided p value; nan if there are too few pairs, 1 if all are equal
    n : number of pairs
    """

    difference: float
    effect: float
    p: float
    n: int


def paired(this: Values, other: Values) -> Paired:
    """Student's paired test of two series (n,) in the same order.

    With users as pairs, n is in the thousands and the mean difference is close to normal whatever the distribution.
    Over repeats n is small and the test assumes normal differences.
    """
    this, other = np.asarray(this, np.float64), np.asarray(other, np.float64)
    if this.shape != other.shape or this.ndim != 1:
        raise ValueError(f"this, other: expected two series of one length, got shapes {this.shape} and {other.shape}")
    if len(this) == 0:
        return Paired(math.nan, math.nan, math.nan, 0)
    difference = float((this - other).mean())
    base = float(other.mean())
    return Paired(difference, 100 * difference / base if base else math.nan, _p_value(this - other), len(this))


def _p_value(differences: Values) -> float:
    from scipy import stats

    if len(differences) < 2:
        return math.nan
    if not differences.any():
        return 1.0
    if np.ptp(differences) == 0:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nearly equal differences: the test is valid, if imprecise
        return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p values of several comparisons, corrected for the family-wise error rate (Holm 1979).

    A nan stays nan and doesn't count as a comparison.
    """
    known = sorted((value, name) for name, value in p.items() if not math.isnan(value))
    adjusted, highest = dict(p), 0.0
    for rank, (value, name) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - rank)))
        adjusted[name] = highest
    return adjusted


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; that of a single value is nan."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan
