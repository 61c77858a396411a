"""Exposure in an experiment: which share of the places of all lists each group of items gets, in means over repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from milk_np.evaluation.exposure import in_order

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Exposed:
    """Means over the repeats of one protocol, by group of items; see `milk_np.evaluation.exposure`.

    Attributes
    ----------
    k : length of the lists
    items, pairs : shares of the candidates and of the relevant pairs, by group
    places : by label and group, shares of the lists' places, one of each repeat that didn't diverge
    """

    k: int
    items: dict[str, float]
    pairs: dict[str, float]
    places: dict[str, dict[str, list[float]]]

    @classmethod
    def of(cls, summaries: Mapping[str, Sequence[Summary]], k: int) -> Exposed | None:
        """Of finished runs by label; labels without a run that told of it are left out.

        None where no run told of it, or all candidates are of one group.
        """
        told = {label: _told(runs, f"top{k}") for label, runs in summaries.items()}
        told = {label: shares for label, shares in told.items() if shares}
        found = {group for runs in told.values() for shares in runs for group in shares}
        groups = in_order(found)
        if len(groups) < 2:
            return None
        first = next(iter(told.values()))
        places = {label: {g: _each(runs, g, f"top{k}") for g in groups} for label, runs in told.items()}
        items, pairs = ({g: float(np.mean(_each(first, g, name))) for g in groups} for name in ("items", "pairs"))
        return cls(k, items, pairs, places)


def _told(runs: Sequence[Summary], name: str) -> list[Mapping[str, Mapping[str, float]]]:
    """The exposure of each run that knows it for lists of this length."""
    every = [run.get("test", {}).get("exposure", {}) for run in runs]
    return [shares for shares in every if shares and all(name in each for each in shares.values())]


def _each(runs: Sequence[Mapping[str, Mapping[str, float]]], group: str, name: str) -> list[float]:
    """A share in each run; 0 where the group is empty."""
    return [float(run.get(group, {}).get(name, 0.0)) for run in runs]
