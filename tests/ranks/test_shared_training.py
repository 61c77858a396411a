"""Several ranks that train together: the bits of one process, for any number of ranks."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from in_process import on_ranks

from milk_np.data import Dataset, make_synthetic
from milk_np.data.missing import apply_protocol
from milk_np.data.share import Share, share_users
from milk_np.errors import DataError, SettingsError
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.duif.model import Duif
from milk_np.models.extractors.shared_step import step_bytes
from milk_np.models.extractors.trainer import TripletTrainer
from milk_np.models.milk.model import Milk
from milk_np.ranks.group import ALONE, Alone, Ranks, shares

WIDTHS = {"image": 40, "text": 24}


def data(half: bool = False) -> Dataset:
    ds = apply_protocol(make_synthetic(90, 160, 1500, WIDTHS, seed=1), "MTMT")
    if not half:
        return ds
    features = {name: rows.astype(np.float16) for name, rows in ds.features.items()}
    arrays = {"user": ds.user, "item": ds.item, "split": ds.split, "item_split": ds.item_split}
    return Dataset(**arrays, modalities=ds.modalities, features=features, available=ds.available, meta=ds.meta)


def model_of(
    ds: Dataset, settings: dict[str, Any], ranks: Ranks
) -> tuple[dict[str, np.ndarray], Any, dict[str, float]]:
    """Arrays of a model that `ranks` train, this rank's users alone; its history; metrics of the test split."""
    kind = Duif if settings.get("model") == "duif" else Milk
    model = kind(**{k: v for k, v in settings.items() if k != "model"})
    mine, share = (ds, None) if ranks is ALONE else share_users(ds, ranks)
    model.share = share
    model.fit(mine)
    result = evaluate(model, mine, share=share)
    return model.arrays(), model.history, {**result.metrics, **result.slices.get("one missing", {})}


CASES: list[dict[str, Any]] = [
    {"preset": "paper"},
    {"preset": "reference"},
    {"negative_pool": 30},
    {"without": "cmam"},
    {"model": "duif"},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ranks_have_the_bits_of_one_process(settings: dict[str, Any], size: int) -> None:
    ds, settings = data(), {"max_epochs": 3, "batch_size": 128, "dim": 8, "eval_every": 2, **settings}
    alone, history, metrics = model_of(ds, settings, ALONE)
    several = on_ranks(size, lambda ranks: model_of(ds, settings, ranks))
    joined = np.concatenate([arrays["P"] for arrays, _, _ in several])
    np.testing.assert_array_equal(joined, alone["P"])
    for arrays, others, found in several:
        for name in alone.keys() - {"P"}:
            np.testing.assert_array_equal(arrays[name], alone[name], err_msg=name)
        assert others.records == history.records
        assert found == metrics


def test_half_precision_features_have_the_bits_of_one_process() -> None:
    ds, settings = data(half=True), {"max_epochs": 2, "batch_size": 256, "dim": 8}
    alone, _, _ = model_of(ds, settings, ALONE)
    for arrays, _, _ in on_ranks(3, lambda ranks: model_of(ds, settings, ranks)):
        np.testing.assert_array_equal(arrays["W0"], alone["W0"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"users": "profile"}, "--users"), ({"reg_scope": "all"}, "--reg-scope")],
)
def test_what_ranks_can_not_train_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        on_ranks(2, lambda ranks: model_of(data(), settings, ranks))


class Counted(Alone):
    """Counts the bytes that all ranks would have after each exchange."""

    def __init__(self) -> None:
        self.bytes: list[int] = []

    def all_rows(self, table: Any, bounds: Any) -> None:
        assert bounds[-1] == len(table)
        self.bytes.append(table.nbytes)


def test_a_step_exchanges_the_bytes_that_are_stated() -> None:
    """The documented sum, from the batch's own number of distinct items."""
    ds, ranks = data(), Counted()
    model = Milk(dim=8, batch_size=128)
    model.share = Share(ranks, 0, ds.n_users, ds)
    trainer = cast(TripletTrainer, model.trainer(ds))
    drawn = trainer.engine.sampler.batch(1, 0)
    trainer.step(1, 0)
    stated = step_bytes(128, len(np.unique(drawn.items)), 8, list(WIDTHS.values()))
    assert sum(ranks.bytes) == sum(stated.values())
    assert len(ranks.bytes) == 1 + 2 * len(WIDTHS)


@pytest.mark.parametrize("size", [2, 4])
def test_no_rank_has_more_than_its_users(size: int) -> None:
    """Tables with a row for each user, which together are the state: value, moments, the last step."""

    def rows(ranks: Ranks) -> dict[str, int]:
        mine, share = share_users(data(), ranks)
        model = Milk(dim=8, batch_size=128)
        model.share = share
        trainer = model.trainer(mine)
        return {name: len(trainer.state()[name]) for name in trainer.user_tables}

    found = on_ranks(size, rows)
    for name in found[0]:
        assert sum(each[name] for each in found) == 90
        assert max(each[name] for each in found) <= -(-90 // size)


def test_more_ranks_than_users_are_refused() -> None:
    ds = data()
    with pytest.raises(DataError, match="start fewer"):
        on_ranks(91, lambda ranks: share_users(ds, ranks))


@pytest.mark.parametrize(("total", "ranks", "multiple"), [(10, 3, 1), (100, 4, 16), (5, 8, 1), (0, 2, 16), (16, 5, 16)])
def test_shares_are_whole_and_nearly_equal(total: int, ranks: int, multiple: int) -> None:
    bounds = shares(total, ranks, multiple)
    assert bounds[0] == 0
    assert bounds[-1] == total
    assert (np.diff(bounds) >= 0).all()
    assert np.diff(bounds).max() - np.diff(bounds)[np.diff(bounds) > 0].min(initial=total) < 2 * multiple
    assert (bounds[:-1] % multiple == 0)[bounds[:-1] < total].all()
