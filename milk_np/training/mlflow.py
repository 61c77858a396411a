"""A fit as a run of MLflow (the extra `mlflow`)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from milk_np.errors import MissingExtraError
from milk_np.training.events import Progress
from milk_np.training.listener import Listener


class MlflowListener(Listener):
    """Logs settings as parameters; losses, validation metrics and the best epoch as metrics, by epoch.

    Where a run of MLflow is active, it logs there and leaves it open; else it begins one and ends it, as failed where
    the fit failed. Metrics are called "valid/ndcg_at_10": MLflow takes no "@".

    Raises MissingExtraError without MLflow.
    """

    def __init__(self, run_name: str | None = None) -> None:
        self._mlflow = _mlflow()
        self._run_name, self._own = run_name, False

    def on_start(self, event: Progress) -> None:
        """Begin a run unless one is active, and log the settings."""
        self._own = self._mlflow.active_run() is None
        if self._own:
            self._mlflow.start_run(run_name=self._run_name)
        self._mlflow.log_params({name: str(value) for name, value in event.settings.items()})

    def on_epoch(self, event: Progress) -> None:
        """Log the losses."""
        self._log("loss", event.losses, event.epoch)

    def on_evaluation(self, event: Progress) -> None:
        """Log the validation metrics."""
        self._log("valid", event.metrics, event.epoch)
        self._mlflow.log_metric("best_epoch", event.best_epoch, step=event.epoch)

    def on_end(self, event: Progress) -> None:
        """Log the seconds, and end the run that was begun here."""
        self._mlflow.log_metric("seconds", event.seconds)
        self._end("FINISHED")

    def on_fail(self, event: Progress) -> None:
        """End the run that was begun here."""
        self._end("FAILED")

    def _log(self, group: str, values: Mapping[str, float], epoch: int) -> None:
        named = {f"{group}/{name.replace('@', '_at_')}": value for name, value in values.items()}
        self._mlflow.log_metrics(named, step=epoch)

    def _end(self, status: str) -> None:
        if self._own:
            self._mlflow.end_run(status)
            self._own = False


def _mlflow() -> Any:
    try:
        return import_module("mlflow")
    except ImportError:
        raise MissingExtraError('MLflow is not installed; pip install "milk-np[mlflow]"') from None
