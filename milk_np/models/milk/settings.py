"""Settings of MILK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.errors import SettingsError
from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space
from milk_np.settings.triplets import RATES, TripletSettings

_PROFILES: Space = {"lr": (1e-3, 3e-3), "reg": (1e-4, 1e-3)}
_ENVIRONMENTS: Space = {"invariance_weight": (0.01, 0.1, 1.0, 10.0), "dirichlet_alpha": (0.1, 1.0)}
_ALIGNMENT: Space = {"align_weight": (0.001, 0.01, 0.1, 1.0)}


@dataclass(frozen=True)
class MilkSettings(TripletSettings):
    """What decides the result of a MILK."""

    title: ClassVar[str] = "MILK"
    family_settings: ClassVar[tuple[str, ...]] = ("model", "users", "without")
    presets: ClassVar[dict[str, dict[str, Value]]] = {
        "paper": {"risk": "mean", "negatives": "train"},
        "reference": {"risk": "sum", "negatives": "all"},
    }

    # fmt: off
    model: str = option("milk", str, "model", "what to train", choices=("milk",), metavar="NAME")
    preset: str = option(
        "paper", str, "model",
        "whose reading of the method: the paper's text, or the authors' program; best: another model, "
        "kernel-profile, ahead of MILK on three real data sets",
        choices=("paper", "reference"), metavar="paper|reference|best",
    )
    users: str = option(
        "free", str, "model",
        "what a user is: a free vector, a profile of her own training items, or both added up; profiles need the CPU",
        choices=("free", "profile", "both"),
    )
    without: tuple[str, ...] = option(
        (), str, "model", "modules to leave out: cmam (alignment), ceim (environments)",
        choices=("cmam", "ceim"), many="yes", metavar="MODULES",
    )
    invariance_weight: float = option(
        1.0, float, "objective", "weight of the variance of the risk over environments",
        aliases=("penalty-coeff",), low=0,
    )
    align_weight: float = option(
        0.05, float, "objective", "weight of the alignment between modalities",
        aliases=("align-coeff",), low=0,
    )
    dirichlet_alpha: float = option(
        0.1, float, "objective", "concentration of the Dirichlet draw that mixes modalities",
        aliases=("alpha",), low=1e-3, high=1e6,
    )
    env_draws: int = option(1, int, "objective", "Dirichlet draws a step", low=1, high=4096)
    environments: str = option(
        "cyclic", str, "objective",
        "how environments are made: equal weights and cyclic shifts of a draw; the shifts alone; "
        "independent draws; drawn once for the whole run",
        choices=("cyclic", "no-equal", "independent", "once"),
    )
    risk: str | None = option(
        None, str, "objective", "how environment risks combine",
        choices=("mean", "sum"), none="from the preset",
    )
    # fmt: on

    def _check_together(self) -> None:
        super()._check_together()
        if self.users != "free" and self.device not in ("cpu", "auto"):
            raise SettingsError(
                f"users (--users): got {self.users!r}, which needs --device cpu; on the GPU users are free as yet"
            )

    def described(self) -> dict[str, str]:
        """What the preset decides, and the weights of the objective."""
        chosen = self.resolve()
        items = "training items" if chosen.negatives == "train" else "all items"
        preset = f"preset {self.preset}: {chosen.risk} of the environments' risks, negatives from {items}"
        terms = f"invariance {self.invariance_weight:g}, alignment {self.align_weight:g}, regulariser {self.reg:g}"
        without = "".join(f", without {name}" for name in self.without)
        return {
            **super().described(),
            "model": f"{self.model}, {preset}",
            "weights": f"{self.users} users, {terms}{without}",
            "vectors": f"dim {self.dim}",
        }

    @property
    def training_device(self) -> str:
        """`device`, or "cpu" for what has no kernels on a GPU yet: profiles of users."""
        return self.device if self.users == "free" else "cpu"

    @property
    def family(self) -> str:
        """The model, how it describes users, and which of its modules are left."""
        users = [] if self.users == "free" else [f"users-{self.users}"]
        return "-".join([self.model, *users, *(f"no-{name}" for name in sorted(self.without))])

    def tuning_space(self) -> Space:
        """Learning rate and regulariser, and the weights of the modules that are left."""
        rates = RATES if self.users == "free" else _PROFILES
        environments = {} if "ceim" in self.without else _ENVIRONMENTS
        alignment = {} if "cmam" in self.without else _ALIGNMENT
        return {**rates, **environments, **alignment}
