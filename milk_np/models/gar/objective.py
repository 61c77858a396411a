"""The two objectives of GAR with their gradients, on arrays of either device.

G(x) = tower(x)                                     the generator: an item's vector from its content
R(u, v) = user(u) . item(v)                         the recommender: batch norm, then a tower, on each side
L_R = mean softplus(-(R(u, v_i) - (1 - beta) R(u, G(x_i)) - beta R(u, v_j))) + reg / 2 sum (weights)^2
L_G = (1 - alpha) mean softplus(-(R(u, G(x_i)) - R(u, v_i))) + alpha mean |G(x_i) - v_i| + reg / 2 sum (weights)^2

The recommender learns to rank a chosen item's vector above the generated one and above that of a drawn item, all in
one margin; the generator, to be ranked as high as the chosen item's vector. Each network stands still while the other
moves: it evaluates by its running means and without dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from milk_np.nn.arrays import Array, array_module
from milk_np.nn.batch_norm import RunningStats, batch_norm_backward, batch_norm_forward
from milk_np.nn.losses import absolute_error_backward, absolute_error_forward, bpr_backward, bpr_forward
from milk_np.nn.margins import row_dot_backward, row_dot_forward
from milk_np.nn.penalty import penalise
from milk_np.nn.tower import LEARNED, Input, Norm, named, tower_backward, tower_forward

Tables = Mapping[str, Array]
Drop = tuple[Any, ...]

NORM = Norm(momentum=0.01, eps=1e-3, unbiased=False)
STILL: Drop = (0.0, 0, "")
SIDES = ("user", "item")
FIRST = ("first_beta", "first_mean", "first_var")
GENERATOR = named("make", *LEARNED)
RECOMMENDER = tuple(name for side in SIDES for name in (*named(side, "first_beta"), *named(side, *LEARNED)))
OF_GENERATOR = named("make", "W1", "W2")
OF_RECOMMENDER = tuple(name for side in SIDES for name in named(side, "W1", "W2"))
PARTS = ("ranking", "recommender_penalty", "fooling", "distance", "generator_penalty")


class Batch(NamedTuple):
    """B triplets: u (B, K) users, x (B, D) content and v (B, K) vectors of items they chose, w (B, K) of others.

    x may stand for an array in the ways of `tower_forward`.
    """

    u: Array
    x: Input
    v: Array
    w: Array


def make_forward(tables: Tables, x: Input, *, train: bool, drop: Drop = STILL) -> tuple[Array, Any]:
    """G(x) (n, K)."""
    return tower_forward(tables, "make", x, NORM, train=train, drop=drop)


def side_forward(
    tables: Tables, side: str, x: Array, *, train: bool, drop: Drop = STILL, copies: int = 1
) -> tuple[Array, Any]:
    """One side of the recommender, (n, K): batch norm without scale, then a tower; `copies` as in `tower_forward`."""
    beta, mean, var = (tables[name] for name in named(side, *FIRST))
    running = RunningStats(mean, var, NORM.momentum, NORM.eps, NORM.unbiased)
    h, of_norm = batch_norm_forward(x, None, beta, running, train=train)
    out, of_tower = tower_forward(tables, side, h, NORM, train=train, drop=drop, copies=copies)
    return out, (side, of_norm, of_tower)


def side_backward(dout: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
    """dx (n, K), and the gradients of the side's tables."""
    side, of_norm, of_tower = cache
    dh, gradients = tower_backward(dout, of_tower)
    dx, _, dbeta = batch_norm_backward(dh, of_norm)
    return dx, {**gradients, f"{side}_first_beta": dbeta}


def recommender(tables: Tables, batch: Batch, beta: float, reg: float, drop: Drop) -> tuple[list[Any], dict[str, Any]]:
    """The parts of L_R, and the gradients of RECOMMENDER; `drop` as in `dropout_forward`."""
    xp, B = array_module(batch.u), len(batch.u)
    made, _ = make_forward(tables, batch.x, train=False)
    rate, seed, name, *counters = drop
    of_side = {side: (rate, seed, f"{name}-{side}", *counters) for side in SIDES}
    items = xp.concatenate([batch.v, batch.w, made])
    p, of_user = side_forward(tables, "user", batch.u, train=True, drop=of_side["user"], copies=3)
    z, of_item = side_forward(tables, "item", items, train=True, drop=of_side["item"])
    scores, of_dot = row_dot_forward(p, z)
    chosen, drawn, fake = scores[:B], scores[B : 2 * B], scores[2 * B :]
    ranking, of_ranking = bpr_forward(chosen - (1 - beta) * fake - beta * drawn)
    slope = bpr_backward(1.0, of_ranking)
    dp, dz = row_dot_backward(xp.concatenate([slope, -beta * slope, (beta - 1) * slope]), of_dot)
    gradients = side_backward(dp, of_user)[1] | side_backward(dz, of_item)[1]
    return [ranking, penalise(tables, gradients, OF_RECOMMENDER, reg / 2)], gradients


def generator(tables: Tables, batch: Batch, alpha: float, reg: float, drop: Drop) -> tuple[list[Any], dict[str, Any]]:
    """The parts of L_G, and the gradients of GENERATOR."""
    made, of_make = make_forward(tables, batch.x, train=True, drop=drop)
    p, _ = side_forward(tables, "user", batch.u, train=False)
    z, of_item = side_forward(tables, "item", made, train=False)
    real, _ = side_forward(tables, "item", batch.v, train=False)
    score, of_dot = row_dot_forward(p, z)
    fooling, of_fooling = bpr_forward(score - row_dot_forward(p, real)[0])
    distance, of_distance = absolute_error_forward(made, batch.v)
    _, dz = row_dot_backward(bpr_backward(1 - alpha, of_fooling), of_dot)
    dmade = side_backward(dz, of_item)[0] + absolute_error_backward(alpha, of_distance)[0]
    _, gradients = tower_backward(dmade, of_make, need_dx=False)
    penalty = penalise(tables, gradients, OF_GENERATOR, reg / 2)
    return [(1 - alpha) * fooling, alpha * distance, penalty], gradients
