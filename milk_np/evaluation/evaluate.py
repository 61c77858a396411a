"""How well a model ranks new items: metrics over users, overall and by number of missing modalities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.data.share import Share
from milk_np.errors import DataError, SettingsError
from milk_np.evaluation.drawn import Drawn, draw, everybody, half_widths
from milk_np.evaluation.exposure import Exposure, group_name, sum_of
from milk_np.evaluation.metrics import PerUser, averages, best_place, coverage
from milk_np.evaluation.result import Evaluation
from milk_np.evaluation.truth import SPLITS, Truth
from milk_np.serving.identity import IdList, Index
from milk_np.serving.ranking import Factors, Scorer, TopK, best_candidates, meeting

CANDIDATES = ("all", "split")


def evaluate(
    model: Scorer | tuple[NDArray[np.float32], NDArray[np.float32]],
    ds: Dataset,
    split: int = Split.TEST,
    *,
    topk: Sequence[int] = (10, 20),
    candidates: str = "all",
    users: IdList | None = None,
    sample_users: int | None = None,
    seed: int = 0,
    top_k: TopK | None = None,
    share: Share | None = None,
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
    sample_users : int, optional
        Evaluate so many users, drawn at random with `seed` from those above; all of them if there aren't more. The
        result says how far its means may be off. Coverage is that of the lists of the users drawn.
    top_k : kernel, optional
        A kernel to use instead of the model's.
    share : Share, optional
        Where several ranks evaluate together, each its own users: rank 0 gets the values of all users, every rank the
        metrics.

    Raises
    ------
    SettingsError
        If an argument is invalid, such as a K above the number of candidates.
    DataError
        If no user has a pair in the split.
    DivergedError
        If a vector of the model is not finite.
    """
    share = share or Share()
    if sample_users is not None and share.ranks.size > 1:
        raise SettingsError("sample_users: each rank has users of its own; evaluate on one, or all users")
    chosen = None if users is None else Index(ds.user_ids, ds.n_users, "user").numbers(users)
    drawn = partial(draw, count=sample_users, seed=seed)
    found = values_of(model, ds, split, topk=topk, candidates=candidates, chosen=chosen, drawn=drawn, top_k=top_k)
    found = found._replace(users=found.users + np.int32(share.first_user))
    everything = share.ranks.first_values(found)
    whose = "" if chosen is None else f" of the {len(chosen)} given users"
    merged = share.ranks.kept_by_first(lambda: merged_values(everything, split, candidates, whose))
    told = None if merged is None else (merged.metrics, merged.slices, merged.slice_users, merged.exposure)
    means = share.ranks.from_first(told)
    return merged or _own_part(found, split, candidates, means)


class Values(NamedTuple):
    """Values of some users: for all relevant items, and for each group of them; the best place of each candidate."""

    users: NDArray[np.int32]
    user_ids: NDArray[np.str_] | None
    whole: PerUser
    groups: dict[int, PerUser]
    best: NDArray[np.int64]
    topk: tuple[int, ...]
    left_out: int
    exposure: Exposure
    drawn_from: int


def values_of(
    model: Scorer | tuple[NDArray[np.float32], NDArray[np.float32]],
    ds: Dataset,
    split: int,
    *,
    topk: Sequence[int],
    candidates: str = "all",
    chosen: NDArray[np.int32] | None = None,
    drawn: Drawn = everybody,
    top_k: TopK | None = None,
) -> Values:
    """The values of the users of `ds`, or of those `chosen` and `drawn`, as far as they are served; maybe of none."""
    scorer = Factors(*model) if isinstance(model, tuple) else meeting(model, ds)
    ranked = _candidate_items(ds, split, candidates)
    refuse_trained(scorer, ranked, SPLITS[split])
    lengths = _lengths(topk, len(ranked))
    truth = Truth.of(ds, split, ranked, chosen, getattr(scorer, "servable", None), drawn)
    best = np.full(len(ranked), lengths[-1], np.int64)
    scored = [truth.score(np.zeros((0, lengths[-1]), np.int32), slice(0, 0), lengths)]
    exposure = Exposure(truth.n_missing, truth.relevant, lengths)
    for lists in best_candidates(scorer, truth.users, ranked, lengths[-1], top_k=top_k):
        np.minimum(best, best_place(lists.position, len(ranked)), out=best)
        scored.append(truth.score(lists.position, lists.rows, lengths))
        exposure.add(lists.position)
    whole, *groups = [_joined(parts) for parts in zip(*scored, strict=True)]
    ids = None if ds.user_ids is None else ds.user_ids[truth.users]
    by_group = dict(zip(truth.groups, groups, strict=True))
    return Values(truth.users, ids, whole, by_group, best, lengths, truth.left_out, exposure, truth.drawn_from)


def merged_values(parts: Sequence[Values], split: int, candidates: str, whose: str = "") -> Evaluation:
    """The evaluation over the users of all parts. Raises DataError if there are none."""
    users = np.concatenate([part.users for part in parts])
    if not len(users):
        raise DataError(f"{SPLITS[split]} split: expected pairs{whose} to evaluate on, got none")
    n_candidates = len(parts[0].best)
    whole = _joined([part.whole for part in parts])
    numbers = sorted({group for part in parts for group in part.groups})
    groups = {n: _joined([part.groups[n] for part in parts if n in part.groups]) for n in numbers}
    ids = [part.user_ids for part in parts if part.user_ids is not None]
    drawn_from = sum(part.drawn_from for part in parts)
    return Evaluation(
        split=SPLITS[split],
        candidates=candidates,
        n_candidates=n_candidates,
        topk=parts[0].topk,
        metrics=averages(whole) | coverage(np.min([part.best for part in parts], axis=0), n_candidates, parts[0].topk),
        slices={group_name(n): averages(values) for n, values in groups.items()},
        slice_users={group_name(n): len(next(iter(values.values()))) for n, values in groups.items()},
        users=users,
        per_user=whole,
        left_out=sum(part.left_out for part in parts),
        user_ids=np.concatenate(ids) if ids else None,
        exposure=sum_of([part.exposure for part in parts]).shares(),
        drawn_from=drawn_from,
        half_width=half_widths(whole, drawn_from) if drawn_from else {},
    )


def _own_part(found: Values, split: int, candidates: str, means: tuple[Any, Any, Any, Any]) -> Evaluation:
    """What a rank other than 0 knows of an evaluation: the metrics of all users, the values of its own."""
    metrics, slices, slice_users, exposure = means
    about = SPLITS[split], candidates, len(found.best), found.topk
    own = found.users, found.whole, found.left_out, found.user_ids
    return Evaluation(*about, metrics, slices, slice_users, *own, exposure)


def refuse_trained(scorer: Scorer, ranked: NDArray[np.int32], split: str) -> None:
    """Raise DataError if the model learned from items that are to be ranked as new ones."""
    trained = getattr(scorer, "trained_items", None)
    known = 0 if trained is None else int(trained[ranked].sum())
    if known:
        raise DataError(
            f"{split} split: {known:,} of the {len(ranked):,} items to rank were training items of the model, so that "
            "the result would be too good; evaluate on the split that the model was trained with"
        )


def _joined(parts: Sequence[PerUser]) -> PerUser:
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
