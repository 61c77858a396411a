"""One run of an experiment: draw new items and missing modalities, fit a model, evaluate both splits."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.data import Dataset, missing
from milk_np.data.arrays import Split
from milk_np.data.split import split_new_items
from milk_np.evaluation.evaluate import evaluate
from milk_np.evaluation.result import Evaluation
from milk_np.machine.memory import PeakMemory
from milk_np.models.base import Recommender
from milk_np.models.registry import DEFAULT, make_model
from milk_np.models.stepped import SteppedModel
from milk_np.settings.shared import Settings

VERSION = 2
"""Increase it when the meaning of shared settings changes: earlier results are then computed again. Settings of a model
have a `revision` of their own."""
KEYED = {"max_epochs": "epochs"}
"""Names of settings in keys, where they differ: those of version 0.1.0, whose finished runs are found again."""
KEPT = ("recall", "ndcg")
"""Metrics that are kept for each user."""


@dataclass(frozen=True)
class Run:
    """A run, done or not.

    Attributes
    ----------
    data, data_hash : path and content hash of the data set
    new_items : share of the items that are new, drawn with seed `draw`; a draw of None keeps the data set's own split
    settings : all other settings, including seeds and protocol
    """

    data: Path
    data_hash: str
    new_items: float
    draw: int | None
    settings: Settings

    def identity(self) -> dict[str, Any]:
        """All that affects the result: the data's content, the draw, and settings that differ from their defaults."""
        defaults = type(self.settings)().to_dict() | {"model": DEFAULT}
        chosen = self.settings.resolve().without_machine().to_dict()
        return {
            "version": VERSION + self.settings.revision,
            "data_hash": self.data_hash,
            "new_items": self.new_items,
            "draw": self.draw,
            "settings": {KEYED.get(name, name): value for name, value in chosen.items() if value != defaults[name]},
        }

    @property
    def repeat(self) -> object:
        """What the runs of one repeat have in common."""
        return self.settings.to_dict().get("missing_seed") if self.draw is None else self.draw

    @property
    def key(self) -> str:
        """Name of its result: 20 hexadecimal digits of the hash of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, eq=False)
class Result:
    """The result of a run: a summary for JSON, and values of each test user."""

    summary: dict[str, Any]
    per_user: dict[str, Any]


def execute(run: Run, beside: Path | None = None) -> Result:
    """Do the run. Its result does not depend on the number of threads.

    Runs that are given one folder `beside` share the pretrained tables that they have in common there. What learning
    them took counts for each of these runs: `fit_core_seconds` may be more than `core_seconds`, which were spent here.
    """
    ds, memory, start, busy = masked(run), PeakMemory(), time.perf_counter(), time.process_time()
    model = _made(run.settings, beside).fit(ds)
    fitted, peak = time.process_time() - busy + getattr(model, "spared", 0.0), memory.bytes()
    test, valid = (_score(model, ds, run.settings, split) for split in (Split.TEST, Split.VALIDATION))
    took, worked = time.perf_counter() - start, time.process_time() - busy
    summary = {
        **run.identity(),
        "valid": valid.to_dict(),
        "test": test.to_dict(),
        "seconds": round(took, 3),
        "core_seconds": round(worked, 3),
        "fit_core_seconds": round(fitted, 3),
        "fit_bytes": peak,
        **_training(model),
    }
    values = {name: x.astype(np.float32) for name, x in test.per_user.items() if name.split("@")[0] in KEPT}
    return Result(summary, {"users": test.users, **values})


def _made(settings: Settings, beside: Path | None) -> Any:
    model = make_model(settings)
    if isinstance(model, SteppedModel):
        model.beside = beside
    return model


def masked(run: Run) -> Dataset:
    """The data set of a run: its new items drawn, its modalities missing."""
    ds = base(run.data) if run.draw is None else drawn(run.data, run.new_items, run.draw)
    return missing.masked(ds, run.settings)


@lru_cache(maxsize=8)
def drawn(path: Path, new_items: float, seed: int) -> Dataset:
    """The data set with other new items, and without the mask of a protocol."""
    ds = base(path)
    item_split, split = split_new_items(ds.user, ds.item, ds.n_items, fraction=new_items, seed=seed)
    # In a set of version 1, items without pairs are training items: they stay so, and earlier results stay valid.
    item_split[(item_split == Split.UNSEEN) & (ds.item_split == Split.TRAIN)] = Split.TRAIN
    natural = bool(ds.meta.get("natural_missing")) and "protocol" not in ds.meta
    available = ds.available if natural else np.ones_like(ds.available)
    meta = {name: value for name, value in ds.meta.items() if not name.startswith(("missing_", "protocol"))}
    return replace(
        ds,
        split=split,
        item_split=item_split,
        available=available,
        meta=meta | {"n_users": ds.n_users, "split_seed": seed},
        check_features=False,
    )


@lru_cache(maxsize=4)
def base(path: Path) -> Dataset:
    """The data set as it is stored."""
    return Dataset.load(path)


def _score(model: Recommender, ds: Dataset, settings: Settings, split: Split) -> Evaluation:
    return evaluate(model, ds, split, topk=settings.cutoffs, candidates=settings.candidates)


def _training(model: Recommender) -> dict[str, Any]:
    history = getattr(model, "history", None)
    return {} if history is None else {"epochs": history.epochs, "best_epoch": history.best_epoch}
