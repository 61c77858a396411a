"""Lines of progress: what is said of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from milk_np.text import clock_text
from milk_np.training.events import Progress

MOST_COLUMNS = 100
"""Width of a progress line, so that a terminal needn't wrap it."""


class LineListener:
    """Remembers what a line needs from earlier events: the last speed, and the start of the pace measurement.

    The pace is measured from the end of the first epoch, which may include compiling the kernels.
    """

    def __init__(self, valid_metric: str) -> None:
        self._metric, self._speed = valid_metric, 0.0
        self._since: Progress | None = None

    def note(self, event: Progress) -> None:
        """Remember what later lines need."""
        self._speed = event.examples_per_second or self._speed
        if event.kind == "epoch" and self._since is None:
            self._since = event

    def line(self, event: Progress) -> str:
        """The line of an event."""
        return progress_line(replace(event, examples_per_second=self._speed), self._metric, self._since)


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
