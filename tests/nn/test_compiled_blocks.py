"""Blocks that hand float32 arrays of the host to a kernel: the same as the formulas, and proved by differences too."""

from __future__ import annotations

import numpy as np
import pytest
from nn_cases import disagreements, of_module, run
from nn_sizes import Sizes, library, planted

from milk_np.kernels import cpu
from milk_np.nn import arrays
from milk_np.nn.linear import Rows, linear_backward, linear_forward, whole
from milk_np.nn.sgd import SGD
from milk_np.nn.tower import Norm, first_layer, named, tower_backward, tower_forward

MODULES = ("batch_norm", "contrastive", "dropout", "penalty", "graph")


def of_any_type(*given):
    """Kernels take float64 as well, as differences need it."""
    return all(isinstance(x, np.ndarray) for x in given)


@pytest.fixture
def every_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in PLANTED:
        monkeypatch.setattr(f"milk_np.nn.{module}.compiled", of_any_type)


@pytest.mark.parametrize("name", [name for module in MODULES for name in of_module(module)])
@pytest.mark.parametrize("seed", range(4))
def test_single_precision_agrees_with_double(name, seed):
    mine, exact = (run(name, Sizes(seed, n=5, dtype=dtype, kernels="cpu"), library()) for dtype in (np.float32, float))
    np.testing.assert_allclose(mine[0], exact[0], 1e-4, 1e-5)
    for a, b in zip(mine[2], exact[2], strict=True):
        np.testing.assert_allclose(a, b, 1e-3, 1e-4)


@pytest.mark.parametrize("name", [name for module in MODULES for name in of_module(module)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("every_type")
def test_gradients_of_the_kernels_are_those_of_finite_differences(name, seed):
    assert disagreements(name, Sizes(seed, kernels="cpu"), library()) == []


PLANTED = {
    "batch_norm": [
        ("return dx, None if gamma is None else dgamma,", "return -dx, None if gamma is None else dgamma,"),
        ("return dx, None if gamma is None else dgamma,", "return dx, None if gamma is None else 2 * dgamma,"),
        ("dgamma, dbeta if shifted", "dgamma, dgamma if shifted"),
        ("np.ones(len(inverse), unit.dtype) if gamma is None else gamma", "np.ones(len(inverse), unit.dtype)"),
    ],
    "contrastive": [("values = _compiled(scores,", "values = _compiled(2 * scores,")],
    "dropout": [("host_kernels().mask_numbers(*drawn, x, out)", "host_kernels().mask_numbers(*drawn, abs(x), out)")],
    "penalty": [("add_penalty(table, gradient, weight)", "add_penalty(table, gradient, weight / 2)")],
}


@pytest.mark.parametrize(("module", "old", "new"), [(m, *pair) for m, pairs in PLANTED.items() for pair in pairs])
def test_a_wrong_call_is_caught(module, old, new):
    wrong = planted(module, old, new)
    wrong.compiled = of_any_type
    nn = library(**{module: wrong})
    trials = [Sizes(seed, n=n, kernels="cpu") for seed in (0, 1, 3) for n in (2, 3)]
    assert any(disagreements(name, sizes, nn) for sizes in trials for name in of_module(module))


# Rows of a table


def content(dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.standard_normal((9, 6)).astype(dtype), np.array([4, 4, 0, 7, 4, 0], np.int32)


def test_rows_are_the_array_of_them():
    x, ids = content()
    W = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    rows = Rows.of(cpu, whole(x), ids)
    np.testing.assert_array_equal(rows.dense(), x[ids])
    assert len(rows.ids) == 3
    np.testing.assert_allclose(linear_forward(rows, W)[0], x[ids] @ W, 1e-5, 1e-6)
    np.testing.assert_array_equal(Rows.whole(cpu, x).dense(), x)


def tower(rng, D, H, K):
    shapes = {"W1": (D, H), "b1": (H,), "gamma": (H,), "beta": (H,), "W2": (H, K), "b2": (K,)}
    tables = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    tables |= {"mean": np.zeros(H, np.float32), "var": np.ones(H, np.float32)}
    return dict(zip(named("t", *tables), tables.values(), strict=True))


def test_a_tower_of_rows_parts_and_copies_is_the_plain_tower():
    rng, (x, ids) = np.random.default_rng(2), content()
    v = rng.standard_normal((len(ids), 2)).astype(np.float32)
    tables = tower(rng, 8, 4, 3)
    plain, of_plain = tower_forward(tables, "t", np.hstack([v, x[ids]]), Norm(), train=True)
    given = first_layer(tables, "t", [v, Rows.of(cpu, whole(x), ids)])
    out, cache = tower_forward(tables, "t", given, Norm(), train=True, copies=2)
    np.testing.assert_allclose(out, np.concatenate([plain, plain]), 1e-4, 1e-5)
    dout = rng.standard_normal(plain.shape).astype(np.float32)
    dx, gradients = tower_backward(np.concatenate([dout, dout]), cache)
    expected, theirs = tower_backward(2 * dout, of_plain)
    np.testing.assert_allclose(dx, expected[:, :2], 1e-3, 1e-4)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, theirs[name], 1e-3, 1e-4, err_msg=name)


def test_large_products_are_those_of_blas(monkeypatch):
    monkeypatch.setattr("milk_np.nn.linear.LARGE", 1)
    rng = np.random.default_rng(4)
    x, W, dout = (rng.standard_normal(shape).astype(np.float32) for shape in ((70, 30), (30, 33), (70, 33)))
    for given in (x, np.asfortranarray(x), np.hstack([x, x])[:, :30]):
        out, cache = linear_forward(given, W)
        dx, dW, _ = linear_backward(dout, cache)
        for mine, exact in ((out, x @ W), (dx, dout @ W.T), (dW, x.T @ dout)):
            np.testing.assert_allclose(mine, exact, 1e-4, 1e-5)


def test_momentum_in_one_pass_is_the_formula():
    rng = np.random.default_rng(3)
    table, gradient = (rng.standard_normal((5, 3)) for _ in range(2))
    single = {"W": table.astype(np.float32)}
    double = {"W": table.copy()}
    for tables in (single, double):
        descent = SGD(tables, 0.1)
        for _ in range(4):
            descent.step({"W": gradient.astype(tables["W"].dtype)})
    np.testing.assert_allclose(single["W"], double["W"], 1e-5, 1e-6)


def test_kernels_are_for_single_precision_on_the_host():
    assert arrays.compiled(np.zeros(2, np.float32), np.zeros(2, np.float32))
    assert not arrays.compiled(np.zeros(2, np.float32), np.zeros(2))
