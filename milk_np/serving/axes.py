"""Balanced axes: other coordinates of users' and items' vectors, of the same scores, those that tell most first.

With G_u = H H^T the mean of the users' p p^T / |p|^2 and G_z that of the items' z z^T, the scores are best approached
at any width by the first eigenvectors Q of H^T G_z H: the singular vectors of the matrix of scores.
Users become p H^-T Q S, items z H Q S^-1, whose dot products are p . z. S, the fourth root of the eigenvalues, makes
both sides as long along each axis: what is cut off, or bounded by lengths, is least then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from milk_np.data.rows import precise_unit_rows
from milk_np.kernels.cpu.lapack import mirror
from milk_np.kernels.cpu.tasks import row_parts, side_by_side

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

FLOOR = 1e-8
"""Share of the mean axis that is added to each axis of the users: what nobody in the sample has may be somebody's
tomorrow, and must not be divided by 0."""
LEAST = 1e-14
"""Squares of the scores along an axis count as at least this share of those along the first; less is rounding."""

TASK_ROWS, TASK_COLUMNS = 512, 128
"""Vectors that a thread turns at a time, and columns of their products that it sums."""


@dataclass(frozen=True, eq=False)
class BalancedAxes:
    """Linear maps of vectors of K numbers to r <= K: scores stay as they are at r = K, up to rounding."""

    users: Floats
    """(K, r)."""
    items: Floats
    """(K, r)."""
    strength: Floats
    """(r,) root mean square of the scores along each axis, for users of unit length; descending."""

    @classmethod
    def of(cls, users: Iterable[Vectors], items: Iterable[Vectors]) -> Self:
        """Axes for the vectors of a sample of users and of items, both in blocks (n, K)."""
        G_u, G_z = second_moment(users, unit=True), second_moment(items)
        G_u[np.diag_indices_from(G_u)] += FLOOR * np.trace(G_u) / len(G_u) or 1.0
        H = linalg.cholesky(G_u, lower=True)
        values, Q = linalg.eigh(H.T @ G_z @ H)
        values, Q = np.maximum(values[::-1], 0), Q[:, ::-1]
        scale = np.maximum(values, LEAST * values[:1]) ** 0.25 if values[0] > 0 else np.ones_like(values)
        return cls(linalg.solve_triangular(H, Q, lower=True, trans="T") * scale, H @ Q / scale, np.sqrt(values))

    def cut(self, width: int) -> BalancedAxes:
        """The first `width` axes, or all where there are fewer."""
        return BalancedAxes(self.users[:, :width], self.items[:, :width], self.strength[:width])


def second_moment(blocks: Iterable[Vectors], unit: bool = False) -> Floats:
    """Mean of x x^T (K, K) over the rows of `blocks` (n, K), of unit length if `unit`; summed in float64."""
    total, count = np.zeros((0, 0)), 0
    for rows in blocks:
        total = np.zeros((rows.shape[1],) * 2) if count == 0 else total
        _add_squares(precise_unit_rows(rows) if unit else rows.astype(np.float64), total)
        count += len(rows)
    mirror(total)
    total /= max(count, 1)
    return total


def _add_squares(rows: Floats, total: Floats) -> None:
    """Add the lower triangle of rows^T rows to that of `total` (K, K)."""

    def part(columns: slice) -> None:
        total[columns.start :, columns] += rows[:, columns.start :].T @ rows[:, columns]

    side_by_side(part, row_parts(len(total), TASK_COLUMNS))


def turned(rows: NDArray[Any], axes: Floats, out: NDArray[np.float32] | None = None) -> Vectors:
    """`rows` (n, K) times `axes` (K, r) in float64, some rows at a time, as float32; in `out` (n, r) if it is given."""
    out = np.empty((len(rows), axes.shape[1]), np.float32) if out is None else out

    def part(block: slice) -> None:
        out[block] = rows[block].astype(np.float64) @ axes

    side_by_side(part, row_parts(len(rows), TASK_ROWS))
    return out
