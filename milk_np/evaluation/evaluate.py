"""How well a model ranks new items: metrics over users, overall and by number of missing modalities."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.display.tables import Table, Tabular
from milk_np.errors import DataError, DataWarning, SettingsError
from milk_np.evaluation.exposure import Exposure, Shares, exposure_lines, group_name
from milk_np.evaluation.metrics import PerUser, averages, best_place, coverage, hits, per_user
from milk_np.files import write_npz_atomic
from milk_np.serving.identity import IdList, Index
from milk_np.serving.ranking import Factors, Scorer, TopK, best_candidates, meeting
from milk_np.settings.metrics import METRICS

SPLITS: dict[int, str] = {Split.VALIDATION: "valid", Split.TEST: "test"}
CANDIDATES = ("all", "split")


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
        lost = {"users_left_out": self.left_out} if self.left_out else {}
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
        title = f"{self.split} split: {self.n_users:,} users{lost}, {self.n_candidates:,} candidates ({ranked})"
        blocks = (line for k in self.topk for line in ["", *self._block(k)])
        return "\n".join([title, *blocks, *exposure_lines(self.exposure)])

    def _block(self, k: int) -> Iterator[str]:
        yield f"{f'K = {k}':<18}{'users':>9}" + "".join(f"{name:>10}" for name in METRICS)
        rows = [("all", self.n_users, self.metrics)]
        rows += [(name, self.slice_users[name], values) for name, values in self.slices.items()]
        for name, users, values in rows:
            cells = [f"{values[f'{metric}@{k}']:>10.4f}" for metric in METRICS if f"{metric}@{k}" in values]
            yield f"{name:<18}{users:>9,}" + "".join(cells)


def evaluate(
    model: Scorer | tuple[NDArray[np.float32], NDArray[np.float32]],
    ds: Dataset,
    split: int = Split.TEST,
    *,
    topk: Sequence[int] = (10, 20),
    candidates: str = "all",
    users: IdList | None = None,
    top_k: TopK | None = None,
) -> Evaluation:
    """Rank the new items for every user who has a pair in the split, and evaluate the lists.

    Parameters
    ----------
    model : Scorer, or two arrays
        A model, or the vectors of all users (U, K) and of all items (I, K).
    ds : Dataset
    split : 1 (validation) or 2 (test)
    topk : lengths K of the lists
    candidates : "all" (the new items of both splits) or "split" (those of the split)
        Items without any pair are never ranked here.
    users : ids, optional
        As the data name them; numbers where they have no ids. Only those of these users who have a pair in the split.
    top_k : kernel, optional
        A kernel to use instead of the model's.

    Raises
    ------
    SettingsError
        If an argument is invalid, such as a K above the number of candidates.
    DataError
        If no user has a pair in the split.
    DivergedError
        If a vector of the model is not finite.
    """
    scorer = Factors(*model) if isinstance(model, tuple) else meeting(model, ds)
    ranked = _candidate_items(ds, split, candidates)
    refuse_trained(scorer, ranked, SPLITS[split])
    lengths = _lengths(topk, len(ranked))
    servable = getattr(scorer, "servable", None)
    chosen = None if users is None else Index(ds.user_ids, ds.n_users, "user").numbers(users)
    truth = _Truth.of(ds, split, ranked, chosen, servable)
    best = np.full(len(ranked), lengths[-1], np.int64)
    scored, exposure = [], Exposure(truth.n_missing, truth.relevant, lengths)
    for lists in best_candidates(scorer, truth.users, ranked, lengths[-1], top_k=top_k):
        np.minimum(best, best_place(lists.position, len(ranked)), out=best)
        scored.append(truth.score(lists.position, lists.rows, lengths))
        exposure.add(lists.position)
    whole, *groups = [_joined(parts) for parts in zip(*scored, strict=True)]
    slices = dict(zip(truth.group_names, groups, strict=True))
    return Evaluation(
        split=SPLITS[split],
        candidates=candidates,
        n_candidates=len(ranked),
        topk=lengths,
        metrics=averages(whole) | coverage(best, len(ranked), lengths),
        slices={name: averages(values) for name, values in slices.items()},
        slice_users={name: len(next(iter(values.values()))) for name, values in slices.items()},
        users=truth.users,
        per_user=whole,
        left_out=truth.left_out,
        user_ids=None if ds.user_ids is None else ds.user_ids[truth.users],
        exposure=exposure.shares(),
    )


@dataclass(frozen=True, eq=False)
class _Truth:
    """Relevant pairs: `relevant` candidate positions by user; `n_missing`, missing modalities of each candidate."""

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    relevant: NDArray[np.int32]
    n_missing: NDArray[np.int64]
    left_out: int

    @classmethod
    def of(
        cls,
        ds: Dataset,
        split: int,
        ranked: NDArray[np.int32],
        chosen: NDArray[np.integer[Any]] | None,
        servable: NDArray[np.bool_] | None,
    ) -> _Truth:
        """Pairs of the split; only of users in `chosen` and of those `servable` (U,), if these are given."""
        user, item = ds.interactions(split)
        if chosen is not None:
            kept = np.isin(user, chosen)
            user, item = user[kept], item[kept]
        user, item, left_out = _served(user, item, servable)
        if len(user) == 0:
            whose = "" if chosen is None else f" of the {len(chosen)} given users"
            raise DataError(f"{SPLITS[split]} split: expected pairs{whose} to evaluate on, got none")
        users, counts = np.unique(user, return_counts=True)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        missing = ds.n_modalities - ds.available[ranked].sum(axis=1)
        return cls(users, indptr, np.searchsorted(ranked, item).astype(np.int32), missing, left_out)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The numbers of missing modalities that occur among the relevant items."""
        return np.unique(self.n_missing[self.relevant])

    @property
    def group_names(self) -> list[str]:
        return [group_name(int(group)) for group in self.groups]

    def score(self, lists: NDArray[np.int32], rows: slice, lengths: tuple[int, ...]) -> list[PerUser]:
        """Values of the users `rows`: for all relevant items, then for each group with relevant items."""
        indptr = self.indptr[rows.start : rows.stop + 1]
        relevant = self.relevant[indptr[0] : indptr[-1]]
        hit = hits(lists, indptr - indptr[0], relevant)
        user = np.repeat(np.arange(len(lists)), np.diff(indptr))
        out = [per_user(hit, np.diff(indptr), lengths)]
        for group in self.groups:
            count = np.bincount(user[self.n_missing[relevant] == group], minlength=len(lists))
            some = count > 0
            inside = hit & (self.n_missing[lists] == group)
            out.append(per_user(inside[some], count[some], lengths))
        return out


def refuse_trained(scorer: Scorer, ranked: NDArray[np.int32], split: str) -> None:
    """Raise DataError if the model learned from items that are to be ranked as new ones."""
    trained = getattr(scorer, "trained_items", None)
    known = 0 if trained is None else int(trained[ranked].sum())
    if known:
        raise DataError(
            f"{split} split: {known:,} of the {len(ranked):,} items to rank were training items of the model, so that "
            "the result would be too good; evaluate on the split that the model was trained with"
        )


def _served(
    user: NDArray[np.int32], item: NDArray[np.int32], servable: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """The pairs of users whom the model can serve, and the number of other users."""
    if servable is None or servable[user].all():
        return user, item, 0
    kept = servable[user]
    if not kept.any():
        raise DataError(
            "users: the model knows none of the users to evaluate, nor their history; is it another data set's?"
        )
    lost = len(np.unique(user[~kept]))
    warnings.warn(f"{lost:,} users left out: the model doesn't know them, nor their history", DataWarning, stacklevel=4)
    return user[kept], item[kept], lost


def _joined(parts: tuple[PerUser, ...]) -> PerUser:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _candidate_items(ds: Dataset, split: int, candidates: str) -> NDArray[np.int32]:
    if split not in SPLITS:
        raise SettingsError(f"split: expected 1 (valid) or 2 (test), got {split!r}")
    if candidates not in CANDIDATES:
        raise SettingsError(f"candidates: expected one of {', '.join(CANDIDATES)}, got {candidates!r}")
    return ds.evaluated_items if candidates == "all" else ds.new_items(split)


def _lengths(topk: Sequence[int], n_candidates: int) -> tuple[int, ...]:
    """`topk` ascending and without repetitions, or SettingsError if a list would be empty or too long."""
    lengths = tuple(sorted(set(topk)))
    if not lengths or lengths[0] < 1:
        raise SettingsError(f"topk: expected lengths of at least 1, got {', '.join(map(str, topk)) or 'none'}")
    if lengths[-1] > n_candidates:
        raise SettingsError(
            f"topk: expected at most {n_candidates}, the number of candidates, got {lengths[-1]}; use a smaller K"
        )
    return lengths
