"""What an evaluation found: means over users, overall and by group of items, and the values of each user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.display.tables import Table, Tabular
from milk_np.evaluation.exposure import Shares, exposure_lines
from milk_np.evaluation.metrics import PerUser
from milk_np.files import write_npz_atomic
from milk_np.settings.metrics import METRICS


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Tabular):
    """Result of `evaluate`; as a table, a row for all items and one for each group of items.

    Attributes
    ----------
    split : "valid" or "test"
    candidates : "all" or "split"
        Items ranked: all new items, or those of the split.
    n_candidates, n_users : int
        Items ranked for each user; users with at least one pair in the split.
    topk : lengths K of the lists, ascending
    metrics : dict
        Means over users under names such as "recall@20"; see `milk_np.evaluation.metrics`.
    slices : dict
        The same for the relevant items of one group ("complete", "one missing", "two missing", ...):
        candidates unchanged, over the users with such an item.
    slice_users : dict
        Number of those users.
    users : (n,) int32
        Users evaluated, ascending.
    per_user : dict
        Value of each metric but coverage for each of them, (n,) float64.
    user_ids : (n,) str, optional
        Their ids, if the data have any.
    left_out : int
        Users with a pair in the split whom the model can't serve: it doesn't know them, nor their history.
    drawn_from : int
        Where users were drawn: how many those evaluated were drawn from; else 0.
    half_width : dict
        Where users were drawn: half the width of the 95 % confidence interval of each of `metrics` but coverage.
    exposure : dict
        By group of items, its share of the candidates, of the relevant pairs and of the places of the lists; see
        `milk_np.evaluation.exposure`.
    """

    split: str
    candidates: str
    n_candidates: int
    topk: tuple[int, ...]
    metrics: dict[str, float]
    slices: dict[str, dict[str, float]]
    slice_users: dict[str, int]
    users: NDArray[np.int32] = field(repr=False)
    per_user: PerUser = field(repr=False)
    left_out: int = 0
    user_ids: NDArray[np.str_] | None = field(default=None, repr=False)
    exposure: Shares = field(default_factory=dict)
    drawn_from: int = 0
    half_width: dict[str, float] = field(default_factory=dict)

    @property
    def n_users(self) -> int:
        """Number of users evaluated."""
        return len(self.users)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns "group" ("all", then as in `slices`), "users", and one a metric; NaN where it isn't defined."""
        groups = {"all": self.metrics, **self.slices}
        users = [self.n_users, *self.slice_users.values()]
        values = {name: np.array([of.get(name, np.nan) for of in groups.values()]) for name in self.metrics}
        return {"group": np.array(list(groups)), "users": np.array(users, np.int64), **values}

    @property
    def by_user(self) -> Table:
        """Each user's values, as a table: "user" (the id, or the number without ids) and one column for each metric."""
        return Table({"user": self.users if self.user_ids is None else self.user_ids, **self.per_user})

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items() if name.startswith("ndcg"))
        return f"<{self.split}: {self.n_users:,} users, {self.n_candidates:,} candidates: {shown}>"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values per user, for a JSON file; the metrics are at the top level."""
        sliced = {name: {"users": self.slice_users[name], **values} for name, values in self.slices.items()}
        lost: dict[str, Any] = {"users_left_out": self.left_out} if self.left_out else {}
        if self.drawn_from:
            lost |= {"drawn_from": self.drawn_from, "half_width": self.half_width}
        counts = {"users": self.n_users, **lost, "n_candidates": self.n_candidates, "candidates": self.candidates}
        return {**self.metrics, **counts, "slices": sliced, "exposure": self.exposure}

    def save_per_user(self, path: str | Path) -> None:
        """Write each user's values as an `.npz` of kind "per-user": `users`, `user_ids` if any, one array for each
        metric."""
        meta = {"kind": "per-user", "split": self.split, "candidates": self.candidates}
        ids = {} if self.user_ids is None else {"user_ids": self.user_ids}
        write_npz_atomic(path, {"users": self.users, **ids, **self.per_user}, meta)

    def table(self) -> str:
        """The metrics as text: one block for each K, one line for each group of items."""
        ranked = "all new items" if self.candidates == "all" else f"the new items of {self.split}"
        lost = f" ({self.left_out:,} unknown to the model left out)" if self.left_out else ""
        drawn = f" drawn of {self.drawn_from:,}" if self.drawn_from else ""
        title = f"{self.split} split: {self.n_users:,} users{drawn}{lost}, {self.n_candidates:,} candidates ({ranked})"
        blocks = (line for k in self.topk for line in ["", *self._block(k)])
        return "\n".join([title, *blocks, *exposure_lines(self.exposure)])

    def _block(self, k: int) -> Iterator[str]:
        yield f"{f'K = {k}':<18}{'users':>9}" + "".join(f"{name:>10}" for name in METRICS)
        rows = [("all", self.n_users, self.metrics)]
        rows += [(name, self.slice_users[name], values) for name, values in self.slices.items()]
        if self.half_width:
            rows.insert(1, ("  95 % within ±", self.n_users, self.half_width))
        for name, users, values in rows:
            cells = [f"{values[f'{metric}@{k}']:>10.4f}" for metric in METRICS if f"{metric}@{k}" in values]
            yield f"{name:<18}{users:>9,}" + "".join(cells)
