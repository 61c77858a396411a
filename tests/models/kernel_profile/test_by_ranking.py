"""Which noise and whitening are chosen, given how each kernel ranks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from milk_np.models.kernel_profile.by_ranking import SURE, WORTH, choose_by_ranking, clearly_more, surely_no_less
from milk_np.models.kernel_profile.choice import NOISES, ContentKernel

TRIED = (0.0, 0.5, 1.0)


class Told:
    """In place of held-out items: NDCG of nine users, all as `value` says of a kernel; counts what is asked."""

    def __init__(self, value: Callable[[ContentKernel], float], users: int = 9) -> None:
        self.value, self.users = value, users
        self.asked: list[ContentKernel] = []

    def ndcg(self, kernel: ContentKernel) -> np.ndarray:
        self.asked.append(kernel)
        return np.full(self.users, self.value(kernel))


def one(noise: float = 1.0, exponent: float = 0.0) -> ContentKernel:
    return ContentKernel(1.0, noise, (1.0,), (exponent,))


TWO = ContentKernel(1.0, 1.0, (0.5, 0.5), (0.0, 0.0))


@pytest.mark.parametrize(
    ("half", "whole", "expected"),
    [
        (1.2, 1.1, 0.5),
        (1.1, 1.2, 1.0),
        (1.005, 1.2, 1.0),
        (1.005, 1.005, 0.0),
        (0.99, 1.2, 0.0),  # what is worse in part isn't tried whole
    ],
)
def test_the_exponent_that_clearly_ranks_best_is_taken(half: float, whole: float, expected: float) -> None:
    told = Told(lambda kernel: {0.0: 1.0, 0.5: half, 1.0: whole}[kernel.whitening[0]])
    assert choose_by_ranking(told, one(), [TRIED], noise=False) == one(exponent=expected)


def test_one_modality_after_the_other() -> None:
    told = Told(lambda kernel: 1 + kernel.whitening[0] * (1 - kernel.whitening[0]) + np.prod(kernel.whitening))
    assert choose_by_ranking(told, TWO, [TRIED, TRIED], noise=False).whitening == (1.0, 1.0)
    told = Told(lambda kernel: 1 + kernel.whitening[1] - kernel.whitening[0])
    assert choose_by_ranking(told, TWO, [TRIED, TRIED], noise=False).whitening == (0.0, 1.0)


@pytest.mark.parametrize("start", NOISES)
@pytest.mark.parametrize("best", NOISES)
def test_the_noise_that_ranks_best_is_taken_however_little_it_is_better(start: float, best: float) -> None:
    told = Told(lambda kernel: 1 - 1e-5 * abs(np.log(kernel.noise / best)))
    assert choose_by_ranking(told, one(start), [TRIED], noise=True) == one(best)
    assert len(told.asked) == len(set(told.asked))


def test_of_two_peaks_the_nearer_upwards_is_taken() -> None:
    told = Told(lambda kernel: {0.03: 3.0, 0.1: 0.5, 0.3: 1.0, 1.0: 2.0, 3.0: 1.5}.get(kernel.noise, 4.0))
    assert choose_by_ranking(told, one(0.3), [TRIED], noise=True) == one(1.0)


def test_what_is_given_stays() -> None:
    told = Told(lambda kernel: 1 - kernel.noise + sum(kernel.whitening))
    kernel = one(noise=0.7, exponent=0.3)
    assert choose_by_ranking(told, kernel, [(0.3,)], noise=False) == kernel


def test_noise_is_looked_at_again_after_the_whitening() -> None:
    """Without whitening, a noise of 1 is best; whitened, one of 10."""
    told = Told(lambda kernel: 1 + kernel.whitening[0] - 0.1 * abs(np.log10(kernel.noise) - kernel.whitening[0]))
    assert choose_by_ranking(told, one(), [TRIED], noise=True) == one(10.0, 1.0)


def test_the_first_of_equals_stays_and_so_does_all_with_nobody_to_rank_for() -> None:
    for told in (Told(lambda _: 0.5), Told(lambda kernel: kernel.noise, users=0)):
        assert choose_by_ranking(told, TWO, [TRIED, TRIED], noise=True) == TWO


def test_clearly_more_is_beyond_chance_and_worth_it() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(400)
    noise = (noise - noise.mean()) / noise.std()
    others = np.full(400, 0.5)
    for errors in (-3, 0, SURE - 0.01, SURE + 0.01, 5):
        assert clearly_more(others + noise + errors / 20, others) == (errors > SURE)
    assert clearly_more(others * (1.01 * WORTH + 1), others)
    assert not clearly_more(others * (0.99 * WORTH + 1), others)
    assert not clearly_more(others, others)


def test_surely_no_less_can_exclude_a_loss_of_a_hundredth() -> None:
    noise = np.random.default_rng(0).standard_normal(400)
    noise = 0.2 * (noise - noise.mean()) / noise.std()
    others = np.full(400, 0.5)
    error = 0.2 / 20
    assert surely_no_less(others + noise + SURE * error, others)
    assert not surely_no_less(others + noise + (SURE - 0.51 * WORTH / error - 0.01) * error, others)
    assert surely_no_less(others + noise + (SURE - 0.49 * WORTH / error) * error, others)
    assert not surely_no_less(others - 1e-6, others)
    assert surely_no_less(others, others)
    assert not surely_no_less(np.zeros(0), np.zeros(0))
