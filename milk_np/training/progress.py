"""Progress events of a training run, and the listeners that show them.

The trainer calls `callback(Progress)`; any callable works. `show_progress` picks a listener: a tqdm bar on a terminal
if tqdm is installed, plain lines otherwise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TextIO

from milk_np.text import clock_text

Kind = Literal["start", "step", "epoch", "evaluation", "end", "phase", "fitted"]
Callback = Callable[["Progress"], None]
Write = Callable[[str], None]

MOST_COLUMNS = 100
"""Width of a progress line, so that a terminal needn't wrap it."""
_LINE_SECONDS = 5.0


@dataclass(frozen=True)
class Progress:
    """One event of a fit.

    `epoch` counts from 1 and is 0 at the start; a resumed run starts at the epoch it resumes after. `losses`
    holds the "total" and its weighted parts, `metrics` the validation metrics of an evaluation. `best_epoch` is 0
    before the first evaluation. `seconds` count from this run's start; `examples_per_second` is 0 if it wasn't
    measured. A model in closed form has no epochs: it reports the `phase` that begins and the `share` of the work done.
    """

    kind: Kind
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    best_epoch: int = 0
    seconds: float = 0.0
    phase: str = ""
    share: float = 0.0
    examples_per_second: float = 0.0


class _Listener:
    """Remembers what a line needs from earlier events: the last speed, and the start of the pace measurement.

    The pace is measured from the end of the first epoch, which may include compiling the kernels.
    """

    def __init__(self, valid_metric: str) -> None:
        self._metric, self._speed = valid_metric, 0.0
        self._since: Progress | None = None

    def _note(self, event: Progress) -> None:
        self._speed = event.examples_per_second or self._speed
        if event.kind == "epoch" and self._since is None:
            self._since = event

    def _line(self, event: Progress) -> str:
        return progress_line(replace(event, examples_per_second=self._speed), self._metric, self._since)


class ProgressLines(_Listener):
    """Writes a line for every evaluation, and for an epoch if `seconds` have passed since the last line."""

    def __init__(
        self,
        write: Write,
        valid_metric: str,
        *,
        seconds: float = _LINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(valid_metric)
        self._write, self._seconds, self._clock = write, seconds, clock
        self._shown = self._clock()

    def __call__(self, event: Progress) -> None:
        self._note(event)
        if event.kind in ("end", "fitted"):
            self._write(end_line(event))
        elif event.kind == "phase":
            self._write(phase_line(event))
        elif event.kind == "evaluation" or (event.kind != "start" and self._due()):
            self._show(event)

    def _due(self) -> bool:
        return self._clock() - self._shown >= self._seconds

    def _show(self, event: Progress) -> None:
        self._write(self._line(event))
        self._shown = self._clock()


class ProgressBar(_Listener):
    """A tqdm bar over epochs; evaluations are written above it."""

    def __init__(self, tqdm: Any, stream: TextIO, valid_metric: str) -> None:
        super().__init__(valid_metric)
        self._tqdm, self._stream = tqdm, stream
        self._bar: Any = None

    def __call__(self, event: Progress) -> None:
        self._note(event)
        if event.kind == "start":
            self._bar = self._open(event)
        elif event.kind == "epoch":
            self._bar.update(event.epoch - self._bar.n)
            self._bar.set_postfix_str(f"{losses_text(event.losses)}  {speed_text(event)}")
        elif event.kind == "evaluation":
            self._bar.write(self._line(event), file=self._stream)
        elif event.kind == "phase":
            print(phase_line(event), file=self._stream, flush=True)
        elif event.kind in ("end", "fitted"):
            self._close()
            print(end_line(event), file=self._stream)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _open(self, event: Progress) -> Any:
        return self._tqdm(total=event.epochs, initial=event.epoch, file=self._stream, unit="epoch", leave=False)


def show_progress(valid_metric: str, stream: TextIO | None = None) -> Callback:
    """A listener for `stream` (stderr): a bar on a terminal if tqdm is installed, otherwise lines."""
    stream = stream or sys.stderr
    tqdm = _tqdm() if stream.isatty() else None
    if tqdm is None:
        return ProgressLines(lambda line: print(line, file=stream, flush=True), valid_metric)
    return ProgressBar(tqdm, stream, valid_metric)


def both(*callbacks: Callback | None) -> Callback:
    """One listener that passes every event to several; None is skipped."""
    present = [callback for callback in callbacks if callback is not None]

    def pass_on(event: Progress) -> None:
        for callback in present:
            callback(event)

    return pass_on


def progress_line(event: Progress, valid_metric: str, since: Progress | None = None) -> str:
    """Epoch, loss and its parts, validation metric (marked if the best), speed, time left at the pace since `since`.

    What doesn't fit `MOST_COLUMNS` is left out: first the parts of the loss, then the speed, the time left, the loss.
    """
    speed, left, total = speed_text(event), left_text(event, since), total_text(event.losses)
    choices = ((losses_text(event.losses), speed, left), (total, speed, left), (total, "", left), (total, "", ""))
    for loss, *rest in choices:
        line = _joined(event, valid_metric, loss, *rest)
        if len(line) <= MOST_COLUMNS:
            return line
    return _joined(event, valid_metric)


def _joined(event: Progress, valid_metric: str, loss: str = "", speed: str = "", left: str = "") -> str:
    width = len(str(event.epochs))
    parts = [f"epoch {event.epoch:{width}d}/{event.epochs}"]
    if event.kind == "step":
        parts.append(f"step {event.step}/{event.steps}")
    parts.append(loss)
    if valid_metric in event.metrics:
        best = " (best)" if event.best_epoch == event.epoch else f" (best: epoch {event.best_epoch})"
        parts.append(f"valid {valid_metric} {event.metrics[valid_metric]:.4f}{best}")
    return "  ".join(part for part in (*parts, speed, left) if part)


def phase_line(event: Progress) -> str:
    """The phase of a closed form that begins, the share of the work done, and the time left at this pace."""
    left = event.seconds * (1 - event.share) / event.share if event.share else 0.0
    pace = f"  about {clock_text(left)} left" if left >= 1 else ""
    return f"{event.share:4.0%}  {event.phase}{pace}"


def end_line(event: Progress) -> str:
    """How long training took and which epoch is kept."""
    if event.kind == "fitted":
        return f"fitted in {clock_text(event.seconds)}"
    kept = f", best epoch {event.best_epoch}" if event.best_epoch else ""
    if event.epoch < event.epochs:
        return f"stopped after {event.epoch} of {event.epochs} epochs ({clock_text(event.seconds)}){kept}"
    return f"trained {event.epochs} epochs in {clock_text(event.seconds)}{kept}"


def losses_text(losses: Mapping[str, float]) -> str:
    """The total loss, and its weighted parts in brackets."""
    parts = " ".join(f"{name} {value:.4g}" for name, value in parts_of(losses).items())
    return f"{total_text(losses)} ({parts})" if parts else total_text(losses)


def total_text(losses: Mapping[str, float]) -> str:
    """The total loss."""
    return f"loss {losses['total']:.4f}" if "total" in losses else ""


def parts_of(losses: Mapping[str, float]) -> dict[str, float]:
    """The parts that add up to the total; names that end in a digit are additional values."""
    return {name: value for name, value in losses.items() if name != "total" and not name[-1].isdigit()}


def speed_text(event: Progress) -> str:
    """Training examples per second, in thousands or millions."""
    speed = event.examples_per_second
    if speed <= 0:
        return ""
    return f"{speed / 1e6:.2f}M triplets/s" if speed >= 1e6 else f"{speed / 1e3:.0f}k triplets/s"


def left_text(event: Progress, since: Progress | None) -> str:
    """Maximum time left at the pace since an earlier event; early stopping may end the run sooner."""
    if since is None or event.epoch <= since.epoch or event.epoch >= event.epochs:
        return ""
    pace = (event.seconds - since.seconds) / (event.epoch - since.epoch)
    return f"at most {clock_text((event.epochs - event.epoch) * pace)} left"


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


class Phases:
    """Tells a callback which phase of a closed form begins."""

    def __init__(self, callback: Callback | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._callback, self._clock = callback, clock
        self._start = clock()

    def __call__(self, phase: str, share: float) -> None:
        """`phase` begins when `share` of the work is done."""
        self._tell(Progress("phase", phase=phase, share=share, seconds=self._clock() - self._start))

    def done(self) -> None:
        """The fit is finished."""
        self._tell(Progress("fitted", share=1.0, seconds=self._clock() - self._start))

    def _tell(self, event: Progress) -> None:
        if self._callback:
            self._callback(event)
