"""The objective of CLCRec with its gradients, on arrays of either device.

f(x) = leaky(x W1 + b1) W2 + b2                                     what content makes of an item's vector
L1 = mean_b NCE over k of cos(q_i, f(x_k)) / tau                    i the item of a pair, k its candidates, i first
L2 = mean_b NCE over k of p_u . y_k / tau                           y_k = f(x_k) where replaced, elsewhere q_k
L  = mutual L1 + (1 - mutual) L2 + reg/2 (mean |p_u| + mean |q_k|)  lengths, not squared

NCE: log sum_k e^(s_k) - s_i. Its candidates are a pair's item and N negatives of its user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from milk_np.nn.activations import leaky_relu_backward, leaky_relu_forward
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.contrastive import nce_backward, nce_forward
from milk_np.nn.embedding import RowGradient, embedding_backward, embedding_forward
from milk_np.nn.linear import linear_backward, linear_forward, linear_rows_backward, linear_rows_forward
from milk_np.nn.losses import norm_backward, norm_forward
from milk_np.nn.margins import sampled_dot_backward, sampled_dot_forward
from milk_np.nn.row_norm import row_norm_backward, row_norm_forward

Tables = Mapping[str, Array]
Gradients = dict[str, Any]

ENCODER = ("W1", "b1", "W2", "b2")
PARTS = ("mutual", "user", "penalty")


class Batch(NamedTuple):
    """B pairs over n distinct items.

    kernels, content: what `linear_rows_forward` reads rows of content with; ids (n) and people (n_u), both distinct;
    user (B): the place in `people` of each pair's user; slots (B, 1 + N): the place in `ids` of each candidate, a
    pair's own item first, -1 for none; replaced (B, 1 + N) bool.
    """

    kernels: Any
    content: tuple[Array, ...]
    ids: Array
    people: Array
    user: Array
    slots: Array
    replaced: Array


@dataclass(frozen=True)
class Weights:
    """Weights of the objective."""

    mutual: float
    temperature: float
    reg: float


def encoded(tables: Tables, x: Array) -> Array:
    """f(x) (n, K) of rows x (n, D)."""
    hidden, _ = linear_forward(x, tables["W1"], tables["b1"])
    return linear_forward(leaky_relu_forward(hidden)[0], tables["W2"], tables["b2"])[0]


def encode_forward(tables: Tables, batch: Batch) -> tuple[Array, Any]:
    """f (n, K) of the batch's items."""
    hidden, first = linear_rows_forward(batch.kernels, batch.content, batch.ids, tables["W1"], tables["b1"])
    hidden, leaky = leaky_relu_forward(hidden)
    out, last = linear_forward(hidden, tables["W2"], tables["b2"])
    return out, (first, leaky, last)


def encode_backward(dout: Array, cache: Any) -> Gradients:
    """Gradients of the encoder's tables."""
    first, leaky, last = cache
    dhidden, dW2, db2 = linear_backward(dout, last)
    dW1, db1 = linear_rows_backward(leaky_relu_backward(dhidden, leaky), first)
    return dict(zip(ENCODER, (dW1, db1, dW2, db2), strict=True))


def objective(tables: Tables, batch: Batch, weights: Weights) -> tuple[list[Any], Gradients]:
    """The parts of L for a batch, and the gradients: rows of P and Q, the encoder's tables whole."""
    p, of_p = embedding_forward(embedding_forward(tables["P"], batch.people)[0], batch.user)
    q, _ = embedding_forward(tables["Q"], batch.ids)
    f, of_f = encode_forward(tables, batch)
    mutual, dq, df = mutual_term(q, f, batch, weights)
    user, dp, more_q, more_f = user_term(p, q, f, batch, weights)
    penalty, short_p, short_q = penalty_term(p, q, batch.slots, weights.reg)
    rows = {
        "P": RowGradient(batch.people, embedding_backward(dp + short_p, of_p)),
        "Q": RowGradient(batch.ids, dq + more_q + short_q),
    }
    return [mutual, user, penalty], rows | encode_backward(df + more_f, of_f)


def mutual_term(q: Array, f: Array, batch: Batch, weights: Weights) -> tuple[Any, Array, Array]:
    """mutual L1, and its gradients by q and f (n, K)."""
    own = batch.slots[:, 0]
    anchor, of_rows = embedding_forward(q, own)
    anchor, of_anchor = row_norm_forward(anchor)
    unit, of_unit = row_norm_forward(f)
    scores, of_scores = sampled_dot_forward(batch.kernels, anchor, unit, batch.slots)
    loss, of_loss = nce_forward(scores, weights.temperature, mask=batch.slots >= 0)
    danchor, dunit = sampled_dot_backward(nce_backward(weights.mutual, of_loss), of_scores)
    dq = embedding_backward(row_norm_backward(danchor, of_anchor), of_rows)
    return weights.mutual * loss, dq, row_norm_backward(dunit, of_unit)


def user_term(p: Array, q: Array, f: Array, batch: Batch, weights: Weights) -> tuple[Any, Array, Array, Array]:
    """(1 - mutual) L2, and its gradients by p (B, K), q and f (n, K)."""
    xp, n, share = array_module(q), len(q), 1 - weights.mutual
    both = xp.concatenate([q, f])
    slots = batch.slots + n * (batch.replaced & (batch.slots >= 0))
    scores, of_scores = sampled_dot_forward(batch.kernels, p, both, slots.astype(batch.slots.dtype))
    loss, of_loss = nce_forward(scores, weights.temperature, mask=batch.slots >= 0)
    dp, dboth = sampled_dot_backward(nce_backward(share, of_loss), of_scores)
    return share * loss, dp, dboth[:n], dboth[n:]


def penalty_term(p: Array, q: Array, slots: Array, reg: float) -> tuple[Any, Array, Array]:
    """reg/2 of the mean length of the users' vectors and of all candidates' own ones; its gradients by p and q."""
    xp, there = array_module(q), slots >= 0
    counts = xp.bincount(xp.where(there, slots, len(q)).reshape(-1), minlength=len(q) + 1)[: len(q)]
    shares = (counts / there.sum()).astype(q.dtype)
    of_users, users = norm_forward(p)
    of_items, items = norm_forward(q, "none")
    half = reg / 2
    penalty = half * (of_users + (shares * of_items).sum())
    return penalty, norm_backward(half, users), norm_backward(half * shares, items)
