"""Listeners of a fit: their order, stopping, several of them, notebooks, MLflow and TensorBoard."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from training_cases import OPTIONS, new_run, small_set

from milk_np import Listener, Milk, Progress, RidgeDirect, evaluate, show_progress
from milk_np.data import Dataset
from milk_np.errors import DivergedError, MissingExtraError, SettingsError
from milk_np.training import mlflow as ours
from milk_np.training import tensorboard as board
from milk_np.training.mlflow import MlflowListener
from milk_np.training.notebook import NotebookBar
from milk_np.training.tensorboard import TensorBoardListener

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


# Notebooks


class Cell:
    """The output of a notebook's cell: what it shows, and how often it was drawn."""

    def __init__(self) -> None:
        self.shown, self.cells, self.drawn = "", 0, 0

    def display(self, html: Any, display_id: bool) -> Any:
        assert display_id
        self.cells += 1
        self._draw(html)
        return SimpleNamespace(update=self._draw)

    def _draw(self, html: str) -> None:
        self.shown, self.drawn = html, self.drawn + 1


def notebook(monkeypatch: pytest.MonkeyPatch, shell: Any) -> Cell:
    """IPython as a notebook has it, or a terminal."""
    cell, ipython, display = Cell(), ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    display.display, display.HTML = cell.display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return cell


def test_in_a_notebook_a_fit_shows_a_bar_by_itself(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = notebook(monkeypatch, SimpleNamespace(kernel=object()))
    Milk(**SHORT).fit(ds)
    assert cell.cells == 1
    assert cell.drawn >= 4
    assert re.search(r'<progress value="1" max="1" aria-label="[^"]+"', cell.shown)
    assert re.search(r"trained 4 epochs in [\d.]+ s, best epoch \d", cell.shown)
    RidgeDirect(topk=(5,)).fit(ds)
    assert cell.cells == 2
    assert "fitted in" in cell.shown
    before = cell.drawn
    Milk(**SHORT).fit(ds, callback=())
    assert cell.drawn == before
    assert isinstance(show_progress(), NotebookBar)


def test_a_bar_in_a_notebook_says_how_it_ended(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = notebook(monkeypatch, SimpleNamespace(kernel=object()))
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        Milk(**{**SHORT, "lr": 1e30}).fit(ds)
    assert "by an error or an interruption" in cell.shown


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["no shell", "terminal"])
def test_elsewhere_a_fit_is_silent(
    ds: Dataset, shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = notebook(monkeypatch, shell)
    Milk(**{**SHORT, "epochs": 2}).fit(ds)
    assert cell.cells == 0
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_not_drawn_more_often_than_one_can_see() -> None:
    now, cell = [0.0], Cell()
    bar = NotebookBar(lambda markup: cell.display(markup, True).update, "ndcg@10", clock=lambda: now[0])
    bar(Progress("start", 0, 1000))
    for epoch in range(1, 1001):
        now[0] = epoch / 1000
        bar(Progress("epoch", epoch, 1000, losses={"total": 0.5}))
    assert 8 <= cell.drawn <= 12
    bar(Progress("evaluation", 1000, 1000, metrics={"ndcg@10": 0.25}, best_epoch=1000))
    assert "valid ndcg@10 0.2500 (best)" in cell.shown


# Adapters


class FakeMlflow(ModuleType):
    """What the adapter asks of MLflow, written down."""

    def __init__(self, active: bool) -> None:
        super().__init__("mlflow")
        self.active, self.calls = active, list[tuple[str, Any]]()
        self.params, self.metrics = dict[str, str](), dict[tuple[str, int | None], float]()

    def active_run(self) -> object | None:
        return object() if self.active else None

    def start_run(self, run_name: str | None = None) -> None:
        self.calls.append(("start", run_name))

    def end_run(self, status: str) -> None:
        self.calls.append(("end", status))

    def log_params(self, params: dict[str, str]) -> None:
        self.params |= params

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self.log_metric(name, value, step)

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        assert re.fullmatch(r"[\w\-./: ]+", name), f"MLflow refuses the name {name}"
        self.metrics[name, step] = float(value)


def use_mlflow(monkeypatch: pytest.MonkeyPatch, active: bool = False) -> FakeMlflow:
    fake = FakeMlflow(active)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    return fake


def test_mlflow_gets_settings_losses_and_metrics(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use_mlflow(monkeypatch)
    model = Milk(**SHORT).fit(ds, callback=MlflowListener("mine"))
    assert model.history is not None
    assert fake.calls == [("start", "mine"), ("end", "FINISHED")]
    assert (fake.params["dim"], fake.params["model"]) == ("16", "milk")
    for record in model.history.records:
        assert fake.metrics["loss/total", record["epoch"]] == record["losses"]["total"]
        if "valid" in record:
            assert fake.metrics["valid/ndcg_at_10", record["epoch"]] == record["valid"]["ndcg@10"]
    assert fake.metrics["best_epoch", 4] == model.history.best_epoch
    assert fake.metrics["seconds", None] > 0


def test_an_active_run_of_mlflow_is_used_and_left_open(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use_mlflow(monkeypatch, active=True)
    RidgeDirect(topk=(5,)).fit(ds, callback=MlflowListener())
    assert fake.calls == []
    assert fake.params["model"] == "ridge"


def test_a_run_of_mlflow_fails_with_the_fit(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use_mlflow(monkeypatch)
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        Milk(**{**SHORT, "lr": 1e30}).fit(ds, callback=MlflowListener())
    assert fake.calls[-1] == ("end", "FAILED")


def test_tensorboard_gets_losses_and_metrics(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    written, closed = dict[tuple[str, int], float](), list[str]()

    class Writer:
        def __init__(self, folder: str) -> None:
            self.folder = folder

        def add_scalar(self, tag: str, data: float, step: int) -> None:
            written[tag, step] = data

        def flush(self) -> None:
            assert not closed

        def close(self) -> None:
            closed.append(self.folder)

    fake: Any = ModuleType("tensorboard.summary")
    fake.Writer = Writer
    monkeypatch.setitem(sys.modules, "tensorboard.summary", fake)
    model = Milk(**SHORT).fit(ds, callback=TensorBoardListener(Path("somewhere")))
    assert model.history is not None
    for record in model.history.records:
        assert written["loss/total", record["epoch"]] == record["losses"]["total"]
        if "valid" in record:
            assert written["valid/ndcg@10", record["epoch"]] == record["valid"]["ndcg@10"]
    assert closed == ["somewhere"]
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        Milk(**{**SHORT, "lr": 1e30}).fit(ds, callback=TensorBoardListener("elsewhere"))
    assert closed == ["somewhere", "elsewhere"]


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        (ours, MlflowListener, "mlflow"),
        (board, lambda: TensorBoardListener("x"), "tensorboard"),
    ],
)
def test_without_the_library_its_extra_is_named(
    module: Any, make: Callable[[], object], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"milk-np\[{extra}\]"):
        make()


def test_the_real_tensorboard_reads_what_was_written(ds: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (extra: tensorboard)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = Milk(**SHORT).fit(ds, callback=TensorBoardListener(tmp_path))
    assert model.history is not None
    found = EventAccumulator(str(tmp_path)).Reload()
    steps = [event.step for event in found.Tensors("loss/total")]
    assert steps == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore")  # of its own, and of the store, which is the only one without a database
def test_the_real_mlflow_keeps_what_was_logged(ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed (extra: mlflow)")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    RidgeDirect(topk=(5,)).fit(ds, callback=MlflowListener("ridge"))
    model = Milk(**SHORT).fit(ds, callback=MlflowListener("milk"))
    assert model.history is not None
    runs = mlflow.search_runs(output_format="list")
    assert {run.info.run_name: run.info.status for run in runs} == {"ridge": "FINISHED", "milk": "FINISHED"}
    (mine,) = (run for run in runs if run.info.run_name == "milk")
    assert mine.data.params["dim"] == "16"
    assert mine.data.metrics["best_epoch"] == model.history.best_epoch


def test_an_evaluation_within_a_listener_sees_the_epoch(ds: Dataset) -> None:
    model, seen = Milk(**SHORT), list[float]()

    def measure(event: Progress) -> None:
        if event.kind == "evaluation":
            seen.append(evaluate(model, ds, 1, topk=(10,)).metrics["ndcg@10"] - event.metrics["ndcg@10"])

    model.fit(ds, callback=measure)
    assert seen == [0.0, 0.0]
