"""Settings of the kernel profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.errors import SettingsError
from milk_np.settings.option import Value, option, retold
from milk_np.settings.shared import Kind, Settings, Space
from milk_np.text import SIZE, size_bytes


@dataclass(frozen=True)
class KernelProfileSettings(Settings):
    """What decides the result of a kernel profile."""

    kind: ClassVar[Kind] = "closed form"
    compiles: ClassVar[str] = "kernel profile"
    revision: ClassVar[int] = 4
    title: ClassVar[str] = "kernel profile"
    presets: ClassVar[dict[str, dict[str, Value]]] = {"best": {}}

    # fmt: off
    model: str = option(
        "kernel-profile", str, "model", "model to train", choices=("kernel-profile",), metavar="NAME",
    )
    preset: str = option("best", str, "model", "short name of this model", choices=("best",))
    impute: str = retold(
        Settings, "impute",
        "how missing modalities are imputed for the content profile that the model is compared with",
    )
    profile_width: int = option(1024, int, "kernel-profile", "maximum vector dimension", low=1, high=65536)
    width: str = option(
        "full", str, "kernel-profile",
        "numbers of a vector that are kept: a number; auto: the least that ranks held-out training items about as "
        "well; full: all", choices=("auto", "full"), number=int, low=1, metavar="N|auto|full",
    )
    memory: str = option(
        "", str, "kernel-profile",
        "most memory of the fit on top of the data set, such as 2GB: smaller blocks, vectors on disk; not given: what "
        "is fastest", number=int, words=SIZE, nothing="no limit", metavar="SIZE",
    )
    landmarks: int = option(
        1024, int, "kernel-profile", "number of landmarks: training items that content is compared with",
        low=1, high=65536,
    )
    smoothing: float = option(
        100.0, float, "kernel-profile", "L2 penalty of the item-item regression (EASE) that smooths histories",
        above=0,
    )
    smoothing_rank: int = option(
        64, int, "kernel-profile", "rank of the item-item regression; 0: no smoothing", low=0, high=65536,
    )
    smoothing_power: float = option(
        0.5, float, "kernel-profile",
        "the penalty grows with popularity^X; 0: same for all items", low=0, high=2,
    )
    rarity: float = option(
        0.1, float, "kernel-profile",
        "down-weight popular items of a history by popularity^-X; 0: all alike", low=0, high=1,
    )
    prior: float = option(
        2.0, float, "kernel-profile",
        "average items added to each history as a prior", above=0,
    )
    owned_sets: str = option(
        "each", str, "kernel-profile",
        "each: one regression per combination of modalities; whole: one regression, missing modalities at the mean",
        choices=("each", "whole"),
    )
    kernel_scale: float = option(
        1.0, float, "kernel-profile", "how fast the kernel falls with the angle between two items' content", above=0,
    )
    kernel_noise: float = option(
        0.0, float, "kernel-profile",
        "L2 penalty of the regression on content; 0: chosen by ranking held-out training items", low=0,
        nothing="chosen",
    )
    modality_weights: tuple[float, ...] = option(
        (), float, "kernel-profile", "weight of each modality; if not given, chosen by leave-one-out error", above=0,
        many="yes", nothing="chosen", metavar="X,X",
    )
    whitening: tuple[float, ...] = option(
        (), float, "kernel-profile",
        "whitening strength per modality, or one for all: 0 none, 1 full; if not given, chosen from 0, 0.5, 1 by "
        "ranking held-out training items", low=0, high=1, many="yes", nothing="chosen",
        metavar="X,X",
    )
    length_power: str = option(
        "auto", str, "kernel-profile",
        "vectors of items are divided by (root mean square of their scores)^X; 0: not at all; auto: 0, 0.25 or 0.5, by "
        "ranking held-out training items", choices=("auto",), number=float, low=0, high=1, metavar="X|auto",
    )
    even_exposure: str = option(
        "auto", str, "kernel-profile",
        "how far items that lack modalities are lifted towards the places that they are chosen for: 0 not, 1 as far "
        "as held-out training items say; auto: 0, 0.25 or 0.5, as far as these surely rank no worse; "
        "with at most four modalities",
        choices=("auto",), number=float, low=0, high=1, metavar="X|auto",
    )
    # fmt: on

    def _check_together(self) -> None:
        super()._check_together()
        try:
            _ = self.memory_bytes
        except ValueError as error:
            raise SettingsError(f"memory (--memory): {error}") from None

    @property
    def memory_bytes(self) -> int | None:
        """Most bytes of the fit; None where no one said."""
        return size_bytes(self.memory) if self.memory else None

    @property
    def score_power(self) -> float | None:
        """The power of the items' lengths; None where held-out items say it."""
        return None if self.length_power == "auto" else float(self.length_power)

    @property
    def exposure_strength(self) -> float | None:
        """How far exposure is evened; None where held-out items say it."""
        return None if self.even_exposure == "auto" else float(self.even_exposure)

    @property
    def evens_exposure(self) -> bool:
        """Whether it is."""
        return self.exposure_strength != 0

    @property
    def adjusts(self) -> bool:
        """Whether held-out items say how vectors of items are adjusted."""
        return self.evens_exposure or self.score_power is None

    @property
    def most_numbers(self) -> int:
        """Numbers of a vector at most; fewer with `width` auto, or where there are fewer landmarks."""
        whole = self.width in ("auto", "full")
        return self.profile_width if whole else min(self.profile_width, int(self.width))

    def described(self) -> dict[str, str]:
        """The sizes that decide what a fit costs."""
        width = "least width that ranks as well" if self.width == "auto" else f"width {self.most_numbers}"
        form = f"in closed form, {width}, {self.landmarks} landmarks"
        return {"model": self.model, "filled": "one regression per combination of modalities", "training": form}

    def tuning_space(self) -> Space:
        """How histories are completed; the rest is chosen from the data."""
        return {"smoothing": (30.0, 100.0, 300.0), "smoothing_rank": (32, 64, 128)}
