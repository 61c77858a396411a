"""A two-tower net composed of blocks by hand, as a system does it: what the tests of the whole and of devices share.

User tower: embedding, row norm. Item tower: rows of content, batch norm, tanh, dropout, and an expert mixture, fused
with an embedding of the item that half of the rows replace by what the content says. Loss: BPR and sampled NCE.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.arrays import array_module
from milk_np.nn.batch_norm import RunningStats, batch_norm_backward, batch_norm_forward
from milk_np.nn.contrastive import info_nce_backward, info_nce_forward
from milk_np.nn.dropout import dropout_backward, dropout_forward
from milk_np.nn.embedding import embedding_backward, embedding_forward
from milk_np.nn.experts import experts_backward, experts_forward
from milk_np.nn.linear import linear_backward, linear_forward
from milk_np.nn.losses import bpr_backward, bpr_forward, squared_norm_backward, squared_norm_forward
from milk_np.nn.margins import margin_backward, margin_forward
from milk_np.nn.row_norm import row_norm_backward, row_norm_forward
from milk_np.nn.switch import choose_rows, switch_backward, switch_forward

N_USERS, N_ITEMS, D, K, P = 6, 8, 5, 4, 3
SHARE, WEIGHT, REGULARISER, TEMPERATURE = 0.5, 0.3, 0.01, 0.5

SHAPES = {
    "users": (N_USERS, K), "items": (N_ITEMS, K), "W": (D, K), "b": (K,), "gamma": (K,), "beta": (K,),
    "W_gate": (K, P), "b_gate": (P,), "W_expert": (P, K, K), "b_expert": (P, K),
}  # fmt: skip


def make_tables(seed=0, dtype=np.float64, xp=np):
    rng = np.random.default_rng(seed)
    return {name: xp.asarray(rng.standard_normal(shape).astype(dtype)) for name, shape in SHAPES.items()}


def make_batch(seed=0, B=7, dtype=np.float64, xp=np):
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((N_ITEMS, D)).astype(dtype)
    ids = (rng.integers(0, size, B).astype(np.int32) for size in (N_USERS, N_ITEMS, N_ITEMS))
    return tuple(map(xp.asarray, (content, *ids)))


def encode(tables, running, content, ids, step, name) -> tuple[Any, Any]:
    """Vectors (B, K) of the items `ids` (B) and the caches of the way there."""
    xp = array_module(content)
    h, linear = linear_forward(content[ids], tables["W"], tables["b"])
    h, norm = batch_norm_forward(h, tables["gamma"], tables["beta"], running, train=True)
    h, tanh = tanh_forward(h)
    h, drop = dropout_forward(h, SHARE, 0, name, step)
    h, experts = experts_forward(h, *(tables[key] for key in ("W_gate", "b_gate", "W_expert", "b_expert")))
    own, table = embedding_forward(tables["items"], ids)
    out, switch = switch_forward(choose_rows(xp, len(ids), SHARE, 0, f"{name}-rows", step), h, own)
    return out, (linear, norm, tanh, drop, experts, table, switch)


def encode_backward(dout, cache) -> dict[str, Any]:
    linear, norm, tanh, drop, experts, table, switch = cache
    dh, down = switch_backward(dout, switch)
    g = {"items": embedding_backward(down, table)}
    dh, g["W_gate"], g["b_gate"], g["W_expert"], g["b_expert"] = experts_backward(dh, experts)
    dh = tanh_backward(dropout_backward(dh, drop), tanh)
    dh, g["gamma"], g["beta"] = batch_norm_backward(dh, norm)
    _, g["W"], g["b"] = linear_backward(dh, linear, need_dx=False)
    return g


def forward(tables, batch, step=1) -> tuple[Any, Any]:
    """Loss and caches of a batch (content, users, better, worse)."""
    content, users, better, worse = batch
    running = RunningStats.start(K, tables["W"].dtype, array_module(content))
    raw, table = embedding_forward(tables["users"], users)
    u, unit = row_norm_forward(raw)
    i, of_better = encode(tables, running, content, better, step, "better")
    j, of_worse = encode(tables, running, content, worse, step, "worse")
    margins, margin = margin_forward(u, i, j)
    risk, bpr = bpr_forward(margins)
    contrast, nce = info_nce_forward(u, i, TEMPERATURE)
    length, square = squared_norm_forward(raw)
    loss = risk + WEIGHT * contrast + REGULARISER * length
    return loss, (table, unit, of_better, of_worse, margin, bpr, nce, square)


def backward(cache) -> dict[str, Any]:
    """Gradients of the loss by the names of the tables."""
    table, unit, of_better, of_worse, margin, bpr, nce, square = cache
    du, di, dj = margin_backward(bpr_backward(1.0, bpr), margin)
    du_nce, di_nce = info_nce_backward(WEIGHT, nce)
    g, g_worse = encode_backward(di + di_nce, of_better), encode_backward(dj, of_worse)
    g = {name: g[name] + g_worse[name] for name in g}
    draw = row_norm_backward(du + du_nce, unit) + squared_norm_backward(REGULARISER, square)
    return g | {"users": embedding_backward(draw, table)}
