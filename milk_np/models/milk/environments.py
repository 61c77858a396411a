"""Environments: how each one weights the modalities (paper section 4.2, Eq. 8 and 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milk_np.models.extractors.mixing import EqualMixing, Mixing
from milk_np.models.milk.settings import MilkSettings
from milk_np.rng import generator

STRATEGIES = ("cyclic", "no-equal", "independent", "once")


def n_environments(M: int, strategy: str = "cyclic", draws: int = 1) -> int:
    """Number E of environments: M for every Dirichlet draw, plus one of equal weights unless "no-equal"."""
    return draws * M + (strategy != "no-equal")


@dataclass(frozen=True)
class Environments:
    """The environments that MILK draws anew every step; see `mixing_weights`."""

    settings: MilkSettings
    M: int

    @property
    def count(self) -> int:
        """Number E of environments."""
        return n_environments(self.M, self.settings.environments, self.settings.env_draws)

    def draw(self, epoch: int, steps: int) -> NDArray[np.float64]:
        """Weights theta (steps, E, M) of every step of an epoch."""
        how = self.settings
        return mixing_weights(how.seed, epoch, steps, self.M, how.dirichlet_alpha, how.environments, how.env_draws)


def mixing(settings: MilkSettings, M: int) -> Mixing:
    """The environments under `settings`: one of equal weights without the module CEIM."""
    return EqualMixing(M) if "ceim" in settings.without else Environments(settings, M)


def mixing_weights(
    seed: int, epoch: int, steps: int, M: int, alpha: float, strategy: str = "cyclic", draws: int = 1
) -> NDArray[np.float64]:
    """Weights theta (steps, E, M) of every step of an epoch; each row is a point of the simplex.

    "cyclic": theta_0 = 1/M, then for each draw ~ Dirichlet(alpha) its M cyclic shifts; "no-equal" leaves theta_0 out;
    "independent" takes M independent draws instead of the shifts; "once" keeps the first step's draw for the run.
    """
    rng = generator(seed, "environments", 0 if strategy == "once" else epoch)
    times = 1 if strategy == "once" else steps
    if strategy == "independent":
        drawn = rng.dirichlet(np.full(M, alpha), (times, draws * M))
    else:
        drawn = _shifts(rng.dirichlet(np.full(M, alpha), (times, draws)))
    if strategy != "no-equal":
        drawn = np.concatenate([np.full((times, 1, M), 1 / M), drawn], axis=1)
    return np.broadcast_to(drawn, (steps, *drawn.shape[1:]))


def _shifts(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """(times, draws, M) -> (times, draws * M, M): all cyclic shifts of every draw."""
    times, draws, M = drawn.shape
    shifted = np.stack([np.roll(drawn, shift, axis=2) for shift in range(M)], axis=2)
    return shifted.reshape(times, draws * M, M)
