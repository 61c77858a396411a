"""Cases of the layers: what stands between the tables and the losses."""

from __future__ import annotations

from importlib import import_module

import numpy as np
from nn_sizes import block


@block("linear")
def linear(nn, s):
    def call(x, W, b):
        out, cache = nn.linear.linear_forward(x, W, b)
        return out, lambda dout: nn.linear.linear_backward(dout, cache)

    return [s.normal(s.n, s.D), s.normal(s.D, s.K), s.normal(s.K)], call


@block("linear")
def linear_without_bias(nn, s):
    def call(x, W):
        out, cache = nn.linear.linear_forward(x, W)
        return out, lambda dout: nn.linear.linear_backward(dout, cache)[:2]

    return [s.normal(s.n, s.D), s.normal(s.D, s.K)], call


@block("linear")
def linear_rows(nn, s):
    kernels, R = import_module(f"milk_np.kernels.{s.kernels}"), s.n + 2
    source = np.where(s.rng.random(R) < 0.7, np.arange(R), -1).astype(np.int32)
    raw, fill, scale = (s.normal(*shape, scale=1).astype(np.float32) for shape in ((R, s.D), (1, s.D), (R,)))
    table, ids = tuple(map(s.put, (raw, fill, source, scale))), s.ids(s.n, R)

    def call(W, b):
        out, cache = nn.linear.linear_rows_forward(kernels, table, ids, W, b)
        return out, lambda dout: nn.linear.linear_rows_backward(dout, cache)

    return [s.normal(s.D, s.K), s.normal(s.K)], call


def _table(s, R):
    """A virtual table of R rows, as the engine's products read it."""
    raw = s.normal(R, s.D, scale=1).astype(np.float32)
    arrays = raw, raw[:1], np.arange(R, dtype=np.int32), s.normal(R, scale=1).astype(np.float32)
    return import_module(f"milk_np.kernels.{s.kernels}"), tuple(map(s.put, arrays))


@block("linear")
def rows_that_repeat(nn, s):
    x = nn.linear.Rows.of(*_table(s, s.n + 2), s.ids(2 * s.n, s.n + 2))

    def call(W, b):
        out, cache = nn.linear.linear_forward(x, W, b)
        return out, lambda dout: nn.linear.linear_backward(dout, cache)[1:]

    return [s.normal(s.D, s.K), s.normal(s.K)], call


@block("linear")
def rows_in_order_without_bias(nn, s):
    x = nn.linear.Rows(*_table(s, s.n), s.put(np.arange(s.n, dtype=np.int32)), None)

    def call(W):
        out, cache = nn.linear.linear_forward(x, W)
        return out, lambda dout: nn.linear.linear_backward(dout, cache)[1]

    return [s.normal(s.D, s.K)], call


@block("linear")
def parts(nn, s):
    """An array, rows of a table, another array."""
    rows = nn.linear.Rows.of(*_table(s, s.n + 2), s.ids(s.n, s.n + 2))

    def call(first, last, W, b):
        out, cache = nn.linear.parts_forward([first, rows, last], W, b)

        def back(dout):
            (dfirst, _, dlast), dW, db = nn.linear.parts_backward(dout, cache)
            return dfirst, dlast, dW, db

        return out, back

    return [s.normal(s.n, 2), s.normal(s.n, 1), s.normal(s.D + 3, s.K), s.normal(s.K)], call


@block("penalty")
def penalty(nn, s):
    def call(W, b):
        gradients = {"W": s.xp.zeros_like(W), "b": s.xp.zeros_like(b), "c": b}
        out = nn.penalty.penalise({"W": W, "b": b}, gradients, ("W", "b"), 0.3)
        return out, lambda dout: [dout * gradients[name] for name in ("W", "b")]

    return [s.normal(s.n, s.K), s.normal(s.n)], call


@block("linear")
def concat(nn, s):
    def call(*parts):
        out, cache = nn.linear.concat_forward(list(parts))
        return out, lambda dout: nn.linear.concat_backward(dout, cache)

    return [s.normal(s.n, s.D), s.normal(s.n, s.K), s.normal(s.n, 1)], call


@block("embedding")
def embedding(nn, s):
    ids = s.ids(2 * s.n, s.n)
    ids[s.rng.integers(0, 2 * s.n + 1) :][:1] = -1

    def call(table):
        out, cache = nn.embedding.embedding_forward(table, ids)
        return out, lambda dout: nn.embedding.embedding_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("embedding")
def embedding_rows(nn, s):
    ids = s.ids(2 * s.n, s.n)
    ids[s.rng.integers(0, 2 * s.n + 1) :][:1] = -1

    def call(table):
        out, cache = nn.embedding.embedding_forward(table, ids)

        def back(dout):
            gradient, dense = nn.embedding.embedding_backward_rows(dout, cache), s.xp.zeros_like(table)
            dense[gradient.ids[gradient.ids >= 0]] = gradient.values[gradient.ids >= 0]
            return dense

        return out, back

    return [s.normal(s.n, s.K)], call


def _elementwise(name):
    def make(nn, s):
        def call(x):
            out, cache = getattr(nn.activations, f"{name}_forward")(x)
            return out, lambda dout: getattr(nn.activations, f"{name}_backward")(dout, cache)

        return [s.away(s.n, s.K)], call

    make.__name__ = name
    return make


for name in ("tanh", "sigmoid", "softplus", "leaky_relu"):
    block("activations")(_elementwise(name))


def _batch_norm(train):
    def make(nn, s):
        mean, var = s.normal(s.K, scale=1), 1 + s.rng.random(s.K)

        def call(x, gamma, beta):
            running = nn.batch_norm.RunningStats(*(s.put(v.astype(s.dtype)) for v in (mean, var)), eps=1e-3)
            out, cache = nn.batch_norm.batch_norm_forward(x, gamma, beta, running, train=train)
            return out, lambda dout: nn.batch_norm.batch_norm_backward(dout, cache)

        return [s.normal(s.n, s.K, scale=1), s.normal(s.K), s.normal(s.K)], call

    make.__name__ = "train" if train else "evaluate"
    return make


block("batch_norm")(_batch_norm(True))
block("batch_norm")(_batch_norm(False))


@block("batch_norm")
def plain(nn, s):
    def call(x):
        running = nn.batch_norm.RunningStats.start(s.K, s.dtype, s.xp)
        out, cache = nn.batch_norm.batch_norm_forward(x, None, None, running, train=True)
        return out, lambda dout: nn.batch_norm.batch_norm_backward(dout, cache)[0]

    x = s.normal(s.n, s.K, scale=0.1)
    return [x + np.arange(s.n)[:, None]], call


@block("dropout")
def dropout(nn, s):
    def call(x):
        out, cache = nn.dropout.dropout_forward(x, 0.4, s.seed, "hidden", 3, s.n)
        return out, lambda dout: nn.dropout.dropout_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("row_norm")
def row_norm(nn, s):
    def call(x):
        out, cache = nn.row_norm.row_norm_forward(x, 1e-3)
        return out, lambda dout: nn.row_norm.row_norm_backward(dout, cache)

    x = s.away(s.n, s.K)
    x[s.rng.random(s.n) < 0.2] = 0
    return [x], call


@block("row_norm")
def row_norm_of_candidates(nn, s):
    def call(x):
        out, cache = nn.row_norm.row_norm_forward(x)
        return out, lambda dout: nn.row_norm.row_norm_backward(dout, cache)

    return [s.away(s.n, s.D, s.K)], call


@block("softmax")
def softmax(nn, s):
    mask = s.mask(s.n, s.K)

    def call(x):
        out, cache = nn.softmax.softmax_forward(x, mask)
        return out, lambda dout: nn.softmax.softmax_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("softmax")
def softmax_of_columns(nn, s):
    def call(x):
        out, cache = nn.softmax.softmax_forward(x, axis=0)
        return out, lambda dout: nn.softmax.softmax_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("softmax")
def mix(nn, s):
    def call(shares, parts):
        out, cache = nn.softmax.mix_forward(shares, parts)
        return out, lambda dout: nn.softmax.mix_backward(dout, cache)

    return [s.normal(s.n, s.D), s.normal(s.D, s.n, s.K)], call


def _experts(gate):
    def make(nn, s):
        def call(*five):
            out, cache = nn.experts.experts_forward(*five, gate)
            return out, lambda dout: nn.experts.experts_backward(dout, cache)

        shapes = (s.n, s.D), (s.D, 2), (2,), (2, s.D, s.K), (2, s.K)
        return [s.normal(*shape, scale=1) for shape in shapes], call

    make.__name__ = f"experts_{gate}"
    return make


block("experts")(_experts("softmax"))
block("experts")(_experts("tanh"))


def _fusion(owned):
    def make(nn, s):
        mask = s.mask(s.n, s.D) if owned else None

        def call(*four):
            out, cache = nn.fusion.fusion_forward(*four, mask)
            return out, lambda dout: nn.fusion.fusion_backward(dout, cache)

        return [s.normal(*shape, scale=1) for shape in ((s.D, s.n, s.K), (s.K, 2), (2,), (2,))], call

    make.__name__ = "fusion_of_owned" if owned else "fusion"
    return make


block("fusion")(_fusion(False))
block("fusion")(_fusion(True))


@block("switch")
def switch(nn, s):
    mask = s.mask(s.n)

    def call(a, b):
        out, cache = nn.switch.switch_forward(mask, a, b)
        return out, lambda dout: nn.switch.switch_backward(dout, cache)

    return [s.normal(s.n, s.K), s.normal(s.n, s.K)], call


@block("switch")
def zeroing(nn, s):
    mask = s.mask(s.n)

    def call(a):
        out, cache = nn.switch.switch_forward(mask, a)
        return out, lambda dout: nn.switch.switch_backward(dout, cache)[0]

    return [s.normal(s.n, s.K)], call


@block("graph")
def graph(nn, s, rows=None):
    matrix = s.sparse(s.n, s.D)

    def call(x):
        out, cache = nn.graph.graph_forward(nn.graph.make_graph(matrix, x.dtype, s.xp), x, rows)
        return out, lambda dout: nn.graph.graph_backward(dout, cache)

    return [s.normal(s.D, s.K)], call


@block("graph")
def light_gcn(nn, s, rows=None):
    matrix = nn.graph.row_normalised(s.sparse(s.n, s.n), self_loops=True)

    def call(x):
        out, cache = nn.graph.light_gcn_forward(nn.graph.make_graph(matrix, x.dtype, s.xp), x, 2, rows)
        return out, lambda dout: nn.graph.light_gcn_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("graph")
def graph_of_some_rows(nn, s):
    return graph(nn, s, some_rows(s))


@block("graph")
def light_gcn_of_some_rows(nn, s):
    return light_gcn(nn, s, some_rows(s))


def some_rows(s):
    """Of n rows; some of them more than once, if there are any."""
    return s.xp.asarray(s.rng.integers(0, max(s.n, 1), 2 * s.n))
