"""The blocks of the library on the device: the same proofs as on the host, and the same numbers."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from gpu_cases import EMULATOR, ORDERS, counted, cupy, examples, gpu, home, put, thread_order
from hypothesis import given
from hypothesis import strategies as st
from nn_cases import BLOCKS, disagreements, of_module, run
from nn_sizes import REDUCTIONS, Sizes, library, planted
from two_tower import backward, forward, make_batch, make_tables

from milk_np.nn import graph, keyed
from milk_np.nn.adam import Adam, AdamRows
from milk_np.nn.dropout import dropout_forward
from milk_np.nn.embedding import embedding_backward_rows, embedding_forward, scatter_add
from milk_np.nn.several import Several
from milk_np.nn.sgd import SGD, Adagrad
from milk_np.nn.switch import choose_rows

pytestmark = pytest.mark.gpu
NN = library()
ON_DEVICE = {"put": put, "kernels": "gpu", "xp": cupy}

sizes = st.builds(
    Sizes,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    D=st.integers(1, 3),
    K=st.integers(1, 3),
    reduction=st.sampled_from(REDUCTIONS),
    full=st.booleans(),
    **{name: st.just(value) for name, value in ON_DEVICE.items()},
)


@pytest.mark.parametrize("name", BLOCKS)
@examples(4)
@given(sizes=sizes, order=st.sampled_from(ORDERS))
def test_gradients_are_those_of_finite_differences(name, sizes, order):
    with thread_order(order):
        assert disagreements(name, sizes, NN) == []


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 33])
def test_equals_the_host_and_keeps_the_type(name, dtype, n):
    mine, plain = run(name, Sizes(n=n, dtype=dtype, **ON_DEVICE), NN), run(name, Sizes(n=n, dtype=dtype), NN)
    tolerance = {np.float32: 1e-4, np.float64: 1e-12}[dtype]
    for a, b in zip((mine[0], *mine[2]), (plain[0], *plain[2]), strict=True):
        assert isinstance(a, cupy.ndarray)
        assert a.dtype == dtype
        np.testing.assert_allclose(home(a), b, tolerance, tolerance * max(1, abs(b).max(initial=0)))


def apart(x):
    """An array of the device whose numbers stand apart in memory."""
    store = cupy.zeros(tuple(2 * size for size in x.shape), x.dtype)
    view = store[(*(slice(None, None, 2) for _ in x.shape), ...)]
    view[...] = cupy.asarray(x)
    return view


@pytest.mark.parametrize("name", BLOCKS)
def test_inputs_may_be_not_contiguous(name):
    plain, other = run(name, Sizes(**ON_DEVICE), NN), run(name, Sizes(**ON_DEVICE), NN, apart)
    for a, b in zip((other[0], *other[2]), (plain[0], *plain[2]), strict=True):
        np.testing.assert_allclose(home(a), home(b), 1e-13, 1e-13)


@pytest.mark.parametrize("name", BLOCKS)
def test_no_gradient_in_none_out(name):
    variables, call = BLOCKS[name](NN, Sizes(**ON_DEVICE))
    out, back = call(*map(put, variables))
    gradients = back(cupy.zeros(out.shape))
    assert not any(g.any() for g in (gradients if isinstance(gradients, tuple | list) else (gradients,)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_do_not_depend_on_the_order_of_threads(dtype):
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(-1, 40, 500).astype(np.int32), rng.standard_normal((500, 7)).astype(dtype)
    matrix = Sizes().sparse(60, 500)
    expected = scatter_add(ids, rows, 40)
    product = graph.graph_forward(graph.make_graph(matrix, dtype), rows)[0]
    products = []
    for order in ORDERS:
        with thread_order(order):
            np.testing.assert_array_equal(home(scatter_add(put(ids), put(rows), 40)), expected)
            products.append(home(graph.graph_forward(graph.make_graph(matrix, dtype, cupy), put(rows))[0]))
    np.testing.assert_allclose(products[0], product, rtol=1e-4 if dtype == np.float32 else 1e-12)
    assert len({x.tobytes() for x in products}) == 1


def test_row_gradients_leave_rows_to_nobody():
    ids = np.array([3, 1, 3, -1, 1, 0], np.int32)
    rows = np.arange(12.0).reshape(6, 2)
    _, cache = embedding_forward(cupy.zeros((4, 2)), put(ids))
    gradient = embedding_backward_rows(put(rows), cache)
    kept, values = home(gradient.ids), home(gradient.values)
    assert (values[kept < 0] == 0).all()
    np.testing.assert_array_equal(kept[kept >= 0], [0, 1, 3])
    np.testing.assert_array_equal(values[kept >= 0], [rows[5], rows[1] + rows[4], rows[0] + rows[2]])


def test_masks_have_the_hosts_bits():
    x = np.ones((37, 11), np.float32)
    for key in ((0, "h", 1), (7, "rows", 2, 3)):
        np.testing.assert_array_equal(home(dropout_forward(put(x), 0.3, *key)[0]), dropout_forward(x, 0.3, *key)[0])
        np.testing.assert_array_equal(home(choose_rows(cupy, 37, 0.5, *key)), choose_rows(np, 37, 0.5, *key))
        np.testing.assert_array_equal(home(keyed.uniforms(cupy, 37, *key)), keyed.uniforms(np, 37, *key))
        normal = keyed.normals(np, (5, 7), np.float64, *key)
        np.testing.assert_allclose(home(keyed.normals(cupy, (5, 7), np.float64, *key)), normal, rtol=1e-12)


def make_optimisers(tables, kernels):
    names = list(tables)
    parts = ({name: tables[name] for name in part} for part in (names[:2], names[2:6], names[6:8], names[8:]))
    ids, layer, gate, experts = parts
    return Several({
        "ids": Adagrad(ids, 0.1),
        "layer": SGD(layer, 0.05, l2={"W": 1e-3}),
        "gate": Adam(gate, 0.01),
        "experts": Adam(experts, 0.01, kernels=kernels),
    })  # fmt: skip


def train(tables, optimisers, batches, xp):
    for step, batch in enumerate(batches):
        optimisers.step(backward(forward(tables, batch, step)[1]))
    return {name: x.get() if xp is cupy else x for name, x in tables.items()}


def test_a_net_trains_as_on_the_host_and_goes_on_from_its_state():
    import milk_np.kernels.cpu as cpu

    host, device = make_tables(), make_tables(xp=cupy)
    expected = train(host, make_optimisers(host, cpu), [make_batch(k) for k in range(6)], np)
    batches = [make_batch(k, xp=cupy) for k in range(6)]
    whole = train(device, make_optimisers(device, gpu), batches, cupy)
    for name, x in expected.items():
        np.testing.assert_allclose(whole[name], x, rtol=1e-8, atol=1e-10)
    first = make_tables(xp=cupy)
    optimisers = make_optimisers(first, gpu)
    for step in range(3):
        optimisers.step(backward(forward(first, batches[step], step)[1]))
    second = {name: x.copy() for name, x in first.items()}
    resumed = make_optimisers(second, gpu)
    resumed.load_state(optimisers.state())
    for step in range(3, 6):
        resumed.step(backward(forward(second, batches[step], step)[1]))
    assert {name: home(x).tobytes() for name, x in second.items()} == {name: x.tobytes() for name, x in whole.items()}


@pytest.mark.parametrize("rows", ["exact", "lazy"])
def test_adam_by_rows_equals_the_hosts(rows):
    import milk_np.kernels.reference as reference

    results = []
    for xp, kernels in ((np, reference), (cupy, gpu)):
        rng, table = np.random.default_rng(0), xp.asarray(np.random.default_rng(1).standard_normal((6, 3)))
        optimiser = AdamRows({"x": table}, 0.1, kernels, rows)
        for _ in range(6):
            ids = xp.asarray(rng.integers(0, 6, 3).astype(np.int32))
            _, cache = embedding_forward(table, ids)
            gradient = embedding_backward_rows(xp.asarray(rng.standard_normal((3, 3))), cache)
            optimiser.catch_up("x", gradient.ids)
            optimiser.step({"x": gradient})
        optimiser.catch_up("x")
        results.append(home(table) if xp is cupy else table)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-10)


@counted
def test_nothing_crosses_the_bus_in_a_step():
    tables, batch = make_tables(dtype=np.float32, xp=cupy), make_batch(dtype=np.float32, xp=cupy)
    optimisers = make_optimisers(tables, gpu)
    optimisers.step(backward(forward(tables, batch)[1]))
    EMULATOR.stats.reset()
    optimisers.step(backward(forward(tables, batch, 2)[1]))
    assert (EMULATOR.stats.h2d, EMULATOR.stats.d2h, EMULATOR.stats.sync) == (0, 0, 0)


PLANTED = [
    ("embedding", "row < 0 ? T(0) : table[row * width", "table[(row < 0 ? 0 : row) * width"),
    ("embedding", "ids[at - 1] != row", "ids[at - 1] == row"),
    ("embedding", "(at == 0 || ids", "(at != 0 && ids"),
    ("embedding", "t < count && ids[t] == row; ++t", "t < at + 1; ++t"),
    ("embedding", "rows[order[t] * width", "rows[t * width"),
    ("embedding", "(compact ? at : row)", "at"),
    ("embedding", "(compact ? at : row)", "row"),
    ("graph", "sum += weights[at] * x", "sum += x"),
    ("graph", "at < indptr[row + 1]", "at + 1 < indptr[row + 1]"),
    ("graph", "(long long)indices[at] * width + column", "(long long)indices[at] * width"),
]


def caught(name, trial):
    """Whether differences disagree, or the host does: a product that is wrong both ways has a right gradient."""
    mine, plain = run(name, trial, NN), run(name, Sizes(seed=trial.seed, n=trial.n), NN)
    return disagreements(name, trial, NN) or not np.allclose(home(mine[0]), plain[0])


@pytest.mark.parametrize(("module", "old", "new"), PLANTED)
def test_a_wrong_kernel_is_caught(module, old, new, monkeypatch):
    wrong = planted("device", old, new)
    monkeypatch.setattr(import_module(f"milk_np.nn.{module}"), "device", wrong)
    trials = [Sizes(seed=seed, n=n, **ON_DEVICE) for seed in range(4) for n in (2, 4)]
    assert any(caught(name, trial) for trial in trials for name in of_module(module))
