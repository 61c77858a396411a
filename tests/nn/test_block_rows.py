"""Rows of tables, norms and graphs: what they promise beside their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.nn import graph
from milk_np.nn.batch_norm import RunningStats, batch_norm_forward
from milk_np.nn.embedding import embedding_backward_rows, embedding_forward, scatter_add
from milk_np.nn.row_norm import row_norm_backward, row_norm_forward

RNG = np.random.default_rng(0)


def test_running_statistics_by_both_conventions():
    x = RNG.standard_normal((6, 3))
    for unbiased, ddof in ((True, 1), (False, 0)):
        running = RunningStats.start(3, np.float64, momentum=0.1, unbiased=unbiased)
        batch_norm_forward(x, None, None, running, train=True)
        np.testing.assert_allclose(running.mean, 0.1 * x.mean(0))
        np.testing.assert_allclose(running.var, 0.9 + 0.1 * x.var(0, ddof=ddof))


def test_running_statistics_serve_evaluation_and_stand_still_there():
    x, running = RNG.standard_normal((6, 3)), RunningStats.start(3, np.float64, momentum=1.0, unbiased=False)
    trained = batch_norm_forward(x, None, None, running, train=True)[0]
    kept = running.mean.copy(), running.var.copy()
    np.testing.assert_allclose(batch_norm_forward(x, None, None, running, train=False)[0], trained)
    np.testing.assert_array_equal(kept, (running.mean, running.var))
    one = batch_norm_forward(x[:1], None, np.ones(3), RunningStats.start(3, np.float64), train=True)[0]
    np.testing.assert_array_equal(one, np.ones((1, 3)))
    batch_norm_forward(x[:0], None, None, running, train=True)
    np.testing.assert_array_equal(kept, (running.mean, running.var))


def test_rows_without_direction_are_zeros_and_others_unit():
    x = np.array([[3e30, 4e30], [0, 0], [3e-11, 4e-11], [3e-14, 4e-14]], np.float32)
    out, cache = row_norm_forward(x)
    np.testing.assert_allclose(out, [[0.6, 0.8], [0, 0], [0.6, 0.8], [0, 0]], rtol=1e-6)
    assert not row_norm_backward(np.ones_like(x), cache)[[1, 3]].any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 30), R=st.integers(1, 6), dtype=st.sampled_from(["f4", "f8"]))
def test_rows_are_added_in_their_order(seed, n, R, dtype):
    rng = np.random.default_rng(seed)
    ids, rows = rng.integers(-1, R, n), rng.standard_normal((n, 3)).astype(dtype)
    expected = np.zeros((R, 3), dtype)
    for k in range(n):
        if ids[k] >= 0:
            expected[ids[k]] += rows[k]
    np.testing.assert_array_equal(scatter_add(ids, rows, R), expected)
    _, cache = embedding_forward(np.zeros((R, 3), dtype), ids)
    gradient = embedding_backward_rows(rows, cache)
    np.testing.assert_array_equal(gradient.ids, np.unique(ids[ids >= 0]))
    np.testing.assert_array_equal(gradient.values, expected[gradient.ids])


def test_nobody_reads_zeros():
    out, _ = embedding_forward(np.ones((3, 2)), np.array([0, -1, 2]))
    np.testing.assert_array_equal(out[:, 0], [1, 0, 1])


def test_graphs_are_the_dense_formulas():
    users, items = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 1, 1, 2, 2, 0])
    A = np.zeros((7, 7))  # the last user and the last item have no pair
    A[users, items + 3] = A[items + 3, users] = 1
    D = A.sum(1)
    root = np.divide(1, np.sqrt(D), where=D > 0, out=np.zeros(7))
    adjacency = graph.bipartite(users, items, 3, 4)
    np.testing.assert_array_equal(adjacency.toarray(), A)
    S = root[:, None] * A * root
    np.testing.assert_allclose(graph.symmetric_normalised(adjacency).toarray(), S)
    loops = A + np.eye(7)
    np.testing.assert_allclose(
        graph.row_normalised(adjacency, self_loops=True).toarray(), loops / loops.sum(1, keepdims=True)
    )
    x = RNG.standard_normal((7, 2))
    powers, made = [x], graph.make_graph(graph.symmetric_normalised(adjacency), np.float64)
    for layers in range(4):
        out, cache = graph.light_gcn_forward(made, x, layers)
        np.testing.assert_allclose(out, sum(powers) / (layers + 1))
        np.testing.assert_allclose(graph.light_gcn_backward(x, cache), out)  # the matrix is symmetric
        powers.append(S @ powers[-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [[], [3], [6, 0, 6, 2], range(7), [0, 5, 5, 5]])
def test_chosen_rows_are_those_of_the_whole_product_to_the_bit(rows, dtype):
    rng = np.random.default_rng(len(rows))
    dense = np.where(rng.random((7, 7)) < 0.5, rng.standard_normal((7, 7)), 0)
    made, ids = graph.make_graph(dense, dtype), np.array(rows, int)
    x, dout = (rng.standard_normal((n, 3)).astype(dtype) for n in (7, len(ids)))
    spread = scatter_add(ids, dout, 7)
    for layers in range(4):
        some, of_some = graph.light_gcn_forward(made, x, layers, ids)
        whole, of_whole = graph.light_gcn_forward(made, x, layers)
        np.testing.assert_array_equal(some, whole[ids])
        back = graph.light_gcn_backward(dout, of_some)
        np.testing.assert_array_equal(back, graph.light_gcn_backward(spread, of_whole))
    some, of_some = graph.graph_forward(made, x, ids)
    whole, of_whole = graph.graph_forward(made, x)
    np.testing.assert_array_equal(some, whole[ids])
    np.testing.assert_array_equal(graph.graph_backward(dout, of_some), graph.graph_backward(spread, of_whole))


@pytest.mark.parametrize("rows", [[-1], [0, 5], [2, 1, 99]])
def test_rows_that_the_graph_lacks_are_refused(rows):
    made, x = graph.make_graph(np.eye(5)), np.ones((5, 2), np.float32)
    for call in (lambda ids: graph.graph_forward(made, x, ids), lambda ids: graph.light_gcn_forward(made, x, 2, ids)):
        with pytest.raises(ValueError, match=f"rows: expected numbers from 0 to 4, got {min(rows)} to {max(rows)}"):
            call(np.array(rows))


@pytest.mark.parametrize("rows", [3, 5])
def test_a_product_refuses_what_has_no_row_for_each_column(rows):
    with pytest.raises(ValueError, match=f"the graph has 4 columns for {rows} rows"):
        graph.graph_forward(graph.make_graph(np.ones((5, 4))), np.ones((rows, 2), np.float32))


@pytest.mark.parametrize(("shape", "rows"), [((4, 5), 5), ((5, 4), 4), ((5, 4), 5), ((4, 4), 5)])
def test_light_gcn_refuses_what_is_not_square(shape, rows):
    made = graph.make_graph(np.ones(shape))
    with pytest.raises(ValueError, match=f"the graph is {shape[0]} x {shape[1]} for {rows} rows"):
        graph.light_gcn_forward(made, np.ones((rows, 2), np.float32), 1)
