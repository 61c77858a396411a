"""Settings of the quick rivals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import option
from milk_np.settings.shared import Kind, Settings, Space

CONTENTS = ("unit", "centred", "raw-centred")


@dataclass(frozen=True)
class ClosedFormSettings(Settings):
    """What they share: how content becomes a row."""

    kind: ClassVar[Kind] = "closed form"
    fits_on_host: ClassVar[bool] = True
    searched: ClassVar[bool] = True
    regression: ClassVar[bool] = False
    """Whether a regression on content is solved, (D, D)."""
    square_tables: ClassVar[int] = 0
    """Matrices (n, n) that a fit holds."""

    # fmt: off
    content: str = option(
        "centred", str, "content",
        "rows of content: each modality at unit length; the same minus the mean; or less the mean, then at unit length",
        choices=CONTENTS,
    )
    # fmt: on

    def described(self) -> dict[str, str]:
        """The shared lines, and that there are no epochs."""
        return {**super().described(), "training": "on the host, without gradient steps"}

    def vector_width(self, n_training_items: int, content_width: int) -> int:
        """Numbers of a user's or item's vector."""
        return n_training_items


@dataclass(frozen=True)
class RidgeSettings(ClosedFormSettings):
    """Settings of the regression from content straight to choices, and of those that map to vectors."""

    title: ClassVar[str] = "ridge"
    regression: ClassVar[bool] = True

    # fmt: off
    model: str = option("ridge", str, "model", "what to train", choices=("ridge",), metavar="NAME")
    content_ridge: float = option(3.0, float, "content", "L2 penalty of the regression on content", above=0)
    drop_weight: float = option(
        1.0, float, "content", "weight of each copy of a training item that lacks one modality; 0: no copies", low=0,
    )
    # fmt: on

    def vector_width(self, n_training_items: int, content_width: int) -> int:
        """Numbers of a vector: all features."""
        return content_width

    def tuning_space(self) -> Space:
        """The penalty and the content."""
        return {"content_ridge": (0.3, 3.0, 30.0), "content": CONTENTS}


@dataclass(frozen=True)
class SvdRidgeSettings(RidgeSettings):
    """Settings of PureSVD vectors and a regression from content to them."""

    title: ClassVar[str] = "SVD + ridge"

    # fmt: off
    model: str = option("svd-ridge", str, "model", "what to train", choices=("svd-ridge",), metavar="NAME")
    dim: int = option(64, int, "model", "dimension K of the vectors", aliases=("embedding-size",), low=1, high=65536)
    # fmt: on

    def described(self) -> dict[str, str]:
        """The shared lines, and the vectors' dimension."""
        return {**super().described(), "vectors": f"dim {self.dim}"}

    def vector_width(self, n_training_items: int, content_width: int) -> int:
        """Numbers of a vector."""
        return min(self.dim, n_training_items)

    def tuning_space(self) -> Space:
        """The dimension, too. Where users are many, more numbers come nearer to the regression straight to choices, and
        need a higher penalty."""
        return {"dim": (64, 256, 1024), **super().tuning_space(), "content_ridge": (3.0, 30.0, 300.0)}


@dataclass(frozen=True)
class IalsRidgeSettings(SvdRidgeSettings):
    """Settings of vectors by alternating least squares and a regression from content to them."""

    title: ClassVar[str] = "iALS + ridge"

    # fmt: off
    model: str = option("ials-ridge", str, "model", "what to train", choices=("ials-ridge",), metavar="NAME")
    als_confidence: float = option(
        3.0, float, "least squares", "weight alpha of a training pair on top of the 1 that any pair has", above=0,
    )
    als_penalty: float = option(10.0, float, "least squares", "L2 penalty of the vectors", above=0)
    als_power: float = option(
        0.0, float, "least squares", "the penalty grows with (row's weight / mean)^X; 0: same for all", low=0, high=1,
    )
    als_sweeps: int = option(10, int, "least squares", "sweeps over users and items", low=1)
    # fmt: on

    def vector_width(self, n_training_items: int, content_width: int) -> int:
        """Numbers of a vector."""
        return self.dim

    def tuning_space(self) -> Space:
        """The least squares' penalty and confidence, too."""
        space = {**super().tuning_space(), "dim": (64, 128), "content_ridge": (0.3, 3.0, 30.0)}
        found = {"als_confidence": (1.0, 3.0, 10.0), "als_penalty": (3.0, 10.0, 30.0)}
        return {**found, **space}


@dataclass(frozen=True)
class FeatureIalsSettings(IalsRidgeSettings):
    """Settings of feature-aware alternating least squares."""

    title: ClassVar[str] = "feature-aware iALS"

    # fmt: off
    model: str = option("feature-ials", str, "model", "what to train", choices=("feature-ials",), metavar="NAME")
    als_power: float = option(
        1.0, float, "least squares", "the penalty grows with (row's weight / mean)^X; 0: same for all", low=0, high=1,
    )
    cold_vectors: str = option(
        "map", str, "least squares", "new items: content's map, or the least squares solved for an item without users",
        choices=("map", "solved"),
    )
    # fmt: on


@dataclass(frozen=True)
class ContentKnnSettings(ClosedFormSettings):
    """Settings of content kNN."""

    title: ClassVar[str] = "content kNN"
    square_tables: ClassVar[int] = 1

    # fmt: off
    model: str = option("content-knn", str, "model", "what to train", choices=("content-knn",), metavar="NAME")
    content: str = option(
        "raw-centred", str, "content", ClosedFormSettings.options()["content"].help, choices=CONTENTS,
    )
    neighbours: int = option(100, int, "neighbours", "training items that an item is compared with", low=1)
    knn_power: float = option(3.0, float, "neighbours", "power of the cosines", low=0, high=100)
    knn_weights: str = option(
        "sum", str, "neighbours", "sum: an item's weights divided by their sum; plain: as they are",
        choices=("sum", "plain"),
    )
    # fmt: on

    def tuning_space(self) -> Space:
        """All of them."""
        return {
            "neighbours": (20, 50, 200),
            "knn_power": (1.0, 3.0, 5.0),
            "knn_weights": ("sum", "plain"),
            "content": CONTENTS,
        }


@dataclass(frozen=True)
class MarecSettings(ClosedFormSettings):
    """Settings of MARec."""

    title: ClassVar[str] = "MARec"
    square_tables: ClassVar[int] = 6

    # fmt: off
    model: str = option("marec", str, "model", "what to train", choices=("marec",), metavar="NAME")
    marec_penalty: float = option(
        100.0, float, "marec", "L2 penalty of the item-item regression over 1 + weight of the alignment", above=0,
    )
    modality_scale: str = option(
        "owned", str, "marec", "owned: similarities scaled up where an item lacks modalities; plain: as they are",
        choices=("owned", "plain"),
    )
    # fmt: on

    def tuning_space(self) -> Space:
        """The penalty, the scale and the content."""
        return {
            "marec_penalty": (30.0, 100.0, 300.0, 1000.0),
            "modality_scale": ("owned", "plain"),
            "content": CONTENTS,
        }
