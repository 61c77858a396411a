"""Progress events of a training run, and the listeners that show them.

The trainer calls `callback(Progress)`; any callable works. `show_progress` picks a listener: a bar in a notebook, a
tqdm bar on a terminal if tqdm is installed, plain lines otherwise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

from milk_np.display.notebook import notebook_display
from milk_np.settings.shared import Settings
from milk_np.training.events import Callback as Callback
from milk_np.training.events import Callbacks as Callbacks
from milk_np.training.events import Progress as Progress
from milk_np.training.events import both as both
from milk_np.training.notebook import NotebookBar
from milk_np.training.progress_text import LineListener, end_line, losses_text, phase_line, speed_text
from milk_np.training.progress_text import parts_of as parts_of
from milk_np.training.progress_text import progress_line as progress_line

Write = Callable[[str], None]

_LINE_SECONDS = 5.0


class ProgressLines(LineListener):
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
        self.note(event)
        if event.kind in ("end", "fitted"):
            self._write(end_line(event))
        elif event.kind == "phase":
            self._write(phase_line(event))
        elif event.kind == "evaluation" or (event.kind in ("step", "epoch") and self._due()):
            self._show(event)

    def _due(self) -> bool:
        return self._clock() - self._shown >= self._seconds

    def _show(self, event: Progress) -> None:
        self._write(self.line(event))
        self._shown = self._clock()


class ProgressBar(LineListener):
    """A tqdm bar over epochs; evaluations are written above it."""

    def __init__(self, tqdm: Any, stream: TextIO, valid_metric: str) -> None:
        super().__init__(valid_metric)
        self._tqdm, self._stream = tqdm, stream
        self._bar: Any = None

    def __call__(self, event: Progress) -> None:
        self.note(event)
        if event.kind == "start" and event.epochs:
            self._bar = self._open(event)
        elif event.kind == "epoch":
            self._bar.update(event.epoch - self._bar.n)
            self._bar.set_postfix_str(f"{losses_text(event.losses)}  {speed_text(event)}")
        elif event.kind == "evaluation":
            self._bar.write(self.line(event), file=self._stream)
        elif event.kind == "phase":
            print(phase_line(event), file=self._stream, flush=True)
        elif event.kind in ("end", "fitted"):
            self._close()
            print(end_line(event), file=self._stream)
        elif event.kind == "failed":
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _open(self, event: Progress) -> Any:
        return self._tqdm(total=event.epochs, initial=event.epoch, file=self._stream, unit="epoch", leave=False)


def show_progress(valid_metric: str = "ndcg@10", stream: TextIO | None = None) -> Callback:
    """A listener for `stream` (stderr): a bar in a notebook, or on a terminal if tqdm is installed, otherwise lines."""
    display = notebook_display() if stream is None else None
    if display is not None:
        return NotebookBar(display, valid_metric)
    stream = stream or sys.stderr
    tqdm = _tqdm() if stream.isatty() else None
    if tqdm is None:
        return ProgressLines(lambda line: print(line, file=stream, flush=True), valid_metric)
    return ProgressBar(tqdm, stream, valid_metric)


def listener_of(callback: Callbacks, valid_metric: str) -> Callback | None:
    """One listener of what was given to `fit`: nothing given means the bar of a notebook, where there is one."""
    if callable(callback):
        return callback
    if callback is not None:
        return both(*callback)
    display = notebook_display()
    return None if display is None else NotebookBar(display, valid_metric)


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


class Phases:
    """Tells a callback which phase of a closed form begins; as a context, its start and its end, too."""

    def __init__(self, callback: Callback | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._callback, self._clock = callback, clock
        self._start = clock()

    @classmethod
    def of(cls, callback: Callbacks, settings: Settings) -> Self:
        """Those of a fit under `settings`."""
        phases = cls(listener_of(callback, settings.valid_metric))
        phases._tell(Progress("start", settings=settings.to_dict()))
        return phases

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self.done()
        else:
            self._tell(Progress("failed", seconds=self._clock() - self._start))

    def __call__(self, phase: str, share: float) -> None:
        """`phase` begins when `share` of the work is done."""
        self._tell(Progress("phase", phase=phase, share=share, seconds=self._clock() - self._start))

    def done(self) -> None:
        """The fit is finished."""
        self._tell(Progress("fitted", share=1.0, seconds=self._clock() - self._start))

    def _tell(self, event: Progress) -> None:
        if self._callback:
            self._callback(event)
