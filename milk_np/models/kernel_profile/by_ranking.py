"""Choosing the noise and the whitening by how training items that are held out would be ranked.

Squared errors are content with much more noise than ranking is, and nearly blind to whitening. The noise is raised or
lowered for as long as that ranks better, whitening chosen only where it is clearly better than none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from milk_np.models.base import Floats
from milk_np.models.kernel_profile.choice import NOISES, ContentKernel

SWEEPS = 2
SURE = 2.0
"""Standard errors by which NDCG has to be better than without whitening. Users of a fold share its items, so that the
true error is larger than that."""
WORTH = 0.01
"""Share by which it has to be better: less may come from what folds and serving don't share, such as landmarks."""


class Ranker(Protocol):
    """What `milk_np.models.kernel_profile.held_out.HeldOut` knows."""

    def ndcg(self, kernel: ContentKernel) -> Floats:
        """Of every user in every fold."""


def choose_by_ranking(
    held_out: Ranker, kernel: ContentKernel, exponents: Sequence[Sequence[float]], *, noise: bool
) -> ContentKernel:
    """`kernel` with a whitening of each modality and, if it is free, a noise that rank better than their neighbours.

    `exponents` of each modality, in order, are those that may be chosen, `kernel`'s among them; of the noise they are
    NOISES. One setting is changed at a time.
    """
    known: dict[ContentKernel, Floats] = {}

    def ndcg(each: ContentKernel) -> Floats:
        if each not in known:
            known[each] = held_out.ndcg(each)
        return known[each]

    for _ in range(SWEEPS):
        before = kernel
        if noise:
            kernel = _peak(ndcg, [replace(kernel, noise=value) for value in NOISES], NOISES.index(kernel.noise))
        for m, values in enumerate(exponents):
            line = [_whitened(kernel, m, value) for value in values]
            candidate = _peak(ndcg, line, line.index(kernel))
            if clearly_more(ndcg(candidate), ndcg(kernel)):
                kernel = candidate
        if kernel == before:
            break
    return kernel


def _peak(ndcg: Callable[[ContentKernel], Floats], line: Sequence[ContentKernel], start: int) -> ContentKernel:
    """The first peak of `line` up from `start`, or down from it if nothing is gained upwards."""
    best = start
    for step in (1, -1):
        while 0 <= best + step < len(line) and ndcg(line[best + step]).sum() > ndcg(line[best]).sum():
            best += step
        if best != start:
            break
    return line[best]


def _whitened(kernel: ContentKernel, m: int, exponent: float) -> ContentKernel:
    return replace(kernel, whitening=(*kernel.whitening[:m], exponent, *kernel.whitening[m + 1 :]))


def clearly_more(values: Floats, others: Floats) -> bool:
    """Whether the mean of `values` (n,) is above that of `others` (n,) by WORTH and by SURE standard errors."""
    more = values - others
    return bool(len(more) and more.sum() > max(SURE * more.std() * np.sqrt(len(more)), WORTH * others.sum()))


def surely_no_less(values: Floats, others: Floats) -> bool:
    """Whether the mean of `values` (n,) is not below that of `others` (n,), and SURE standard errors lower it would be
    below by less than WORTH."""
    if not len(values):
        return False
    more = values - others
    least = more.sum() - SURE * more.std() * np.sqrt(len(more))
    return bool(more.sum() >= 0 and least >= -WORTH * others.sum())
