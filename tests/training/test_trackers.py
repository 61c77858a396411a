"""Listeners that write to MLflow and to TensorBoard."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from training_cases import OPTIONS, small_set

from milk_np import Milk, RidgeDirect
from milk_np.data import Dataset
from milk_np.errors import DivergedError, MissingExtraError
from milk_np.training import mlflow as ours
from milk_np.training import tensorboard as board
from milk_np.training.mlflow import MlflowListener
from milk_np.training.tensorboard import TensorBoardListener

SHORT: dict[str, Any] = {**OPTIONS, "epochs": 4}


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small_set()


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
