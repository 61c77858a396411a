"""A listener with a method for each event: what a callback of one's own begins with."""

from __future__ import annotations

from milk_np.training.events import Progress

_METHODS = {
    "start": "on_start",
    "step": "on_step",
    "epoch": "on_epoch",
    "evaluation": "on_evaluation",
    "phase": "on_phase",
    "end": "on_end",
    "fitted": "on_end",
    "failed": "on_fail",
}


class Listener:
    """Override what you need; `event.stop()` ends the training after the epoch. Pass it to `fit(ds, callback=...)`."""

    def on_start(self, event: Progress) -> None:
        """The fit begins: `event.settings`; `event.epoch` isn't 0 in a run that is resumed."""

    def on_step(self, event: Progress) -> None:
        """Every `log_every` steps: `event.losses` so far in the epoch."""

    def on_epoch(self, event: Progress) -> None:
        """An epoch is over: `event.losses`, means over it."""

    def on_evaluation(self, event: Progress) -> None:
        """Validation items were ranked: `event.metrics`, `event.best_epoch`."""

    def on_phase(self, event: Progress) -> None:
        """A phase of a closed form begins: `event.phase`, `event.share` of the work done."""

    def on_end(self, event: Progress) -> None:
        """The fit is over."""

    def on_fail(self, event: Progress) -> None:
        """The fit ends by an error or an interruption, which is raised after this."""

    def __call__(self, event: Progress) -> None:
        """Pass the event to its method."""
        getattr(self, _METHODS[event.kind])(event)
