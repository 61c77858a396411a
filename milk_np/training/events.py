"""What a fit tells while it goes on, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from milk_np.errors import SettingsError

Kind = Literal["start", "step", "epoch", "evaluation", "end", "phase", "fitted", "failed"]
Callback = Callable[["Progress"], object]
Callbacks = Callback | Sequence[Callback] | None
"""What a fit tells of its progress; by default the bar of a notebook, and nobody elsewhere."""


def _no_stop() -> None:
    raise SettingsError("stop: a closed form has nothing to keep before it is fitted; interrupt it instead")


@dataclass(frozen=True)
class Progress:
    """One event of a fit.

    `epoch` counts from 1 and is 0 at the start; a resumed run starts at the epoch it resumes after. `losses`
    holds the "total" and its weighted parts, `metrics` the validation metrics of an evaluation. `best_epoch` is 0
    before the first evaluation. `seconds` count from this run's start; `examples_per_second` is 0 if it wasn't
    measured. A model in closed form has no epochs: it reports the `phase` that begins and the `share` of the work done.
    `settings` come with the start. A fit that ends by an error or an interruption tells "failed" at its end.
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
    settings: Mapping[str, object] = field(default_factory=dict, repr=False)
    on_stop: Callable[[], None] = field(default=_no_stop, repr=False, compare=False)

    def stop(self) -> None:
        """End the training after this epoch, which is evaluated first; the best epoch's model is kept, as always.

        Raises SettingsError for a closed form.
        """
        self.on_stop()


def both(*callbacks: Callback | None) -> Callback:
    """One listener that passes every event to several; None is skipped."""
    present = [callback for callback in callbacks if callback is not None]

    def pass_on(event: Progress) -> None:
        for callback in present:
            callback(event)

    return pass_on
