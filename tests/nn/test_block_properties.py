"""What losses and other blocks promise beside their gradients, and numbers far from 1."""

from __future__ import annotations

import numpy as np
import pytest
from nn_cases import BLOCKS, run
from nn_sizes import Sizes, library

from milk_np.errors import SettingsError
from milk_np.nn import contrastive
from milk_np.nn.activations import sigmoid, softplus_forward
from milk_np.nn.batch_norm import RunningStats
from milk_np.nn.dropout import dropout_forward
from milk_np.nn.experts import experts_forward
from milk_np.nn.losses import bpr_backward, bpr_forward
from milk_np.nn.row_norm import row_norm_forward
from milk_np.nn.softmax import softmax_forward
from milk_np.nn.switch import choose_rows

RNG = np.random.default_rng(0)
LOSSES = [
    name
    for name in BLOCKS
    if name.startswith(("losses", "contrastive", "gaussian")) and name != "gaussian.reparametrise"
]


@pytest.mark.parametrize("name", [name for name in BLOCKS if not name.startswith("gaussian")])
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_large_and_small_numbers_stay_finite(name, scale):
    out, _, gradients = run(name, Sizes(n=5, scale=scale, dtype=np.float32, kernels="cpu"), library())
    assert np.isfinite(out).all()
    assert all(np.isfinite(g).all() for g in gradients)


def test_logistic_functions_keep_their_digits():
    x = np.array([-80.0, -30.0, 0.0, 30.0, 800.0])
    np.testing.assert_allclose(
        sigmoid(x), [np.exp(-80), np.exp(-30) / (1 + np.exp(-30)), 0.5, 1 / (1 + np.exp(-30)), 1], rtol=1e-14
    )
    np.testing.assert_allclose(softplus_forward(x)[0][:2], np.exp(x[:2]), rtol=1e-12)
    loss, cache = bpr_forward(np.array([50.0, -1000.0]), "none")
    np.testing.assert_allclose(loss, [np.exp(-50), 1000], rtol=1e-12)
    np.testing.assert_allclose(bpr_backward(np.ones(2), cache), [-np.exp(-50), -1], rtol=1e-12)


def test_a_small_nce_keeps_its_digits():
    loss, cache = contrastive.nce_forward(np.array([[60.0, 0.0, 1.0]]))
    rest = np.exp(-60) + np.exp(-59)
    np.testing.assert_allclose(loss, rest, rtol=1e-12)
    np.testing.assert_allclose(contrastive.nce_backward(1.0, cache)[0], [-rest, np.exp(-60), np.exp(-59)], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nce_overwrites_scores_only_if_told_to(dtype):
    given = RNG.standard_normal((4, 5)).astype(dtype)
    loss, cache = contrastive.nce_forward(scores := given.copy(), 0.3, positive=2)
    np.testing.assert_array_equal(scores, given)
    again, other = contrastive.nce_forward(scores, 0.3, positive=2, overwrite=True)
    assert again == loss
    np.testing.assert_array_equal(contrastive.nce_backward(1.0, other), contrastive.nce_backward(1.0, cache))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nce_refuses_places_and_masks_outside(dtype):
    scores = np.zeros((3, 5), dtype)
    for place in (5, -6, np.array([0, 1, 7])):
        with pytest.raises(IndexError):
            contrastive.nce_forward(scores, positive=place)
    with pytest.raises((IndexError, ValueError)):
        contrastive.nce_forward(scores, mask=np.ones((3, 4), bool))


def test_nce_with_one_negative_is_bpr():
    scores = RNG.standard_normal((7, 2))
    np.testing.assert_allclose(contrastive.nce_forward(scores)[0], bpr_forward(scores[:, 0] - scores[:, 1])[0])


def test_nce_counts_what_it_is_told_to():
    scores, mask = RNG.standard_normal((4, 5)), np.zeros((4, 5), bool)
    kept = mask.copy()
    loss, cache = contrastive.nce_forward(scores, positive=2, mask=mask, reduction="none")
    assert (loss == 0).all()
    assert not contrastive.nce_backward(np.ones(4), cache).any()
    np.testing.assert_array_equal(mask, kept)
    mask[:, :3] = True
    part = contrastive.nce_forward(scores[:, :3], positive=2)[0]
    assert contrastive.nce_forward(scores, positive=2, mask=mask)[0] == pytest.approx(part)


def test_info_nce_within_is_micros_formula():
    a, b = (row_norm_forward(RNG.standard_normal((6, 3)))[0] for _ in range(2))
    across, inside = np.exp(a @ b.T / 0.5), np.exp(a @ a.T / 0.5)
    share = np.diag(across) / (across.sum(1) + inside.sum(1) - np.diag(inside))
    assert contrastive.info_nce_forward(a, b, 0.5, within=True)[0] == pytest.approx(-np.log(share).mean())


def test_uniformity_is_the_mean_over_pairs():
    x = RNG.standard_normal((5, 3))
    pairs = [np.exp(-2 * ((x[i] - x[j]) ** 2).sum()) for i in range(5) for j in range(i)]
    assert contrastive.uniformity_forward(x)[0] == pytest.approx(np.log(np.mean(pairs)))
    far, cache = contrastive.uniformity_forward(100 * x)  # where every e^-d is 0
    assert np.isfinite(far)
    assert np.isfinite(contrastive.uniformity_backward(1.0, cache)).all()


@pytest.mark.parametrize("weight", [0.5, np.float64(0.5), np.array(0.5)])
@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_of_a_loss_does_not_widen_its_gradient(name, weight):
    variables, call = BLOCKS[name](library(), Sizes(dtype=np.float32))
    _, back = call(*(x.astype(np.float32) for x in variables))
    gradients = back(weight)
    assert {g.dtype for g in (gradients if isinstance(gradients, tuple) else (gradients,))} == {np.dtype(np.float32)}


def test_softmax_over_nothing_is_zeros():
    x, mask = RNG.standard_normal((3, 4)), np.ones((3, 4), bool)
    mask[1] = False
    out = softmax_forward(x, mask)[0]
    assert (out[1] == 0).all()
    np.testing.assert_allclose(out[[0, 2]].sum(1), 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bpr_forward(np.ones(2), "average"), "reduction is 'average'"),
        (lambda: dropout_forward(np.ones(2), 1.0, 0, "h"), "rate of a dropout is 1.0"),
        (lambda: dropout_forward(np.ones(2), -0.1, 0, "h"), "rate of a dropout"),
        (lambda: choose_rows(np, 3, 1.5, 0, "h"), "share of rows"),
        (lambda: RunningStats.start(3, momentum=1.5), "momentum of a batch norm"),
        (lambda: RunningStats.start(3, eps=0.0), "eps of a batch norm"),
        (lambda: contrastive.nce_forward(np.ones((2, 2)), 0.0), "temperature is 0.0"),
        (lambda: experts_forward(*[np.ones((1, 1))] * 5, "relu"), "gate is 'relu'"),
    ],
)
def test_bad_settings_are_told(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
