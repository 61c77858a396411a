"""The objective of MICRO with its gradients, on arrays of either device.

a^m = G^m Q                                       neighbours' vectors in each modality
h = sum_m w_m a^m                                 w = softmax over owned m of tanh(a^m Wq + bq) . query
(u, g) = mean of [P; Q], A [P; Q], ... A^L [P; Q]  LightGCN over users and items
z = g + h / |h|                                   an item; score u . z
L = mean softplus(-u . (z_i - z_j)) + reg / (2 B) sum (|u|^2 + |z_i|^2 + |z_j|^2) + contrast sum_m C(a^m, h)
C(a, h) = mean_t -log(e^(s(a_t, h_t)) / (sum_j e^(s(a_t, h_j)) + sum_(j != t) e^(s(a_t, a_j))))

s is the cosine over the temperature; C runs over the batch's distinct items that own the modality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from milk_np.nn.arrays import Array, array_module
from milk_np.nn.contrastive import info_nce_backward, info_nce_forward
from milk_np.nn.embedding import embedding_backward, embedding_forward
from milk_np.nn.fusion import fusion_backward, fusion_forward
from milk_np.nn.graph import Graph, graph_backward, graph_forward, light_gcn_backward, light_gcn_forward
from milk_np.nn.losses import bpr_backward, bpr_forward, squared_norm_backward, squared_norm_forward
from milk_np.nn.margins import margin_backward, margin_forward
from milk_np.nn.row_norm import row_norm_backward, row_norm_forward

Tables = Mapping[str, Array]
Gradients = dict[str, Array]

ATTENTION = ("Wq", "bq", "query")
LEARNED = ("P", "Q", *ATTENTION)
PARTS = ("ranking", "penalty", "contrast")


class Graphs(NamedTuple):
    """pairs: A (U + L, U + L); items: G^m (L, L) of each modality; owned (L, M) bool: items that have links in it.

    L are the training items.
    """

    pairs: Graph
    items: tuple[Graph, ...]
    owned: Array


class Batch(NamedTuple):
    """B users over n distinct training items: users (B), ids (n) below L, better and worse (B), places in `ids`;

    anchors: the places in `ids` of those that own each modality.
    """

    users: Array
    ids: Array
    better: Array
    worse: Array
    anchors: tuple[Array, ...]


@dataclass(frozen=True)
class Weights:
    """Weights of the objective, and the layers of the graph of pairs."""

    contrast: float
    temperature: float
    reg: float
    layers: int


def propagated(tables: Tables, graph: Graph, layers: int, rows: Array | None = None) -> tuple[Array, Any]:
    """u above g: (U + L, K), or the rows `rows` (n) of it: (n, K)."""
    both = array_module(tables["P"]).concatenate([tables["P"], tables["Q"]])
    return light_gcn_forward(graph, both, layers, rows)


def fused(tables: Tables, parts: Array, owned: Array) -> tuple[Array, Any]:
    """h / |h| (n, K) of a (M, n, K), over the modalities `owned` (n, M)."""
    W, b, query = (tables[name] for name in ATTENTION)
    h, of_h = fusion_forward(parts, W, b, query, owned)
    unit, of_unit = row_norm_forward(h)
    return unit, (of_h, of_unit)


def objective(tables: Tables, graphs: Graphs, batch: Batch, weights: Weights) -> tuple[list[Any], Gradients]:
    """The parts of L for a batch, and the gradient of every table in LEARNED."""
    U, B, xp = len(tables["P"]), len(batch.users), array_module(tables["P"])
    both, of_both = propagated(tables, graphs.pairs, weights.layers, xp.concatenate([batch.users, batch.ids + U]))
    u, g = both[:B], both[B:]
    parts, caches = _neighbours_forward(tables["Q"], graphs, batch.ids)
    h, of_h = fused(tables, parts, graphs.owned[batch.ids])
    ranking, penalty, du, dz = ranking_terms(u, g + h, batch, weights.reg)
    contrast, dparts, dh = contrast_term(parts, h, batch, weights)
    of_fusion, of_unit = of_h
    more, *attention = fusion_backward(row_norm_backward(dz + dh, of_unit), of_fusion)
    dboth = light_gcn_backward(xp.concatenate([du, dz]), of_both)
    dQ = dboth[U:] + _neighbours_backward(dparts + more, caches)
    return [ranking, penalty, contrast], {"P": dboth[:U], "Q": dQ, **dict(zip(ATTENTION, attention, strict=True))}


def _neighbours_forward(Q: Array, graphs: Graphs, ids: Array) -> tuple[Array, Any]:
    """a (M, n, K) of the items `ids`."""
    parts, caches = zip(*(graph_forward(graph, Q, ids) for graph in graphs.items), strict=True)
    return array_module(Q).stack(parts), caches


def _neighbours_backward(dparts: Array, caches: Any) -> Array:
    """dQ (L, K)."""
    return sum(graph_backward(dpart, of_graph) for dpart, of_graph in zip(dparts, caches, strict=True))


def ranking_terms(u: Array, z: Array, batch: Batch, reg: float) -> tuple[Any, Any, Array, Array]:
    """The ranking loss and the penalty, and the gradients of both by u (B, K) and z (n, K)."""
    (better, of_better), (worse, of_worse) = (embedding_forward(z, place) for place in (batch.better, batch.worse))
    margin, of_margin = margin_forward(u, better, worse)
    ranking, of_ranking = bpr_forward(margin)
    lengths, caches = zip(*(squared_norm_forward(rows) for rows in (u, better, worse)), strict=True)
    of_rows = margin_backward(bpr_backward(1.0, of_ranking), of_margin)
    du, dbetter, dworse = (a + squared_norm_backward(reg / 2, of) for a, of in zip(of_rows, caches, strict=True))
    dz = embedding_backward(dbetter, of_better) + embedding_backward(dworse, of_worse)
    return ranking, reg / 2 * sum(lengths), du, dz


def contrast_term(parts: Array, h: Array, batch: Batch, weights: Weights) -> tuple[Any, Array, Array]:
    """contrast sum_m C, and its gradients by a (M, n, K) and h (n, K), which has unit length."""
    total, dparts, dh = 0.0, array_module(parts).zeros_like(parts), array_module(h).zeros_like(h)
    for m, anchors in enumerate(batch.anchors if weights.contrast else ()):
        mine, of_mine = embedding_forward(parts[m], anchors)
        theirs, of_theirs = embedding_forward(h, anchors)
        unit, of_unit = row_norm_forward(mine)
        value, of_value = info_nce_forward(unit, theirs, weights.temperature, within=True)
        dunit, dtheirs = info_nce_backward(weights.contrast, of_value)
        dparts[m] = embedding_backward(row_norm_backward(dunit, of_unit), of_mine)
        dh += embedding_backward(dtheirs, of_theirs)
        total = total + weights.contrast * value
    return total, dparts, dh
