"""What the fit of a kernel profile needs of memory beside the data: what it holds throughout, and its largest step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from milk_np.models.kernel_profile.limits import (
    CHOICE_ITEMS,
    EVEN_USERS,
    FOLDS,
    HELD_ITEMS,
    HELD_LANDMARKS,
    HELD_USERS,
    KEPT_BYTES,
    MOST_SETS,
    TRIED,
    held_sets,
    most_sets,
)
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.kernel_profile.spans import user_spans
from milk_np.settings.metrics import METRICS

_FLOAT, _INT, _LONG, _DOUBLE = 4, 4, 8, 8
MOST_IN_MEMORY = 1 << 28
"""Numbers of the history vectors that are held in memory; more lie in a file without a name."""
COLUMN_BYTES = {"cpu": 1 << 30, "gpu": 1 << 33}
"""Memory for the columns that are worked on at a time, of items by landmarks."""
BLOCK_ROWS = {"cpu": 2048, "gpu": 16384}
"""Items that are worked on at a time."""
CACHED_BYTES = {"cpu": 1 << 25, "gpu": 1 << 33}
"""What one number of every user and item may take before fewer columns are multiplied with the pairs at a time."""
MOST_COLUMNS = {"cpu": 64, "gpu": 128}
LEAST_COLUMNS = 16
"""One cache line of float32, or two of float64."""
PRECISE_ITEMS = 1 << 15
"""Most items whose smoothing is found in float64, nearly exactly; beyond, in float32."""
LEAST_SIMILARITIES = 64
"""Columns of items by landmarks that are worked on at a time, at least."""
MOST_VECTORS = 1 << 24
"""Numbers of the users' vectors that an evaluation holds at a time."""
BLOCK_VECTORS = 1 << 21
"""Numbers of the vectors that are turned at a time."""
KRYLOV_BLOCK = 16
"""Vectors that the search for the smoothing's directions multiplies at a time."""


@dataclass(frozen=True)
class Plan:
    """How much is worked on, and held in memory, at once. A fit depends on it in rounding alone, as BLAS has it."""

    rows: int = BLOCK_ROWS["cpu"]
    """Items of a block: a multiple of 256, whose products are summed in float32."""
    column_bytes: int = COLUMN_BYTES["cpu"]
    in_memory: int = MOST_IN_MEMORY
    """Numbers of history vectors; more go to disk."""


PLANS = (
    Plan(),
    Plan(column_bytes=1 << 28),
    Plan(1024, 1 << 28),
    Plan(1024, 1 << 27, 1 << 25),
    Plan(512, 1 << 26, 1 << 23),
    Plan(256, 1 << 24, 0),
    Plan(256, 0, 0),
)
"""From the fastest to the one that needs least."""


@dataclass(frozen=True)
class Need:
    """Bytes of a fit with these sizes: U users, I items of which n are for training, P training pairs, widths D_m."""

    settings: KernelProfileSettings
    U: int
    n_items: int
    n: int
    P: int
    widths: Sequence[int]
    plan: Plan = PLANS[0]

    def total(self) -> dict[str, int]:
        """What is held throughout, and the step that needs most, by purpose."""
        steps = self.steps()
        largest = max(steps, key=lambda name: steps[name])
        return {**self.held(), largest: steps[largest]}

    def held(self) -> dict[str, int]:
        """Bytes that stay until the end."""
        again = {"the whole width": self._history() + _FLOAT * self.sets * self.landmarks * self.width}
        return {
            "training pairs": 3 * _INT * self.P + 2 * _LONG * self.U + _LONG * self.n * len(self.spans),
            "smoothing": _FLOAT * self.n * (2 * self.settings.smoothing_rank + 1),
            **(again if self.settings.width == "auto" else {}),
        }

    def steps(self) -> dict[str, int]:
        """Bytes of each step while it lasts."""
        r, L, M, rows = self.settings.smoothing_rank, self.landmarks, len(self.widths), min(self.n, self.plan.rows)
        block = _FLOAT * rows * ((M + 3) * L + 2 * max(self.widths))
        factors = (4 * self.sets + 6) * _DOUBLE * L**2
        history = self._history()
        size = _DOUBLE if self.n <= PRECISE_ITEMS else _FLOAT
        return {
            "sorting pairs": (2 * _INT + _LONG + 2) * self.P,
            "directions of the smoothing": size * self.n * (3 * r + 6 * KRYLOV_BLOCK) + self._sparse(size),
            "held-out items": self._choice(),
            "similarities": self._columns() + self._sparse(_FLOAT) + block + factors,
            "vectors": history + block + factors,
            "evaluation": history + self._evaluation(),
            "axes of the vectors": history + _FLOAT * self.n_items * self.kept + self._axes(),
        }

    @property
    def spans(self) -> list[slice]:
        """Of users whose pairs are multiplied together."""
        return user_spans(self.U, self.n, self.P)

    @property
    def landmarks(self) -> int:
        """Landmarks."""
        return min(self.settings.landmarks, self.n)

    @property
    def width(self) -> int:
        """Numbers of a vector before it is cut."""
        return min(self.settings.profile_width, self.landmarks)

    @property
    def kept(self) -> int:
        """Numbers of a vector that is written beside the whole one, at most."""
        cut = min(self.settings.most_numbers, self.width)
        return cut if (cut < self.width or self.settings.width == "auto") and self._history() else 0

    def _history(self) -> int:
        numbers = self.n_items * self.width
        return _FLOAT * numbers if numbers <= self.plan.in_memory else 0

    def _columns(self) -> int:
        """Columns that the pairs are multiplied with: what was asked for, or the least."""
        least = _FLOAT * self.n * min(LEAST_SIMILARITIES, self.landmarks)
        return max(least, min(self.plan.column_bytes, _FLOAT * self.n * self.landmarks))

    def _evaluation(self) -> int:
        """A block of users' vectors, twice, their lists, and every user's metrics for two groups of items."""
        longest, block = max(self.settings.cutoffs), min(self.U, MOST_VECTORS // max(self.width, 1))
        metrics = 2 * _DOUBLE * len(METRICS) * len(self.settings.cutoffs) * self.U
        return 2 * _FLOAT * block * (self.width + longest) + metrics

    def _axes(self) -> int:
        """Moments and their eigenvectors, and a block of vectors in float64."""
        rows = min(BLOCK_VECTORS // max(self.width, 1), max(self.U, self.n_items))
        return _DOUBLE * (10 * self.width**2 + 3 * rows * self.width)

    @property
    def sets(self) -> int:
        """Sets of owned modalities."""
        M = len(self.widths)
        return most_sets(M) if 2**M - 1 <= MOST_SETS else min(most_sets(M), self.n_items + M + 1)

    def _sparse(self, size: int) -> int:
        """Of a product with the pairs: some columns of a span of users and of all items, and what spans add up to."""
        numbers = int(self.spans[0].stop) + self.n
        return size * (numbers * columns_at_a_time("cpu", size * numbers) + 3 * MOST_COLUMNS["cpu"] * self.n)

    def _choice(self) -> int:
        """Content of the items that are looked at, its whitenings, cosines and scores."""
        M, D, most = len(self.widths), sum(self.widths), max(self.widths)
        axes = (1 if self.settings.whitening else len(TRIED)) * sum(min(self.landmarks, d) * d for d in self.widths)
        content = _FLOAT * (min(self.n, HELD_ITEMS) * D + self.landmarks * (D + most) + axes + 3 * most**2)
        adjusted = (
            3 * min(self.U, EVEN_USERS) // 2 if self.settings.adjusts else 0
        )  # scores of all folds, two copies of one
        if self.settings.whitening and self.settings.kernel_noise and not adjusted:
            return content + (M + 4) * _DOUBLE * min(self.n, CHOICE_ITEMS) ** 2
        tried = 1 if self.settings.whitening else len(TRIED)
        landmarks, users = min(self.landmarks, HELD_LANDMARKS), min(self.U, HELD_USERS)
        each = most + (tried * M + M + 1) * landmarks + users + adjusted
        return content + _FLOAT * min(self.n, HELD_ITEMS) * each + self._shared(landmarks, users)

    def _shared(self, landmarks: int, users: int) -> int:
        """What kernels that differ in noise alone share, of all sets of modalities or of one."""
        of_a_set = _FLOAT * landmarks * (min(self.n, HELD_ITEMS) + FOLDS * users + (FOLDS + 2) * landmarks)
        every = of_a_set * held_sets(len(self.widths))
        return max(of_a_set, min(every, KEPT_BYTES))  # fewer users may be held out than there are


def plan_for(need: Need, limit: float) -> Need:
    """`need` with the fastest of PLANS that takes at most `limit` bytes; with the last where none does."""
    plans = [replace(need, plan=plan) for plan in PLANS]
    return next((each for each in plans if sum(each.total().values()) <= limit), plans[-1])


def columns_at_a_time(name: str, column_bytes: int) -> int:
    """Columns that are multiplied with the pairs together on the backend `name`, if one takes `column_bytes`."""
    wanted = CACHED_BYTES[name] // max(column_bytes, 1) // LEAST_COLUMNS * LEAST_COLUMNS
    return max(LEAST_COLUMNS, min(MOST_COLUMNS[name], wanted))
