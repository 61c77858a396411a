"""MARec: an item-item regression on clicks, aligned with similarities of content.

Monteil, Vaskovych, Lu, Majumder and van den Hengel, *MARec: Metadata Alignment for cold-start Recommendation*, RecSys
2024 (arXiv 2404.13298), with EASE as the backbone, in closed form. Per modality m, G_m (n, n) has the cosines of the
training items' content, zero on the diagonal. Weights mu of the modalities come from a weighted least squares with an
intercept over all pairs,

    sum_{u, i} v_ui (r_ui - mu_0 - sum_m mu_m (R G_m)_ui)^2,      v = 1 for a training pair, UNSEEN else,

and the column b of a new item minimises the backbone's loss with the alignment of weight beta

    |0 - R b|^2 + beta |aligned - R b|^2 + lambda |b|^2,          aligned = R g, g = sum_m mu_m cos(x^m, items),

where 0 is its column of clicks. Up to a factor that all new items share, b = (R^T R + penalty I)^-1 R^T R g with
penalty = lambda / (1 + beta), the one number that decides a ranking.

user u:    p_u marks their training items
new item:  z = (R^T R + penalty I)^-1 R^T R g                     (n,)
score:     p_u . z

Departures: the authors' program inverts one matrix for all columns, in which the alignment of rarely chosen training
items stands too: it isn't the minimum of the objective for any column, and is left out; columns of training items,
with EASE's zero diagonal, aren't needed for new items. Features are dense, so that cosines aren't shrunk by a constant,
which mu would absorb for rows of unit length. Where an item lacks modalities, `modality_scale` "owned" divides g by the
share of mu that it owns; the paper has no missing modalities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from milk_np.data.rows import unit_rows
from milk_np.models.base import Floats, Vectors
from milk_np.models.closed_form.base import ClosedForm, Sparse, Training
from milk_np.models.closed_form.marec_signature import MarecSignature
from milk_np.models.stored import Arrays

UNSEEN = 0.2
"""Weight of a user and an item that are no pair, in the least squares for mu; the authors'."""
_USERS = 512


class Marec(MarecSignature, ClosedForm):
    """Settings: `marec_penalty`, `modality_scale`, `content`, `impute`. Vectors are as wide as there are training
    items, n, and a fit holds a few matrices of n times n."""

    name: ClassVar[str] = "marec"
    parameters: ClassVar[tuple[str, ...]] = ("known", "smoother", "mu", "widths")

    def _learn(self, data: Training) -> Arrays:
        known = _unit_parts(data.X, data.widths)
        mu = modality_weights(data.R, [_cosines(x) for x in known])
        clicks = (data.R.T @ data.R).toarray()
        system = clicks + self.settings.marec_penalty * np.eye(len(clicks))
        smoother = cho_solve(cho_factor(system, lower=True, overwrite_a=True), clicks)
        return {
            "known": np.hstack(known),
            "smoother": np.ascontiguousarray(smoother.T, np.float32),
            "mu": mu,
            "widths": np.array(data.widths, np.int64),
        }

    def _encode(self, rows: Vectors) -> Vectors:
        widths, mu = self._arrays["widths"].tolist(), self._arrays["mu"]
        parts, known = _unit_parts(rows, widths), _parts(self._arrays["known"], widths)
        g = np.zeros((len(rows), len(known[0])), np.float32)
        share = np.zeros(len(rows))
        for x, items, weight in zip(parts, known, mu[1:], strict=True):
            g += np.float32(weight) * (x @ items.T)
            share += np.abs(weight) * x.any(axis=1)
        if self.settings.modality_scale == "owned":
            g *= (np.abs(mu[1:]).sum() / np.where(share > 0, share, 1))[:, None].astype(np.float32)
        out: Vectors = g @ self._arrays["smoother"]
        return out

    def _describe(self, pairs: Sparse) -> Vectors:
        out: Vectors = pairs.toarray().astype(np.float32)
        return out


def modality_weights(R: Sparse, cosines: Sequence[Floats]) -> Floats:
    """The intercept and the weight of each modality, (1 + M,), by least squares over all users and training items."""
    M = len(cosines)
    system, right = np.zeros((M + 1, M + 1)), np.zeros(M + 1)
    for start in range(0, R.shape[0], _USERS):
        chosen = R[start : start + _USERS].toarray()
        v = UNSEEN + (1 - UNSEEN) * chosen
        z = np.stack([np.ones_like(chosen), *(chosen @ G for G in cosines)])
        system += np.einsum("aui,bui->ab", z * v, z, optimize=True)
        right += np.einsum("aui,ui->a", z, v * chosen, optimize=True)
    mu: Floats = np.asarray(np.linalg.lstsq(system, right, rcond=None)[0], np.float64)
    return mu


def _cosines(x: Vectors) -> Floats:
    G: Floats = (x @ x.T).astype(np.float64)
    np.fill_diagonal(G, 0)
    return G


def _parts(rows: Vectors, widths: Sequence[int]) -> list[Vectors]:
    return np.split(rows, np.cumsum(widths)[:-1], axis=1)


def _unit_parts(rows: Vectors, widths: Sequence[int]) -> list[Vectors]:
    """The modalities' rows, of unit length whatever the content; a missing one stays zero."""
    return [unit_rows(part) for part in _parts(rows, widths)]
