"""The metrics of ranked lists, each with its formula.

They stand here, without NumPy, because `--valid-metric` has to know their names before NumPy is loaded; the counting
is in `milk_np.evaluation.metrics`. With h_r = 1 if the item at rank r of a user's list is relevant, else 0, and R the
number of relevant candidates of the user:

recall@K    sum_{r<=K} h_r / R
ndcg@K      sum_{r<=K} h_r / log2(r + 1), over the same sum for min(K, R) hits at the head of the list
hr@K        1 if any of h_1 ... h_K is 1, else 0
mrr@K       1 / rank of the first hit, 0 if there is none within K
map@K       sum_{r<=K} h_r (h_1 + ... + h_r) / r, over min(K, R)
coverage@K  share of the candidates that appear in at least one user's first K places

All but the last are averaged over users.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Array = Any
"""An array of numbers."""


class Counts(NamedTuple):
    """What the first K places of the lists of n users hold; each user has a hit somewhere in their list.

    `hit` (n, K) bool is h_r; the others are (n,), summed in the order of the ranks: `found` hits, `relevant` candidates
    R, `first` rank (from 1) of a hit in the whole list, maybe beyond K, `gain` = sum h_r / log2(r + 1) and `ideal` =
    the most that it can be, `precision` = sum h_r (h_1 + ... + h_r) / r, `reachable` = min(K, R).
    """

    k: int
    hit: Array
    found: Array
    relevant: Array
    first: Array
    gain: Array
    ideal: Array
    precision: Array
    reachable: Array


FORMULAS: dict[str, Callable[[Counts], Array]] = {
    "recall": lambda of: of.found / of.relevant,
    "ndcg": lambda of: of.gain / of.ideal,
    "hr": lambda of: (of.found > 0) * 1.0,
    "mrr": lambda of: (of.found > 0) / of.first,
    "map": lambda of: of.precision / of.reachable,
}
"""Metrics with one value a user: (n,) float64 of the counts."""

METRICS = (*FORMULAS, "coverage")
