"""Listeners of a fit: their order, stopping, several of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import OPTIONS, new_run, small_set

from milk_np import Listener, Milk, Progress, RidgeDirect, evaluate
from milk_np.data import Dataset
from milk_np.errors import DivergedError, SettingsError

SHORT: dict[str, Any] = {**OPTIONS, "epochs": 4}


class Written(Listener):
    """Writes down what it was told, and stops when told to."""

    def __init__(self, stop_at: tuple[str, int] = ("", 0)) -> None:
        self.told = list[tuple[str, int]]()
        self.settings: Any = None
        self._stop_at = stop_at

    def __call__(self, event: Progress) -> None:
        super().__call__(event)
        if (event.kind, event.epoch) == self._stop_at:
            event.stop()

    def _note(self, method: str, event: Progress) -> None:
        self.told.append((method, event.epoch))

    def on_start(self, event: Progress) -> None:
        self.settings = event.settings
        self._note("start", event)

    def on_step(self, event: Progress) -> None:
        self._note("step", event)

    def on_epoch(self, event: Progress) -> None:
        self._note("epoch", event)

    def on_evaluation(self, event: Progress) -> None:
        assert event.metrics["ndcg@10"] >= 0
        self._note("evaluation", event)

    def on_phase(self, event: Progress) -> None:
        self._note(f"phase {event.share:g}", event)

    def on_end(self, event: Progress) -> None:
        self._note("end", event)

    def on_fail(self, event: Progress) -> None:
        self._note("fail", event)


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small_set()


def test_a_listener_hears_of_everything_in_order(ds: Dataset) -> None:
    listener, other = Written(), Written()
    model = Milk(**SHORT)
    model.fit(ds, callback=[listener, other])
    wanted = [("start", 0), ("epoch", 1), ("epoch", 2), ("evaluation", 2), ("epoch", 3), ("epoch", 4)]
    assert listener.told == [*wanted, ("evaluation", 4), ("end", 4)]
    assert other.told == listener.told
    assert listener.settings == model.settings.to_dict()


def test_a_listener_that_overrides_nothing_hears_in_silence(ds: Dataset) -> None:
    Milk(**{**SHORT, "epochs": 1, "log_every": 3}).fit(ds, callback=Listener())
    RidgeDirect(topk=(5,)).fit(ds, callback=Listener())


@pytest.mark.parametrize(
    ("stop_at", "epochs", "evaluated"),
    [(("start", 0), 1, [1]), (("epoch", 1), 1, [1]), (("epoch", 3), 3, [2, 3]), (("evaluation", 2), 2, [2])],
)
def test_a_listener_may_end_the_training(
    ds: Dataset, stop_at: tuple[str, int], epochs: int, evaluated: list[int], tmp_path: Path
) -> None:
    listener, run = Written(stop_at), new_run(tmp_path / "run", ds, **SHORT)
    model = Milk(**SHORT).fit(ds, callback=listener, run=run)
    assert model.history is not None
    assert model.history.epochs == epochs
    assert [epoch for method, epoch in listener.told if method == "evaluation"] == evaluated
    assert listener.told[-1] == ("end", epochs)
    best = max(evaluated, key=lambda epoch: model.history.records[epoch - 1]["valid"]["ndcg@10"])
    assert model.history.best_epoch == best
    whole = Milk(**{**SHORT, "epochs": best, "eval_every": best}).fit(ds)
    np.testing.assert_array_equal(model.item_factors(), whole.item_factors())
    np.testing.assert_array_equal(Milk.load(run.path).item_factors(), model.item_factors())


def test_a_final_model_ends_where_a_listener_says(ds: Dataset) -> None:
    stopped = Milk(**SHORT).fit(ds, callback=Written(("epoch", 2)), final=True)
    whole = Milk(**{**SHORT, "epochs": 2}).fit(ds, final=True)
    np.testing.assert_array_equal(stopped.item_factors(), whole.item_factors())


def test_a_closed_form_tells_its_phases_and_can_not_end_early(ds: Dataset) -> None:
    listener = Written()
    model = RidgeDirect(topk=(5,)).fit(ds, callback=listener)
    methods = [method for method, _ in listener.told]
    assert (methods[0], methods[-1]) == ("start", "end")
    assert methods[1:-1] == ["phase 0", "phase 0.1", "phase 0.9"]
    assert listener.settings == model.settings.to_dict()
    stopping = Written(("phase", 0))
    with pytest.raises(SettingsError, match="stop: a closed form has nothing to keep"):
        RidgeDirect(topk=(5,)).fit(ds, callback=stopping)
    assert stopping.told[-1] == ("fail", 0)


def test_a_fit_that_fails_says_so(ds: Dataset) -> None:
    listener = Written()
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        Milk(**{**SHORT, "lr": 1e30}).fit(ds, callback=listener)
    assert listener.told[-1][0] == "fail"
    assert "end" not in dict(listener.told)


def test_an_evaluation_within_a_listener_sees_the_epoch(ds: Dataset) -> None:
    model, seen = Milk(**SHORT), list[float]()

    def measure(event: Progress) -> None:
        if event.kind == "evaluation":
            seen.append(evaluate(model, ds, 1, topk=(10,)).metrics["ndcg@10"] - event.metrics["ndcg@10"])

    model.fit(ds, callback=measure)
    assert seen == [0.0, 0.0]
