"""Settings of models whose item vectors are computed from one row of numbers an item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from milk_np.settings.option import option
from milk_np.settings.steps import StepSettings

CONTENTS = ("unit", "centred", "standard")


def content_option(default: str) -> Any:
    """The setting `content` with the default of a model."""
    return option(
        default, str, "content",
        "rows of content: each modality at unit length; the same minus the training items' mean; or each number at "
        "mean 0 and deviation 1, cut at 5",
        choices=CONTENTS,
    )  # fmt: skip


@dataclass(frozen=True)
class ContentSettings(StepSettings):
    """What an item's row of content is made of; how missing modalities are filled is shared by all models.

    Systems on few items overfit within epochs, so each epoch is evaluated.
    """

    # fmt: off
    content: str = content_option("unit")
    eval_every: int = option(1, int, "training", "epochs between evaluations", low=1)
    patience: int = option(
        10, int, "training",
        "stop after this many evaluations without improvement of the validation metric; 0: never",
        aliases=("early-stop",), low=0,
    )
    # fmt: on
