"""The progress of a fit in a notebook's output."""

from __future__ import annotations

import time
from collections.abc import Callable

from milk_np.display.markup import Markup, tag
from milk_np.display.notebook import Display, Write
from milk_np.text import clock_text
from milk_np.training.events import Progress
from milk_np.training.progress_text import LineListener, end_line, phase_line

_DRAW_SECONDS = 0.1


class NotebookBar(LineListener):
    """A bar and a line in a notebook's output, which are drawn again as the fit goes on."""

    def __init__(self, display: Display, valid_metric: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(valid_metric)
        self._display, self._clock, self._drawn = display, clock, 0.0
        self._update: Write | None = None
        self._evaluated = ""

    def __call__(self, event: Progress) -> None:
        self.note(event)
        if event.kind == "evaluation":
            self._evaluated = self.line(event)
        if event.kind != "step" and (event.kind != "epoch" or self._clock() - self._drawn >= _DRAW_SECONDS):
            self._draw(bar_markup(event, self._said(event)))

    def _said(self, event: Progress) -> str:
        if event.kind in ("end", "fitted"):
            return end_line(event)
        if event.kind == "phase":
            return phase_line(event).strip()
        if event.kind == "failed":
            return f"ended after {clock_text(event.seconds)} by an error or an interruption"
        return "starting" if event.kind == "start" else self._evaluated or self.line(event)

    def _draw(self, markup: str) -> None:
        self._drawn = self._clock()
        if self._update is None:
            self._update = self._display(markup)
        else:
            self._update(markup)


def bar_markup(event: Progress, said: str) -> Markup:
    """A bar with the share of the epochs, or of a closed form's work, and what is said beside it."""
    share = 1.0 if event.kind in ("end", "fitted") else event.share or event.epoch / max(event.epochs, 1)
    bar = tag("progress", value=share, max="1", aria_label="Progress of the fit", style="width:14em")
    return tag("div", bar, " ", tag("span", said, style="font-variant-numeric:tabular-nums"))
