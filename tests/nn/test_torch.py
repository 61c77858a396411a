"""A second opinion on some blocks and all optimisers from PyTorch, where it is installed: `pip install -e .[bench]`."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from nn_cases import BLOCKS
from nn_sizes import Sizes, library

from milk_np.kernels import reference
from milk_np.nn import schedules
from milk_np.nn.adam import Adam, AdamRows
from milk_np.nn.batch_norm import RunningStats, batch_norm_backward, batch_norm_forward
from milk_np.nn.embedding import RowGradient
from milk_np.nn.sgd import SGD, Adagrad

if find_spec("torch") is None:
    pytest.skip("PyTorch is not installed, so nothing is compared with it", allow_module_level=True)

import torch
from torch.nn import functional


def normalised_nce(a, b):
    return functional.cross_entropy(a @ b.T / 0.5, torch.arange(len(a)))


def kl(mean, logvar, prior_mean, prior_logvar):
    posterior, prior = (
        torch.distributions.Normal(m, torch.exp(v / 2)) for m, v in ((mean, logvar), (prior_mean, prior_logvar))
    )
    return torch.distributions.kl_divergence(posterior, prior).sum(1).mean()


def experts(x, W_gate, b_gate, W, b):
    gates = torch.softmax(x @ W_gate + b_gate, 1)
    return sum(gates[:, p, None] * torch.tanh(x @ W[p] + b[p]) for p in range(len(W)))


def fusion(parts, W, b, query):
    weights = torch.softmax(torch.tanh(parts @ W + b) @ query, 0)
    return (weights[..., None] * parts).sum(0)


def uniformity(x):
    return torch.pdist(x).pow(2).mul(-1.5).exp().mean().log()


THEIRS = {
    "linear.linear": lambda x, W, b: functional.linear(x, W.T, b),
    "activations.leaky_relu": functional.leaky_relu,
    "activations.softplus": functional.softplus,
    "losses.bpr": lambda margin: -functional.logsigmoid(margin).mean(),
    "losses.squared_error": functional.mse_loss,
    "losses.absolute_error": functional.l1_loss,
    "losses.norm": lambda x: x.norm(dim=1).mean(),
    "losses.variance": torch.var,
    "losses.softmax_kl": lambda x, target: functional.kl_div(
        x.log_softmax(1), target.log_softmax(1), log_target=True, reduction="batchmean"
    ),
    "contrastive.nce": lambda s: functional.cross_entropy(s / 0.7, torch.zeros(len(s), dtype=torch.long)),
    "contrastive.info_nce": normalised_nce,
    "contrastive.uniformity": uniformity,
    "gaussian.gaussian_kl": kl,
    "experts.experts_softmax": experts,
    "fusion.fusion": fusion,
}


@pytest.mark.parametrize("name", THEIRS)
def test_value_and_gradients(name):
    variables, call = BLOCKS[name](library(), Sizes(n=6, D=4, K=5))
    out, back = call(*variables)
    inputs = [torch.tensor(x, requires_grad=True) for x in variables]
    theirs = THEIRS[name](*inputs)
    dout = np.random.default_rng(0).standard_normal(out.shape)
    theirs.backward(torch.tensor(dout))
    np.testing.assert_allclose(out, theirs.detach().numpy(), rtol=1e-10)
    gradients = back(dout)
    for mine, x in zip(gradients if isinstance(gradients, tuple) else (gradients,), inputs, strict=True):
        np.testing.assert_allclose(mine, x.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_batch_norm():
    rng, layer = np.random.default_rng(0), torch.nn.BatchNorm1d(3, dtype=torch.float64)
    running = RunningStats.start(3, np.float64)
    for train in (True, True, False):
        x, dout = rng.standard_normal((7, 3)), rng.standard_normal((7, 3))
        layer.train(train)
        theirs_in = torch.tensor(x, requires_grad=True)
        theirs = layer(theirs_in)
        layer.zero_grad()
        theirs.backward(torch.tensor(dout))
        out, cache = batch_norm_forward(x, np.ones(3), np.zeros(3), running, train=train)
        dx, dgamma, dbeta = batch_norm_backward(dout, cache)
        pairs = (out, theirs), (dx, theirs_in.grad), (dgamma, layer.weight.grad), (dbeta, layer.bias.grad)
        for mine, its in (*pairs, (running.mean, layer.running_mean), (running.var, layer.running_var)):
            np.testing.assert_allclose(mine, its.detach().numpy(), rtol=1e-10, atol=1e-12)


OPTIMISERS = {
    "adam": (Adam, torch.optim.Adam, {}),
    "momentum": (SGD, torch.optim.SGD, {"momentum": 0.9}),
    "adagrad": (Adagrad, torch.optim.Adagrad, {}),
}


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_ten_steps_with_a_schedule(name, l2):
    mine, theirs, options = OPTIMISERS[name]
    start = np.random.default_rng(0).standard_normal((4, 3))
    table, other = start.copy(), torch.tensor(start.copy(), requires_grad=True)
    optimiser = mine({"x": table}, schedules.exponential(0.1, 0.9, 1), l2=l2)
    its = theirs([other], lr=0.1, weight_decay=l2, **options)
    falls = torch.optim.lr_scheduler.ExponentialLR(its, 0.9)
    for k in range(10):
        g = np.random.default_rng(k).standard_normal((4, 3))
        optimiser.step({"x": g})
        other.grad = torch.tensor(g)
        its.step()
        falls.step()
    np.testing.assert_allclose(table, other.detach().numpy(), rtol=1e-9)


def test_lazy_rows_are_sparse_adam():
    table, other = np.ones((4, 2)), torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    optimiser, its = AdamRows({"x": table}, 0.1, reference, "lazy"), torch.optim.SparseAdam([other], lr=0.1)
    for k in range(10):
        rng = np.random.default_rng(k)
        ids, g = np.unique(rng.integers(0, 4, 2)), rng.standard_normal((2, 2))
        g = g[: len(ids)]
        optimiser.step({"x": RowGradient(ids.astype(np.int32), g)})
        other.grad = torch.sparse_coo_tensor(ids[None], g, (4, 2), check_invariants=False)
        its.step()
    np.testing.assert_allclose(table, other.detach().numpy(), rtol=1e-5)  # it adds eps before the bias correction
