"""What blocks return, against formulas written out: finite differences say nothing of a forward pass that is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from nn_cases import BLOCKS
from nn_sizes import Sizes, library, planted

from milk_np.kernels import cpu, reference
from milk_np.nn.batch_norm import RunningStats, batch_norm_forward
from milk_np.nn.dropout import dropout_forward
from milk_np.nn.embedding import embedding_forward
from milk_np.nn.keyed import lanes
from milk_np.nn.linear import linear_rows_backward, linear_rows_forward


def softplus(x):
    return np.log1p(np.exp(x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def experts(x, W_gate, b_gate, W, b, gate):
    gates = np.array([gate(row @ W_gate + b_gate) for row in x])
    return sum(gates[:, p, None] * np.tanh(x @ W[p] + b[p]) for p in range(len(W)))


def fusion(parts, W, b, query):
    scores = np.tanh(parts @ W + b) @ query
    return np.array([softmax(scores[:, t]) @ parts[:, t] for t in range(parts.shape[1])])


def kl(mean, logvar, prior_mean, prior_logvar):
    """By quadrature: the divergence of every number is an integral over its density."""
    total, points = 0.0, np.linspace(-12, 12, 4001)
    for m, v, c, w in zip(*(x.ravel() for x in (mean, logvar, prior_mean, prior_logvar)), strict=True):
        at = m + points * np.exp(v / 2)
        p, q = scipy.stats.norm(m, np.exp(v / 2)), scipy.stats.norm(c, np.exp(w / 2))
        total += np.trapezoid(p.pdf(at) * (p.logpdf(at) - q.logpdf(at)), at)
    return total / len(mean)


def nce(scores):
    return np.mean([-np.log(softmax(row / 0.7)[0]) for row in scores])


VALUES = {
    "linear.linear": lambda x, W, b: np.array([[row @ column for column in W.T] + b for row in x]),
    "linear.linear_without_bias": lambda x, W: np.array([[row @ column for column in W.T] for row in x]),
    "linear.concat": lambda *parts: np.array([np.concatenate(rows) for rows in zip(*parts, strict=True)]),
    "activations.tanh": lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
    "activations.sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "activations.softplus": softplus,
    "activations.leaky_relu": lambda x: np.maximum(x, 0) + 0.01 * np.minimum(x, 0),
    "margins.row_dot": lambda a, b: np.array([x @ y for x, y in zip(a, b, strict=True)]),
    "margins.margin": lambda u, i, j: np.array([x @ y - x @ z for x, y, z in zip(u, i, j, strict=True)]),
    "margins.candidate_dot": lambda q, c: np.array([[x @ y for y in rows] for x, rows in zip(q, c, strict=True)]),
    "margins.all_dot": lambda a, b: np.array([[x @ y for y in b] for x in a]),
    "losses.bpr": lambda margin: np.mean(softplus(-margin)),
    "losses.squared_error": lambda a, b: np.mean((a - b) ** 2),
    "losses.absolute_error": lambda a, b: np.mean(np.abs(a - b)),
    "losses.squared_norm": lambda x: np.mean([row @ row for row in x]),
    "losses.norm": lambda x: np.mean([np.linalg.norm(row) for row in x]),
    "losses.variance": lambda x: np.var(x, ddof=1),
    "losses.softmax_kl": lambda x, target: np.mean([
        scipy.stats.entropy(softmax(b), softmax(a)) for a, b in zip(x, target, strict=True)
    ]),
    "softmax.softmax_of_columns": lambda x: np.array([softmax(column) for column in x.T]).T,
    "softmax.mix": lambda shares, parts: np.array([shares[t] @ parts[:, t] for t in range(len(shares))]),
    "contrastive.nce": nce,
    "gaussian.gaussian_kl": kl,
    "gaussian.standard_kl": lambda m, v: kl(m, v, np.zeros_like(m), np.zeros_like(v)),
    "experts.experts_softmax": lambda *five: experts(*five, softmax),
    "experts.experts_tanh": lambda *five: experts(*five, np.tanh),
    "fusion.fusion": fusion,
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_formula(name, seed):
    variables, call = BLOCKS[name](library(), Sizes(seed=seed, n=5, D=3, K=4))
    np.testing.assert_allclose(call(*variables)[0], VALUES[name](*variables), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["bpr", "squared_error", "squared_norm", "softmax_kl"])
def test_reductions(name):
    out = {}
    for reduction in ("mean", "sum", "none"):
        variables, call = BLOCKS[f"losses.{name}"](library(), Sizes(reduction=reduction))
        out[reduction] = call(*variables)[0]
    assert out["mean"] == pytest.approx(out["none"].mean())
    assert out["sum"] == pytest.approx(out["none"].sum())


def test_a_wrong_forward_pass_has_a_right_gradient_and_is_seen_here():
    wrong = planted(
        "gaussian",
        "prior_logvar), xp.exp(-prior_logvar), mean - prior_mean",
        "prior_logvar), xp.exp(-prior_logvar), mean + prior_mean",
    )
    variables, call = BLOCKS["gaussian.gaussian_kl"](library(gaussian=wrong), Sizes())
    assert call(*variables)[0] != pytest.approx(kl(*variables))


def test_batch_norm():
    rng = np.random.default_rng(0)
    x, gamma, beta = rng.standard_normal((6, 3)), rng.standard_normal(3), rng.standard_normal(3)
    running = RunningStats(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), eps=0.1)
    expected = gamma * (x - running.mean) / np.sqrt(running.var + 0.1) + beta
    np.testing.assert_allclose(batch_norm_forward(x, gamma, beta, running, train=False)[0], expected)
    expected = gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + 0.1) + beta
    np.testing.assert_allclose(batch_norm_forward(x, gamma, beta, running, train=True)[0], expected)


def test_dropout_keeps_what_its_numbers_say():
    x = np.random.default_rng(0).standard_normal((5, 7))
    kept = lanes(np, 35, 3, "h", 1).reshape(5, 7) < 49152
    np.testing.assert_allclose(dropout_forward(x, 0.25, 3, "h", 1)[0], np.where(kept, x / 0.75, 0))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_ids_may_be_of_any_kind(dtype):
    table, ids = np.random.default_rng(0).standard_normal((6, 3)), np.repeat(np.array([5, 0, 5, 2], dtype), 2)[::2]
    ids.flags.writeable = False
    out, cache = embedding_forward(table, ids)
    np.testing.assert_array_equal(out, table[[5, 0, 5, 2]])
    summed = library().embedding.embedding_backward(out, cache)
    np.testing.assert_array_equal(summed[[5, 0, 2]], [2 * table[5], table[0], table[2]])


@pytest.mark.parametrize("kernels", [reference, cpu])
def test_rows_of_a_virtual_table(kernels):
    rng = np.random.default_rng(0)
    raw, fill, scale = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 5), (1, 5), 3))
    source, ids = np.array([0, ~0, 2], np.int32), np.array([1, 2, 1], np.int32)
    W, b, dout = rng.standard_normal((5, 4)), rng.standard_normal(4), rng.standard_normal((3, 4))
    x = (scale[:, None].astype(float) * np.array([raw[0], fill[0], raw[2]]))[ids]
    out, cache = linear_rows_forward(kernels, (raw, fill, source, scale), ids, W, b)
    np.testing.assert_allclose(out, x @ W + b)
    dW, db = linear_rows_backward(dout, cache)
    np.testing.assert_allclose(dW, x.T @ dout)
    np.testing.assert_allclose(db, dout.sum(0))
