"""A fit in TensorBoard (the extra `tensorboard`, without TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from os import PathLike, fspath
from typing import Any

from milk_np.errors import MissingExtraError
from milk_np.training.events import Progress
from milk_np.training.listener import Listener


class TensorBoardListener(Listener):
    """Writes losses ("loss/total") and validation metrics ("valid/ndcg@10") by epoch to a folder of TensorBoard.

    Raises MissingExtraError without TensorBoard.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self._make, self._folder = _writer(), fspath(folder)
        self._writer: Any = None

    def on_start(self, event: Progress) -> None:
        """Open a file of the folder."""
        self._writer = self._make(self._folder)

    def on_epoch(self, event: Progress) -> None:
        """Write the losses."""
        self._write("loss", event.losses, event.epoch)

    def on_evaluation(self, event: Progress) -> None:
        """Write the validation metrics."""
        self._write("valid", event.metrics, event.epoch)

    def on_end(self, event: Progress) -> None:
        """Close the file."""
        self._writer.close()

    def on_fail(self, event: Progress) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, group: str, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, epoch)
        self._writer.flush()


def _writer() -> Any:
    try:
        return import_module("tensorboard.summary").Writer
    except ImportError:
        raise MissingExtraError('TensorBoard is not installed; pip install "milk-np[tensorboard]"') from None
