"""Random numbers, dropout and switched rows: functions of seed, name and counters."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.nn import keyed
from milk_np.nn.dropout import dropout_backward, dropout_forward
from milk_np.nn.switch import choose_rows, switch_forward
from milk_np.rng import splitmix64, stream_key

RNG = np.random.default_rng(0)
GOLDEN = 0x9E3779B97F4A7C15


def test_words_are_the_generator_written_out():
    key = stream_key(3, "name", 1, 2)
    drawn = keyed.words(np, 5, 3, "name", 1, 2)
    assert [int(x) for x in drawn] == [splitmix64((key + k * GOLDEN) % 2**64) for k in range(5)]


def test_keyed_numbers_look_as_they_should():
    uniform = keyed.uniforms(np, 100_000, 0, "u")
    assert uniform.min() > 0
    assert uniform.max() < 1
    counts = np.histogram(uniform, 20, (0, 1))[0]
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    normal = keyed.normals(np, (100_000,), np.float64, 0, "n")
    assert scipy.stats.kstest(normal, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(normal[:50_000], normal[50_000:])[0, 1]) < 0.02
    assert keyed.normals(np, (3, 5), np.float32, 0, "n").dtype == np.float32
    assert keyed.normals(np, (0, 5), np.float32, 0, "n").shape == (0, 5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.1, 0.5, 0.9]), epoch=st.integers(0, 9))
def test_a_mask_depends_on_its_key_alone(seed, share, epoch):
    x = np.ones((40, 50), np.float32)
    first, cache = dropout_forward(x, share, seed, "h", epoch, 2)
    np.random.default_rng(seed).random(epoch)
    again, _ = dropout_forward(2 * x, share, seed, "h", epoch, 2)
    np.testing.assert_array_equal(2 * first, again)
    np.testing.assert_array_equal(dropout_backward(x, cache), first)
    for other in ((seed + 1, "h", epoch, 2), (seed, "g", epoch, 2), (seed, "h", epoch + 1, 2), (seed, "h", epoch, 3)):
        assert (dropout_forward(x, share, *other)[0] != first).any()
    assert (first > 0).mean() == pytest.approx(1 - share, abs=0.06)
    assert first.max() == pytest.approx(1 / (1 - share), rel=1e-3)


def test_no_dropout_is_the_array_itself():
    x = RNG.standard_normal((3, 4))
    out, cache = dropout_forward(x, 0.0, 0, "h")
    assert out is x
    assert dropout_backward(x, cache) is x


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 50), share=st.sampled_from([0.0, 0.3, 0.5, 1.0]), seed=st.integers(0, 2**32 - 1))
def test_exactly_so_many_rows_are_chosen(n, share, seed):
    mask = choose_rows(np, n, share, seed, "rows", 1)
    assert mask.sum() == int(share * n)
    np.testing.assert_array_equal(mask, choose_rows(np, n, share, seed, "rows", 1))


def test_every_row_is_chosen_equally_often():
    times = sum(choose_rows(np, 11, 0.5, 0, "rows", step).astype(int) for step in range(2000))
    assert abs(times / 2000 - 5 / 11).max() < 0.05


def test_rows_are_switched_bit_for_bit():
    a, b, mask = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3)), np.array([True, False, True, False])
    out = switch_forward(mask, a, b)[0]
    np.testing.assert_array_equal(out[mask], a[mask])
    np.testing.assert_array_equal(out[~mask], b[~mask])
    a[1] = np.nan  # what isn't read may hold anything
    assert np.isfinite(switch_forward(mask, a)[0]).all()
