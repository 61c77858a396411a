"""The objective of Heater with its gradients, on arrays of either device.

g = tanh(x W_gate + b_gate)                                     gates of P experts, tanh and not softmax
v' = tanh(sum_p g_p tanh(x W_p + b_p))                          what content makes of an item's vector
y^ = user(u) . item(v' or v)                                    towers; which of the two, a mask says
L = mean (y^ - y)^2 + alpha sum_t |v'_t - v_t|^2 + reg sum (weights and biases)^2
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.arrays import Array
from milk_np.nn.embedding import embedding_backward, embedding_forward
from milk_np.nn.experts import experts_backward, experts_forward
from milk_np.nn.linear import Rows
from milk_np.nn.losses import squared_error_backward, squared_error_forward
from milk_np.nn.margins import row_dot_backward, row_dot_forward
from milk_np.nn.penalty import penalise
from milk_np.nn.switch import switch_backward, switch_forward
from milk_np.nn.tower import LEARNED, WEIGHTS, Norm, named, tower_backward, tower_forward

Tables = Mapping[str, Array]

NORM = Norm(momentum=0.1, eps=1e-3, unbiased=False)
EXPERTS = ("gate_W", "gate_b", "experts_W", "experts_b")
MOVED = (*EXPERTS, *named("user", *LEARNED), *named("item", *LEARNED))
PENALISED = (*EXPERTS, *named("user", *WEIGHTS), *named("item", *WEIGHTS))
PARTS = ("error", "distance", "penalty")


class Batch(NamedTuple):
    """B pairs and non-pairs over n items.

    x (n, D) content of the items, an array or `Rows`; slot (B) the item of each row; u and v (B, K) pretrained vectors;
    y (B) 1 for a pair, 0 else; replaced (B) bool, where content stands in for v.
    """

    x: Array | Rows
    slot: Array
    u: Array
    v: Array
    y: Array
    replaced: Array


def content_forward(tables: Tables, x: Array | Rows) -> tuple[Array, Any]:
    """v' (n, K) of content x (n, D)."""
    W_gate, b_gate, W, b = (tables[name] for name in EXPERTS)
    mixed, of_mix = experts_forward(x, W_gate, b_gate, W, b, "tanh")
    out, of_tanh = tanh_forward(mixed)
    return out, (of_mix, of_tanh)


def content_backward(dout: Array, cache: Any) -> dict[str, Array]:
    """Gradients of gates and experts."""
    of_mix, of_tanh = cache
    _, *gradients = experts_backward(tanh_backward(dout, of_tanh), of_mix, need_dx=False)
    return dict(zip(EXPERTS, gradients, strict=True))


def objective(tables: Tables, batch: Batch, alpha: float, reg: float) -> tuple[list[Any], dict[str, Array]]:
    """The parts of L for a batch, and the gradient of every table in MOVED."""
    made, of_content = content_forward(tables, batch.x)
    mine, of_rows = embedding_forward(made, batch.slot)
    error, dmine, gradients = _error(tables, batch, mine)
    distance, of_distance = squared_error_forward(mine, batch.v, "sum")
    dmine = dmine + squared_error_backward(alpha, of_distance)[0]
    gradients |= content_backward(embedding_backward(dmine, of_rows), of_content)
    penalty = penalise(tables, gradients, PENALISED, reg)
    return [error, alpha * distance, penalty], gradients


def _error(tables: Tables, batch: Batch, mine: Array) -> tuple[Any, Array, dict[str, Array]]:
    """Mean of (y^ - y)^2, and the gradients of v' (B, K) and of both towers."""
    v, of_switch = switch_forward(batch.replaced, mine, batch.v)
    z, of_item = tower_forward(tables, "item", v, NORM, train=True)
    p, of_user = tower_forward(tables, "user", batch.u, NORM, train=True)
    told, of_dot = row_dot_forward(p, z)
    error, of_error = squared_error_forward(told, batch.y)
    dp, dz = row_dot_backward(squared_error_backward(1.0, of_error)[0], of_dot)
    _, of_user_tables = tower_backward(dp, of_user, need_dx=False)
    dv, of_item_tables = tower_backward(dz, of_item)
    return error, switch_backward(dv, of_switch)[0], of_user_tables | of_item_tables
