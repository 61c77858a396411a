"""A stored model that learns by steps: it provides a trainer for the training loop."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Self

from milk_np.data import Dataset
from milk_np.models.stored import StoredModel
from milk_np.training.loop import train
from milk_np.training.progress import Callbacks, listener_of
from milk_np.training.run_folder import RunFolder
from milk_np.training.trainer import Trainer


class SteppedModel(StoredModel):
    """Early stopping, checkpoints and resuming come from the loop; a model provides `trainer` and its arrays."""

    beside: Path | None = None
    """The folder that pretrained tables are kept in: that which a run's folder stands in, or what a caller set."""
    spared: float = 0.0
    """Core seconds of pretraining that the last fit did without, since the tables were there."""

    @abstractmethod
    def trainer(self, ds: Dataset) -> Trainer:
        """Set up the model for `ds`, and its trainer.

        Pretrained frozen tables, and graphs between users and items, are made here.
        """

    def fit(
        self,
        ds: Dataset,
        *,
        callback: Callbacks = None,
        run: RunFolder | None = None,
        resume: bool = False,
        final: bool = False,
    ) -> Self:
        """Train on `ds` with early stopping on its validation items; keeps the arrays of the best epoch.

        A `final` model trains on all items that have pairs, for all epochs, and keeps the last.
        """
        self.beside, self.spared = self.beside if run is None else run.path.parent, 0.0
        ds, told = ds.all_training() if final else ds, listener_of(callback, self.settings.valid_metric)
        self.history = train(
            self, self.trainer(ds), ds, self.settings, callback=told, run=run, resume=resume, final=final
        )
        return self
