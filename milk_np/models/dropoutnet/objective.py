"""The objective of DropoutNet with its gradients, on arrays of either device.

y^ = user(d u) . item([e v; x])         towers; d and e are 0 for rows whose pretrained vector is dropped, else 1
L = mean (y^ - y)^2                     y is the score of the pretrained tables, scaled to one deviation for all data
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from milk_np.nn.arrays import Array
from milk_np.nn.linear import Rows
from milk_np.nn.losses import squared_error_backward, squared_error_forward
from milk_np.nn.margins import row_dot_backward, row_dot_forward
from milk_np.nn.switch import switch_forward
from milk_np.nn.tower import LEARNED, Norm, named, tower_backward, tower_forward

Tables = Mapping[str, Array]

NORM = Norm(momentum=0.1, eps=1e-3, unbiased=False)
MOVED = (*named("user", *LEARNED), *named("item", *LEARNED))
PARTS = ("error",)


class Batch(NamedTuple):
    """B users with an item: u and v (B, K) pretrained vectors, kept where `keep_u` and `keep_v` (B) bool say so.

    x (B, D) the items' content, an array or `Rows`, y (B) what the tables score the two at.
    """

    u: Array
    v: Array
    x: Array | Rows
    y: Array
    keep_u: Array
    keep_v: Array


def objective(tables: Tables, batch: Batch) -> tuple[list[Any], dict[str, Array]]:
    """L for a batch, and the gradient of every table in MOVED."""
    u, _ = switch_forward(batch.keep_u, batch.u)
    v, _ = switch_forward(batch.keep_v, batch.v)
    p, of_user = user_forward(tables, u, train=True)
    z, of_item = item_forward(tables, v, batch.x, train=True)
    told, of_dot = row_dot_forward(p, z)
    error, of_error = squared_error_forward(told, batch.y)
    dp, dz = row_dot_backward(squared_error_backward(1.0, of_error)[0], of_dot)
    of_users = tower_backward(dp, of_user, need_dx=False)[1]
    return [error], of_users | tower_backward(dz, of_item, need_dx=False)[1]


def user_forward(tables: Tables, u: Array, *, train: bool) -> tuple[Array, Any]:
    """Vectors (n, K) of users with the pretrained ones u (n, K)."""
    return tower_forward(tables, "user", u, NORM, train=train)


def item_forward(tables: Tables, v: Array, x: Array | Rows, *, train: bool) -> tuple[Array, Any]:
    """Vectors (n, K) of items with the pretrained ones v (n, K), zeros if there are none, and content x (n, D)."""
    return tower_forward(tables, "item", [v, x], NORM, train=train)
