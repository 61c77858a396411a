"""The objective of CCFCRec with its gradients, on arrays of either device.

q(x) = leaky([x^1 Wp^1, ..., x^M Wp^M] Wa + ba) Wb + bb                   generator: a vector of content
C = mean_b (1/G sum_g NCE(q_i; v_g) + NCE(q_i; v_i))                      v_g: items of the pair's user; v_i: its own
R = mean_b softplus(-v_i . (p_u - p_w)) + softplus(-q_i . (p_u - p_w))    w: a user who hasn't chosen the item i
L = contrast C + (1 - contrast) R + reg/2 |what the batch reads|^2

NCE(q; v) = log sum over v and N negatives n of e^(cos(q, n) / tau), minus cos(q, v) / tau. Penalised are the rows of
the batch's users and items and all weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from milk_np.nn.activations import leaky_relu_backward, leaky_relu_forward
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.contrastive import nce_backward, nce_forward
from milk_np.nn.embedding import RowGradient, embedding_backward, embedding_forward
from milk_np.nn.linear import Rows, concat_backward, concat_forward, linear_backward, linear_forward
from milk_np.nn.losses import bpr_backward, bpr_forward
from milk_np.nn.margins import margin_backward, margin_forward, sampled_dot_backward, sampled_dot_forward
from milk_np.nn.penalty import penalise
from milk_np.nn.row_norm import row_norm_backward, row_norm_forward

Tables = Mapping[str, Array]
Gradients = dict[str, Any]
Content = Array | list[Rows]

GENERATOR = ("Wp", "Wa", "ba", "Wb", "bb")
PARTS = ("contrast", "ranking", "penalty")


class Batch(NamedTuple):
    """B pairs over n distinct items and n_u distinct users.

    kernels: what sampled scores are computed with; x (n_i, D): content of the pairs' own items, an array or `Rows` of
    each modality, `own` (B) the place of each; ids (n) and people (n_u), distinct; slots (B, G + 1, 1 + N): places in
    `ids`, the last group being the item's own, each beginning with its positive, -1 for none; user and other (B):
    places in `people` of u and w, -1 for no w.
    """

    kernels: Any
    x: Content
    own: Array
    ids: Array
    people: Array
    slots: Array
    user: Array
    other: Array


@dataclass(frozen=True)
class Weights:
    """Weights of the objective."""

    contrast: float
    temperature: float
    reg: float


def generate_forward(tables: Tables, x: Content, widths: tuple[int, ...]) -> tuple[Array, Any]:
    """q (n, K) of content x (n, D), whose modalities are `widths` wide."""
    ends = [int(end) for end in np.cumsum(widths)[:-1]]
    xp = array_module(tables["Wp"])
    each = x if isinstance(x, list) else xp.split(x, ends, axis=1)
    pairs = zip(each, xp.split(tables["Wp"], ends), strict=True)
    parts, of_parts = zip(*(linear_forward(part, W) for part, W in pairs), strict=True)
    joined, of_joined = concat_forward(list(parts))
    hidden, first = linear_forward(joined, tables["Wa"], tables["ba"])
    hidden, leaky = leaky_relu_forward(hidden)
    out, last = linear_forward(hidden, tables["Wb"], tables["bb"])
    return out, (of_parts, of_joined, first, leaky, last)


def generate_backward(dout: Array, cache: Any) -> Gradients:
    """Gradients of the generator's tables."""
    of_parts, of_joined, first, leaky, last = cache
    dhidden, dWb, dbb = linear_backward(dout, last)
    djoined, dWa, dba = linear_backward(leaky_relu_backward(dhidden, leaky), first)
    each = zip(concat_backward(djoined, of_joined), of_parts, strict=True)
    dWp = array_module(dout).concatenate([linear_backward(dpart, of, need_dx=False)[1] for dpart, of in each])
    return dict(zip(GENERATOR, (dWp, dWa, dba, dWb, dbb), strict=True))


def objective(tables: Tables, batch: Batch, widths: tuple[int, ...], weights: Weights) -> tuple[list[Any], Gradients]:
    """The parts of L for a batch, and the gradients: rows of P and Q, the generator's tables whole."""
    p, _ = embedding_forward(tables["P"], batch.people)
    v, _ = embedding_forward(tables["Q"], batch.ids)
    q, of_q = generate_forward(tables, batch.x, widths)
    contrast, dq, dv = contrast_term(q, v, batch, weights)
    ranking, dp, more_q, more_v = ranking_term(p, q, v, batch, 1 - weights.contrast)
    gradients = generate_backward(dq + more_q, of_q)
    penalty = penalise(tables, gradients, GENERATOR, weights.reg / 2)
    rows = {
        "P": RowGradient(batch.people, dp + weights.reg * p),
        "Q": RowGradient(batch.ids, dv + more_v + weights.reg * v),
    }
    penalty = penalty + weights.reg / 2 * sum((x * x).sum() for x in (p, v))
    return [contrast, ranking, penalty], rows | gradients


def contrast_term(q: Array, v: Array, batch: Batch, weights: Weights) -> tuple[Any, Array, Array]:
    """contrast C, and its gradients by q (n_i, K) and v (n, K)."""
    B, groups, candidates = batch.slots.shape
    unit, of_unit = row_norm_forward(q)
    query, of_rows = embedding_forward(unit, batch.own)
    table, of_table = row_norm_forward(v)
    cosines, of_cosines = sampled_dot_forward(batch.kernels, query, table, batch.slots.reshape(B, -1))
    mask = (batch.slots >= 0).reshape(-1, candidates)
    values, of_values = nce_forward(cosines.reshape(-1, candidates), weights.temperature, mask=mask, reduction="none")
    share = array_module(q).full(groups, weights.contrast / (B * max(1, groups - 1)), q.dtype)
    share[-1] = weights.contrast / B
    dcosines = nce_backward(array_module(q).tile(share, B), of_values).reshape(B, -1)
    dquery, dtable = sampled_dot_backward(dcosines, of_cosines)
    dq = row_norm_backward(embedding_backward(dquery, of_rows), of_unit)
    return (values.reshape(B, groups) @ share).sum(), dq, row_norm_backward(dtable, of_table)


def ranking_term(p: Array, q: Array, v: Array, batch: Batch, weight: float) -> tuple[Any, Array, Array, Array]:
    """`weight` R, and its gradients by p (n_u, K), q (n_i, K) and v (n, K); pairs without w are left out."""
    there = (batch.other >= 0).astype(q.dtype)
    share = there * (weight / len(there))
    total, dp, gradients = 0.0, 0.0, []
    for items, place in ((v, batch.slots[:, -1, 0]), (q, batch.own)):
        mine, of_mine = embedding_forward(items, place)
        better, of_better = embedding_forward(p, batch.user)
        worse, of_worse = embedding_forward(p, batch.other)
        margin, of_margin = margin_forward(mine, better, worse)
        values, of_values = bpr_forward(margin, "none")
        dmine, dbetter, dworse = margin_backward(bpr_backward(share, of_values), of_margin)
        total = total + (values * share).sum()
        dp = dp + embedding_backward(dbetter, of_better) + embedding_backward(dworse, of_worse)
        gradients.append(embedding_backward(dmine, of_mine))
    return total, dp, gradients[1], gradients[0]
