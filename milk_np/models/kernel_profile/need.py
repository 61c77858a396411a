"""What the fit of a kernel profile needs of memory beside the data: what it holds throughout, and its largest step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from milk_np.models.kernel_profile.limits import CHOICE_ITEMS, HELD_ITEMS, HELD_LANDMARKS, HELD_USERS, MOST_SETS, TRIED
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.kernel_profile.spans import user_spans

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
KRYLOV_BLOCK = 16
"""Vectors that the search for the smoothing's directions multiplies at a time."""


@dataclass(frozen=True)
class Need:
    """Bytes of a fit with these sizes: U users, I items of which n are for training, P training pairs, widths D_m."""

    settings: KernelProfileSettings
    U: int
    n_items: int
    n: int
    P: int
    widths: Sequence[int]

    def total(self) -> dict[str, int]:
        """What is held throughout, and the step that needs most, by purpose."""
        steps = self.steps()
        largest = max(steps, key=lambda name: steps[name])
        return {**self.held(), largest: steps[largest]}

    def held(self) -> dict[str, int]:
        """Bytes that stay until the end."""
        return {
            "training pairs": 3 * _INT * self.P + 2 * _LONG * self.U + _LONG * self.n * len(self.spans),
            "smoothing": _FLOAT * self.n * (2 * self.settings.smoothing_rank + 1),
        }

    def steps(self) -> dict[str, int]:
        """Bytes of each step while it lasts."""
        r, L, M, rows = self.settings.smoothing_rank, self.landmarks, len(self.widths), min(self.n, BLOCK_ROWS["cpu"])
        block = _FLOAT * rows * ((M + 3) * L + 2 * max(self.widths))
        factors = (4 * self.sets + 6) * _DOUBLE * L**2
        history = _FLOAT * self.n_items * self.width if self.n_items * self.width <= MOST_IN_MEMORY else 0
        size = _DOUBLE if self.n <= PRECISE_ITEMS else _FLOAT
        return {
            "sorting pairs": (2 * _INT + _LONG + 2) * self.P,
            "directions of the smoothing": size * self.n * (3 * r + 6 * KRYLOV_BLOCK) + self._sparse(size),
            "held-out items": self._choice(),
            "similarities": min(COLUMN_BYTES["cpu"], _FLOAT * self.n * L) + self._sparse(_FLOAT) + block + factors,
            "vectors": history + block + factors,
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
        """Numbers of a vector."""
        return min(self.settings.profile_width, self.landmarks)

    @property
    def sets(self) -> int:
        """Sets of owned modalities."""
        every = int(2 ** len(self.widths)) - 1
        return every if every <= MOST_SETS else min(every, self.n_items + len(self.widths) + 1)

    def _sparse(self, size: int) -> int:
        """Of a product with the pairs: some columns of a span of users and of all items, and what spans add up to."""
        numbers = int(self.spans[0].stop) + self.n
        return size * (numbers * columns_at_a_time("cpu", size * numbers) + 3 * MOST_COLUMNS["cpu"] * self.n)

    def _choice(self) -> int:
        """Content of the items that are looked at, its whitenings, cosines and scores."""
        M, D, most = len(self.widths), sum(self.widths), max(self.widths)
        axes = (1 if self.settings.whitening else len(TRIED)) * sum(min(self.landmarks, d) * d for d in self.widths)
        content = _FLOAT * (min(self.n, HELD_ITEMS) * D + self.landmarks * (D + most) + axes + 3 * most**2)
        if self.settings.whitening and self.settings.kernel_noise:
            return content + (M + 4) * _DOUBLE * min(self.n, CHOICE_ITEMS) ** 2
        tried = 1 if self.settings.whitening else len(TRIED)
        landmarks, users = min(self.landmarks, HELD_LANDMARKS), min(self.U, HELD_USERS)
        each = most + (tried * M + M + 4) * landmarks + users
        return content + _FLOAT * min(self.n, HELD_ITEMS) * each


def columns_at_a_time(name: str, column_bytes: int) -> int:
    """Columns that are multiplied with the pairs together on the backend `name`, if one takes `column_bytes`."""
    wanted = CACHED_BYTES[name] // max(column_bytes, 1) // LEAST_COLUMNS * LEAST_COLUMNS
    return max(LEAST_COLUMNS, min(MOST_COLUMNS[name], wanted))
