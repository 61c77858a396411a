"""Settings of MILK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space
from milk_np.settings.triplets import RATES, TripletSettings

_PROFILES: Space = {"lr": (1e-3, 3e-3), "reg": (1e-4, 1e-3)}
_ENVIRONMENTS: Space = {"invariance_weight": (0.01, 0.1, 1.0, 10.0), "dirichlet_alpha": (0.1, 1.0)}
_ALIGNMENT: Space = {"align_weight": (0.001, 0.01, 0.1, 1.0)}


@dataclass(frozen=True)
class MilkSettings(TripletSettings):
    """Settings that affect the result of MILK."""

    title: ClassVar[str] = "MILK"
    compiles: ClassVar[str] = "milk"
    family_settings: ClassVar[tuple[str, ...]] = ("model", "users", "without")
    presets: ClassVar[dict[str, dict[str, Value]]] = {
        "paper": {"risk": "mean", "negatives": "train"},
        "reference": {"risk": "sum", "negatives": "all"},
    }

    # fmt: off
    model: str = option("milk", str, "model", "model to train", choices=("milk",), metavar="NAME")
    preset: str = option(
        "paper", str, "model",
        "paper: as in the paper's text; reference: as in the authors' program; best: a different model, "
        "kernel-profile, which was more accurate than MILK on three real data sets",
        choices=("paper", "reference"), metavar="paper|reference|best",
    )
    users: str = option(
        "free", str, "model",
        "how a user is represented: free vector, profile of their own training items, or the sum of both",
        choices=("free", "profile", "both"),
    )
    without: tuple[str, ...] = option(
        (), str, "model", "modules to leave out: cmam (alignment), ceim (environments)",
        choices=("cmam", "ceim"), many="yes", metavar="MODULES",
    )
    invariance_weight: float = option(
        1.0, float, "objective", "weight of the variance of the loss across environments",
        aliases=("penalty-coeff",), low=0,
    )
    align_weight: float = option(
        0.05, float, "objective", "weight of the alignment between modalities",
        aliases=("align-coeff",), low=0,
    )
    dirichlet_alpha: float = option(
        0.1, float, "objective",
        "concentration of the Dirichlet distribution that mixes modalities; smaller: more extreme mixes",
        aliases=("alpha",), low=1e-3, high=1e6,
    )
    env_draws: int = option(1, int, "objective", "Dirichlet draws per step", low=1, high=4096)
    environments: str = option(
        "cyclic", str, "objective",
        "cyclic: equal weights, and the cyclic shifts of a draw; no-equal: the shifts only; "
        "independent: independent draws; once: drawn once for the whole run",
        choices=("cyclic", "no-equal", "independent", "once"),
    )
    risk: str | None = option(
        None, str, "objective", "how the environments' losses are combined",
        choices=("mean", "sum"), none="from the preset",
    )
    # fmt: on

    def described(self) -> dict[str, str]:
        """What the preset sets, and the weights of the objective."""
        chosen = self.resolve()
        items = "training items" if chosen.negatives == "train" else "all items"
        preset = f"preset {self.preset}: {chosen.risk} of the environments' losses, negatives from {items}"
        terms = f"invariance {self.invariance_weight:g}, alignment {self.align_weight:g}, L2 penalty {self.reg:g}"
        without = "".join(f", without {name}" for name in self.without)
        return {
            **super().described(),
            "model": f"{self.model}, {preset}",
            "weights": f"{terms}{without}",
            "vectors": f"dim {self.dim}, users {self.users}",
        }

    @property
    def family(self) -> str:
        """The model, how it represents users, and which modules are left out."""
        users = [] if self.users == "free" else [f"users-{self.users}"]
        return "-".join([self.model, *users, *(f"no-{name}" for name in sorted(self.without))])

    def tuning_space(self) -> Space:
        """Learning rate and L2 penalty, and the weights of the modules that are used."""
        rates = RATES if self.users == "free" else _PROFILES
        environments = {} if "ceim" in self.without else _ENVIRONMENTS
        alignment = {} if "cmam" in self.without else _ALIGNMENT
        return {**rates, **environments, **alignment}
