"""One sentence on a finished run: is the model ahead of those that need no training?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from milk_np.models.registry import settings_class
from milk_np.reports import numbers


def metric_of(test: Mapping[str, Any]) -> str:
    """NDCG at the longest list of a test result."""
    return max((name for name in test if name.startswith("ndcg@")), key=lambda name: int(name.split("@")[1]))


def is_ahead(summary: Mapping[str, Any]) -> bool:
    """Whether the run's model has a higher test NDCG than every model without training beside it."""
    metric = metric_of(summary["test"])
    return all(summary["test"][metric] > other[metric] for other in summary["beside"].values())


def verdict(summary: Mapping[str, Any]) -> str:
    """The sentence: ahead by how much, or below, with what to try next.

    `summary` is that of a run's folder: test results of the model under "test", those of the others under "beside".
    """
    metric = metric_of(summary["test"])
    own = float(summary["test"][metric])
    name, other = max(
        ((name, float(found[metric])) for name, found in summary["beside"].items()), key=lambda pair: pair[1]
    )
    model, values = summary["model"], f"{metric} {numbers.metric(own)} against {numbers.metric(other)}"
    if is_ahead(summary):
        return f"{model} is ahead of {name}, the best model without training: {values} on the test items."
    return f"{model} is not ahead of {name}, which needs no training: {values} on the test items. {_advice(model)}"


def _advice(model: str) -> str:
    cls = settings_class(model)
    ways = [] if "best" in cls.presets else ["try --preset best"]
    ways += [] if cls.kind == "untrained" else ["look for better settings with milk-tune"]
    return f"{', or '.join(ways)}.".capitalize()
