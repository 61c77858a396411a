"""The objective of MTPR with its gradients, on arrays of either device.

p_u = P_u W_u                                       a user
n_i = q_i W_q + x_i W W_x,   c_i = x_i W W_x        an item as it is, and as it would be without a vector q_i of its own
L = sum_t sp(-(n+ - n-)) + sp(-(c+ - c-)) + sp(-(n+ - c-)) + sp(-(c+ - n-))
    + vector_reg sum_t (|P_u|^2 + |q_i|^2 + |q_j|^2) + reg (|W|^2 + |W_u|^2 + |W_q|^2 + |W_x|^2)

where n+ is p_u . n_i for the chosen item i, n- the same for the drawn item j, c likewise, and sp the softplus.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from milk_np.nn.arrays import Array, array_module
from milk_np.nn.embedding import embedding_backward, embedding_forward
from milk_np.nn.linear import Rows, linear_backward, linear_forward
from milk_np.nn.losses import bpr_backward, bpr_forward, squared_norm_backward, squared_norm_forward
from milk_np.nn.margins import row_dot_backward, row_dot_forward
from milk_np.nn.penalty import penalise

Tables = Mapping[str, Array]

WEIGHTS = ("W", "W_u", "W_q", "W_x")
PARTS = ("ranking", "vectors", "weights")


class Batch(NamedTuple):
    """B triplets over n items: x (n, D), an array or `Rows`, and q (n, K) of the items, P (B, 2K) of the users.

    `slot` (2B) says which of the items are the chosen ones, then which the drawn ones.
    """

    x: Array | Rows
    q: Array
    P: Array
    slot: Array


def objective(tables: Tables, batch: Batch, reg: float, vector_reg: float) -> tuple[list[Any], dict[str, Array]]:
    """The parts of L, and the gradients of the weights and of the batch's "P" (B, 2K) and "q" (n, K)."""
    B, xp = len(batch.P), array_module(batch.P)
    p, of_user = linear_forward(batch.P, tables["W_u"])
    hidden, of_hidden = linear_forward(batch.x, tables["W"])
    content, of_content = linear_forward(hidden, tables["W_x"])
    own, of_own = linear_forward(batch.q, tables["W_q"])
    (c, of_c), (o, of_o) = (embedding_forward(rows, batch.slot) for rows in (content, own))
    both = xp.concatenate([p, p])
    (without, of_without), (extra, of_extra) = (row_dot_forward(both, rows) for rows in (c, o))
    ranking, dwithout, dextra = branches(without[:B], without[B:], extra[:B], extra[B:])
    (dp_c, dc), (dp_o, do) = row_dot_backward(dwithout, of_without), row_dot_backward(dextra, of_extra)
    dboth = dp_c + dp_o
    dhidden, dW_x, _ = linear_backward(embedding_backward(dc, of_c), of_content)
    dq, dW_q, _ = linear_backward(embedding_backward(do, of_o), of_own)
    dP, dW_u, _ = linear_backward(dboth[:B] + dboth[B:], of_user)
    gradients = {"W": linear_backward(dhidden, of_hidden, need_dx=False)[1], "W_u": dW_u, "W_q": dW_q, "W_x": dW_x}
    weights = penalise(tables, gradients, WEIGHTS, reg)
    vectors, of_P, of_q = of_vectors(batch, vector_reg)
    return [ranking, vectors, weights], gradients | {"P": dP + of_P, "q": dq + of_q}


def branches(c_i: Array, c_j: Array, o_i: Array, o_j: Array) -> tuple[Array, Array, Array]:
    """Sum of the four rankings, and its slopes by the scores without (2B) and by what the own vector adds (2B).

    An item's score as it is: n = c + o.
    """
    xp = array_module(c_i)
    n_i, n_j = c_i + o_i, c_j + o_j
    margins = xp.stack([n_i - n_j, c_i - c_j, n_i - c_j, c_i - n_j])
    loss, of_loss = bpr_forward(margins, "sum")
    nn, cc, nc, cn = bpr_backward(1.0, of_loss)
    dn_i, dn_j, dc_i, dc_j = nn + nc, -(nn + cn), cc + cn, -(cc + nc)
    return loss, xp.concatenate([dn_i + dc_i, dn_j + dc_j]), xp.concatenate([dn_i, dn_j])


def of_vectors(batch: Batch, weight: float) -> tuple[Any, Array, Array]:
    """weight times the sum over triplets of squared lengths of P_u, q_i and q_j; its gradients by P (B) and q (n)."""
    rows, of_rows = embedding_forward(batch.q, batch.slot)
    (users, of_users), (items, of_items) = (squared_norm_forward(x, "sum") for x in (batch.P, rows))
    dq = embedding_backward(squared_norm_backward(weight, of_items), of_rows)
    return weight * (users + items), squared_norm_backward(weight, of_users), dq
