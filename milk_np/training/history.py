"""The history of a training run; checkpoints hold all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.display.tables import Tabular


@dataclass(repr=False)
class History(Tabular):
    """The history of a training run; checkpoints hold all of it. As a table, a row for each epoch."""

    records: list[dict[str, Any]] = field(default_factory=list)
    """One per epoch: "epoch", "losses", and "valid" if it was evaluated."""
    best_epoch: int = 0
    best_value: float = -math.inf
    evaluations_since_best: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "evaluation": 0.0, "saving": 0.0})

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return int(self.records[-1]["epoch"]) if self.records else 0

    def stopped(self, patience: int) -> bool:
        """Whether the last `patience` evaluations brought no improvement; patience 0 never stops."""
        return bool(patience) and self.evaluations_since_best >= patience

    def judge(self, epoch: int, value: float) -> bool:
        """Record a validation metric; return whether it is the best so far (of equal ones, the first)."""
        better = value > self.best_value
        if better:
            self.best_epoch, self.best_value = epoch, value
        self.evaluations_since_best = 0 if better else self.evaluations_since_best + 1
        return better

    def evaluated(self) -> bool:
        """Whether the last epoch has its validation metrics."""
        return not self.records or "valid" in self.records[-1]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns "epoch", "loss_total" and the parts of the loss, "valid_recall@20" and the like; NaN where an epoch
        wasn't evaluated."""
        rows = [
            {f"loss_{name}": value for name, value in record.get("losses", {}).items()}
            | {f"valid_{name}": value for name, value in record.get("valid", {}).items()}
            for record in self.records
        ]
        names = list(dict.fromkeys(name for row in rows for name in row))
        values = {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}
        return {"epoch": np.array([record["epoch"] for record in self.records], np.int64), **values}

    def __repr__(self) -> str:
        best = f", best epoch {self.best_epoch} ({self.best_value:.4f})" if self.best_epoch else ""
        return f"<{self.epochs} epochs{best}>"

    def summary(self) -> dict[str, int]:
        """The part that goes into a run's summary."""
        return {"epochs": self.epochs} | ({"best_epoch": self.best_epoch} if self.best_epoch else {})

    def to_json(self) -> dict[str, Any]:
        """Values for a checkpoint. JSON has no infinity: before the first evaluation there is no best value."""
        return {**vars(self), "best_value": self.best_value if self.best_epoch else None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The history that `to_json` gave. ValueError, TypeError or KeyError for what it never gives."""
        records = values["records"]
        if not isinstance(records, list):
            raise TypeError(f"records are {records!r}, no list")
        for number, record in enumerate(records, 1):
            if whole("epoch", record["epoch"], number) != number:
                raise ValueError(f"epoch {number} is recorded as {record['epoch']}")
            _numbers("losses", record["losses"])
            _numbers("valid", record.get("valid", {}))
        best = whole("best_epoch", values["best_epoch"], len(records))
        whole("evaluations_since_best", values["evaluations_since_best"], len(records))
        _numbers("best_value", {"best_value": values["best_value"]} if best else {})
        if set(_numbers("seconds", values["seconds"])) != set(cls().seconds):
            raise KeyError(f"seconds of {', '.join(cls().seconds)}")
        return cls(**{**values, "best_value": values["best_value"] if best else -math.inf})


def _numbers(name: str, values: object) -> dict[str, float]:
    """`values` by name, which have to be numbers; TypeError if they aren't."""
    if not isinstance(values, dict) or not all(type(value) in (int, float) for value in values.values()):
        raise TypeError(f"{name}: expected numbers by name, got {values!r}")
    return values


def whole(name: str, value: object, most: int) -> int:
    """`value`, a whole number from 0 to `most`; TypeError or ValueError if it isn't one."""
    if type(value) is not int:
        raise TypeError(f"{name} is {value!r}, no whole number")
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {value}, expected 0 to {most}")
    return value
