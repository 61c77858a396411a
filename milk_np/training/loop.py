"""The training loop: epochs, early stopping on a valid metric, checkpoints, exact resume, interruption."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import DivergedError
from milk_np.evaluation.evaluate import evaluate
from milk_np.files import read_npz, write_npz_atomic
from milk_np.settings.shared import Settings
from milk_np.training.progress import Callback, Progress
from milk_np.training.run_folder import RunFolder
from milk_np.training.trainer import Trainer

KIND = "training state"


@dataclass
class History:
    """What happened in training; all of it is in the checkpoints."""

    records: list[dict[str, Any]] = field(default_factory=list)
    """One for each epoch: "epoch", "losses", and "valid" where it was evaluated."""
    best_epoch: int = 0
    best_value: float = -math.inf
    evaluations_since_best: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "evaluation": 0.0, "saving": 0.0})

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return int(self.records[-1]["epoch"]) if self.records else 0

    def stopped(self, patience: int) -> bool:
        """Whether `patience` evaluations in a row brought nothing better; patience 0 never stops."""
        return bool(patience) and self.evaluations_since_best >= patience

    def judge(self, epoch: int, value: float) -> bool:
        """Take note of a valid metric; tell whether it is the best so far (the first of equals is)."""
        better = value > self.best_value
        if better:
            self.best_epoch, self.best_value = epoch, value
        self.evaluations_since_best = 0 if better else self.evaluations_since_best + 1
        return better


def train(
    model: Trainer,
    ds: Dataset,
    settings: Settings,
    *,
    callback: Callback | None = None,
    run: RunFolder | None = None,
    resume: bool = False,
) -> History:
    """Train `model` on `ds` and leave it with the parameters of its best epoch.

    Evaluates every `settings.eval_every` epochs and after the last one on the valid new items; stops after
    `settings.patience` evaluations without a better `settings.valid_metric`. With `run`, the state is saved at every
    evaluation and when interrupted (SIGINT, SIGTERM), the best model whenever it improves. With `resume` it goes on
    from the last state saved there, to the bit; without one it starts anew.

    Raises
    ------
    DivergedError
        If a loss stops being finite; the checkpoints before it stay.
    KeyboardInterrupt
        After the state is saved.
    """
    return _Loop(model, ds, settings, callback, run).go(resume)


class _Loop:
    """State of one call of `train`."""

    def __init__(
        self,
        model: Trainer,
        ds: Dataset,
        settings: Settings,
        callback: Callback | None,
        run: RunFolder | None,
    ) -> None:
        self.model, self.ds, self.settings, self.run = model, ds, settings, run
        self.callback = callback
        self.epochs = min(settings.epochs, model.most_epochs or settings.epochs)
        self.history = History()
        self.first_step = 0  # where the first epoch of this run starts: not 0 after an interruption
        self.best: Mapping[str, Any] = {}
        self.start = time.perf_counter()

    def go(self, resume: bool) -> History:
        self.model.begin(self.ds)
        if resume:
            self._load()
        self._tell("start", self.history.epochs)
        with _interruptible() as interrupted:
            for epoch in range(self.history.epochs + 1, self.epochs + 1):
                if self.history.stopped(self.settings.patience):
                    break
                self._epoch(epoch, interrupted)
        if self.best:
            self.model.restore(self.best)
        self._tell("end", self.history.epochs)
        return self.history

    def _epoch(self, epoch: int, interrupted: threading.Event) -> None:
        began, steps = time.perf_counter(), self.model.steps_per_epoch
        for step in range(self.first_step, steps):
            if interrupted.is_set():
                self._save(step)
                raise KeyboardInterrupt
            self.model.train_step(epoch, step)
            if self._log_due(step):
                self._finite(epoch, self.model.losses(step + 1))
                self._tell("step", epoch, step=step + 1, losses=self.model.losses(step + 1))
        losses = self._finite(epoch, self.model.losses(steps))
        seconds = time.perf_counter() - began
        self.history.seconds["training"] += seconds
        self.history.records.append({"epoch": epoch, "losses": losses})
        speed = self.model.triplets_per_epoch * (1 - self.first_step / steps) / seconds
        self.first_step = 0
        self._tell("epoch", epoch, losses=losses, triplets_per_second=speed)
        if epoch % self.settings.eval_every == 0 or epoch == self.epochs:
            self._evaluate(epoch, losses)
        elif self.run:
            self.run.append_metrics(self.history.records[-1])

    def _evaluate(self, epoch: int, losses: dict[str, float]) -> None:
        """Score the valid items, keep the best parameters, save."""
        with self._timed("evaluation"):
            self.model.settle()
            result = evaluate(
                self.model, self.ds, Split.VALID, topk=self.settings.cutoffs, candidates=self.settings.candidates
            )
        self.history.records[-1]["valid"] = result.metrics
        better = self.history.judge(epoch, result.metrics[self.settings.valid_metric])
        if better:
            self.best = self.model.parameters()
        with self._timed("saving"):
            if self.run:
                self.run.append_metrics(self.history.records[-1])
                if better:
                    self.model.save(self.run.model)
            self._save(0)
        self._tell("evaluation", epoch, losses=losses, metrics=result.metrics)

    def _finite(self, epoch: int, losses: dict[str, float]) -> dict[str, float]:
        if all(math.isfinite(value) for value in losses.values()):
            return losses
        shown = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        raise DivergedError(
            f"epoch {epoch}: the loss is no longer finite ({shown}) at --lr {self.settings.lr:g}; "
            f"{self.model.diagnosis()}; lower --lr or the weights of the objective. Earlier checkpoints are untouched"
        )

    def _log_due(self, step: int) -> bool:
        return self.settings.log_every > 0 and (step + 1) % self.settings.log_every == 0

    # Checkpoints

    def _save(self, step: int) -> None:
        """Save the state before step `step` of the epoch after the last recorded one."""
        if self.run is None:
            return
        history = {k: v for k, v in vars(self.history).items() if k != "best_value"}
        # JSON has no infinity; before the first evaluation there is no best value.
        history["best_value"] = self.history.best_value if self.history.best_epoch else None
        arrays = {**self.model.state(), **{f"best_{name}": x for name, x in self.best.items()}}
        write_npz_atomic(self.run.last, arrays, {"kind": KIND, "step": step, "history": history})

    def _load(self) -> None:
        if self.run is None or not self.run.last.exists():
            return
        arrays, meta = read_npz(self.run.last, KIND)
        self.best = {k.removeprefix("best_"): x for k, x in arrays.items() if k.startswith("best_")}
        self.model.load_state({k: x for k, x in arrays.items() if not k.startswith("best_")})
        history = meta["history"]
        if history["best_value"] is None:
            history["best_value"] = -math.inf
        self.history = History(**history)
        self.first_step = meta["step"]
        self.run.truncate_metrics(self.history.epochs)

    # Telling and timing

    def _tell(self, kind: Any, epoch: int, **details: Any) -> None:
        if self.callback:
            event = Progress(
                kind,
                epoch,
                self.epochs,
                steps=self.model.steps_per_epoch,
                best_epoch=self.history.best_epoch,
                seconds=time.perf_counter() - self.start,
                **details,
            )
            self.callback(event)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.history.seconds[phase] += time.perf_counter() - began


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that training stops between two steps. A second SIGINT stops at once.

    Only the main thread can receive signals; elsewhere the event is never set.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
