"""The training loop: epochs, early stopping on a validation metric, checkpoints, exact resume, interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import DataError, DivergedError
from milk_np.evaluation.evaluate import evaluate
from milk_np.evaluation.result import Evaluation
from milk_np.files.schema import check_like
from milk_np.ranks.group import ALONE
from milk_np.settings.steps import StepSettings
from milk_np.training.history import History, whole
from milk_np.training.keeping import read_shared, write_shared
from milk_np.training.progress import Callback, Progress
from milk_np.training.run_folder import RunFolder
from milk_np.training.signals import Interruption, interruptible
from milk_np.training.trainer import Learner, Trainer

KIND = "training state"
MOST_MOVES = 64
"""More than any system moves one of its tables in a batch."""


def train(
    model: Learner,
    trainer: Trainer,
    ds: Dataset,
    settings: StepSettings,
    *,
    callback: Callback | None = None,
    run: RunFolder | None = None,
    resume: bool = False,
    final: bool = False,
) -> History:
    """Train `model` on `ds` with its `trainer` and leave it with the arrays of its best epoch.

    Evaluates on the validation items every `settings.eval_every` epochs and after the last one; stops after
    `settings.patience` evaluations without a better `settings.valid_metric`. With `run`, the state is saved at every
    evaluation and when interrupted (SIGINT, SIGTERM, SIGHUP), the best model whenever it improves. With `resume` it
    continues bit for bit from the last state saved there, or starts from the beginning if there is none. A `final`
    training evaluates nothing: it goes on to the last epoch, whose arrays the model keeps.

    Raises
    ------
    DivergedError
        If a loss stops being finite; earlier checkpoints are kept.
    KeyboardInterrupt
        After the state is saved.
    """
    loop = _Loop(model, trainer, ds, settings, callback, run)
    loop.final = final
    return loop.go(resume)


class _Loop:
    """State of one call of `train`."""

    def __init__(
        self,
        model: Learner,
        trainer: Trainer,
        ds: Dataset,
        settings: StepSettings,
        callback: Callback | None,
        run: RunFolder | None,
    ) -> None:
        self.model, self.trainer, self.ds, self.settings, self.run = model, trainer, ds, settings, run
        self.callback, self.epochs = callback, settings.max_epochs
        self.history = History()
        self.first_step = 0  # where the first epoch of this run starts: not 0 after an interruption
        self.best: Mapping[str, Any] = {}
        self.final = False
        self.ranks = ALONE if trainer.share is None else trainer.share.ranks
        self.stopping = False  # a listener asked for it
        self.start = time.perf_counter()

    def go(self, resume: bool) -> History:
        if resume:
            self._load()
        self._tell("start", self.history.epochs, settings=self.settings.to_dict())
        try:
            return self._run()
        except BaseException:
            self._tell("failed", self.history.epochs)
            raise

    def _run(self) -> History:
        with interruptible() as interruption:
            self._epochs(interruption)
        if self.ranks.any(interruption.asked):  # while the last epoch was evaluated and saved
            raise KeyboardInterrupt
        if self.best:
            self.model.load_arrays(self.best)
        if self.final:
            self._keep_last()
        self._tell("end", self.history.epochs)
        return self.history

    def _epochs(self, interruption: Interruption) -> None:
        if self._evaluation_due(self.history.epochs) and not self.history.evaluated():
            self._evaluate(self.history.epochs, self.history.records[-1]["losses"], interruption)
        for epoch in range(self.history.epochs + 1, self.epochs + 1):
            if self.history.stopped(self.settings.patience):
                break
            losses = self._epoch(epoch, interruption)
            stopping = self.ranks.any(self.stopping)  # rank 0 alone has listeners
            if self._evaluation_due(epoch) or (stopping and not self.final):
                self._evaluate(epoch, losses, interruption)
            elif self.run:
                self.run.append_metrics(self.history.records[-1])
                if self.final and epoch % self.settings.eval_every == 0:
                    self._save(0)
            if self.ranks.any(self.stopping):
                break

    def _epoch(self, epoch: int, interruption: Interruption) -> dict[str, float]:
        began, steps = time.perf_counter(), self.trainer.steps
        for step in range(self.first_step, steps):
            if self.ranks.any(interruption.asked):
                self._save(step)
                raise KeyboardInterrupt
            with np.errstate(over="ignore", invalid="ignore"):  # the losses tell it, with what to do
                self.trainer.step(epoch, step)
            if self._log_due(step):
                losses = self._finite(epoch, self.trainer.losses(step + 1))
                self._tell("step", epoch, step=step + 1, losses=losses)
        losses = self._finite(epoch, self.trainer.losses(steps))
        seconds = time.perf_counter() - began
        self.history.seconds["training"] += seconds
        self.history.records.append({"epoch": epoch, "losses": losses})
        speed = self.trainer.examples * (1 - self.first_step / steps) / seconds
        self.first_step = 0
        self._tell("epoch", epoch, losses=losses, examples_per_second=speed)
        return losses

    def _evaluate(self, epoch: int, losses: dict[str, float], interruption: Interruption) -> None:
        """Evaluate on the validation items, keep the best arrays, save. If interrupted, a resumed run repeats it."""
        self.trainer.flush()
        try:
            # Ranks stop together, between two steps: one that left alone would keep the others waiting.
            with self._timed("evaluation"), interruption.at_once() if self.ranks.size == 1 else nullcontext():
                result = self._validated()
        except KeyboardInterrupt:
            self._save(0)
            raise
        self.history.records[-1]["valid"] = result.metrics
        better = self.history.judge(epoch, result.metrics[self.settings.valid_metric])
        if better:
            self.best = self.model.arrays()
        with self._timed("saving"):
            if self.run:
                self.run.append_metrics(self.history.records[-1])
                if better:
                    self.model.save(self.run.model)
            self._save(0)
        self._tell("evaluation", epoch, losses=losses, metrics=result.metrics)

    def _validated(self) -> Evaluation:
        how = self.settings
        return evaluate(
            self.model,
            self.ds,
            Split.VALIDATION,
            topk=how.cutoffs,
            candidates=how.candidates,
            share=self.trainer.share,
        )

    def _finite(self, epoch: int, losses: dict[str, float]) -> dict[str, float]:
        if all(math.isfinite(value) for value in losses.values()):
            return losses
        shown = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        raise DivergedError(
            f"epoch {epoch}: the loss is no longer finite ({shown}) at --lr {self.settings.lr:g}; "
            f"{self.trainer.diagnosis()}; lower --lr or the weights of the objective. Earlier checkpoints are untouched"
        )

    def _keep_last(self) -> None:
        """The end of a final training: its model is that of the last epoch."""
        self.trainer.flush()
        with self._timed("saving"):
            if self.run:
                self._save(0)
                self.model.save(self.run.model)

    def _evaluation_due(self, epoch: int) -> bool:
        return not self.final and epoch > 0 and (epoch % self.settings.eval_every == 0 or epoch == self.epochs)

    def _log_due(self, step: int) -> bool:
        return self.settings.log_every > 0 and (step + 1) % self.settings.log_every == 0

    # Checkpoints

    def _save(self, step: int) -> None:
        """Save the state before step `step` of the epoch after the last recorded one."""
        if self.run is None:
            return
        arrays = {**self.trainer.state(), **{f"best_{name}": x for name, x in self.best.items()}}
        meta = {"kind": KIND, "step": step, "history": self.history.to_json()}
        write_shared(self.trainer.share, self.run.last, arrays, self._user_tables, meta)

    @property
    def _user_tables(self) -> set[str]:
        """Arrays of the state that have a row for each user."""
        return {prefix + name for prefix in ("", "best_") for name in self.trainer.user_tables}

    def _load(self) -> None:
        if self.run is None:
            return
        found = read_shared(self.trainer.share, self.run.last, KIND, self._user_tables, self.ds.n_users)
        if found is None:  # killed before its first checkpoint: it begins again
            self.run.rewrite_metrics(())
            return
        arrays, meta = found
        try:
            self.history = History.from_json(meta["history"])
            self.first_step = whole("step", meta["step"], self.trainer.steps - 1)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.run.last}: its history can't be read ({error}); start the run again") from error
        taken = self.history.epochs * self.trainer.steps + self.first_step
        check_like(self.run.last, arrays, self.trainer.state(), MOST_MOVES * taken)
        if self.history.best_epoch:
            best = {f"best_{name}": x for name, x in self.model.arrays().items()}
            check_like(self.run.last, arrays, best, MOST_MOVES * taken)
        self.best = {k.removeprefix("best_"): x for k, x in arrays.items() if k.startswith("best_")}
        self.trainer.load_state({k: x for k, x in arrays.items() if not k.startswith("best_")})
        pending = self._evaluation_due(self.history.epochs) and not self.history.evaluated()
        self.run.rewrite_metrics(self.history.records[: -1 if pending else None])

    # Telling and timing

    def _tell(self, kind: Any, epoch: int, **details: Any) -> None:
        if self.callback:
            event = Progress(
                kind,
                epoch,
                self.epochs,
                steps=self.trainer.steps,
                best_epoch=self.history.best_epoch,
                seconds=time.perf_counter() - self.start,
                on_stop=self._stop,
                **details,
            )
            self.callback(event)

    def _stop(self) -> None:
        self.stopping = True

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.history.seconds[phase] += time.perf_counter() - began
