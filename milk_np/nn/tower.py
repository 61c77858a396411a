"""A tower: linear, batch norm, tanh, dropout, linear; what DropoutNet, Heater and GAR are built of.

Its numbers stand in one mapping of tables under names that begin with the tower's: "W1" (D, H), "b1" (H), "gamma" (H)
where it scales, "beta" (H), running "mean" and "var" (H), "W2" (H, K), "b2" (K).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.batch_norm import RunningStats, batch_norm_backward, batch_norm_forward
from milk_np.nn.dropout import dropout_backward, dropout_forward
from milk_np.nn.linear import Rows, linear_backward, linear_forward, parts_backward, parts_forward

LEARNED = ("W1", "b1", "gamma", "beta", "W2", "b2")
RUNNING = ("mean", "var")
WEIGHTS = ("W1", "b1", "W2", "b2")
"""What an L2 penalty covers: all but the batch norm."""


@dataclass(frozen=True)
class Norm:
    """Options of the batch norm; see `milk_np.nn.batch_norm`."""

    momentum: float = 0.1
    eps: float = 1e-3
    unbiased: bool = False


class FirstLayer(NamedTuple):
    """The first layer of a tower, for several forward passes between which its weights don't move."""

    out: Array
    cache: Any


Input = Array | Rows | list[Array | Rows] | FirstLayer


def first_layer(tables: Mapping[str, Array], tower: str, x: Input) -> FirstLayer:
    """x W1 + b1."""
    if isinstance(x, FirstLayer):
        return x
    W1, b1 = (tables[name] for name in named(tower, "W1", "b1"))
    return FirstLayer(*parts_forward(x if isinstance(x, list) else [x], W1, b1))


def named(tower: str, *names: str) -> tuple[str, ...]:
    """Names of a tower's tables: all that it has if none are given."""
    return tuple(f"{tower}_{name}" for name in names or (*LEARNED, *RUNNING))


def tower_forward(
    tables: Mapping[str, Array],
    tower: str,
    x: Input,
    norm: Norm,
    *,
    train: bool,
    drop: tuple[Any, ...] = (0.0, 0, ""),
    copies: int = 1,
) -> tuple[Array, Any]:
    """out (n, K) of x (n, D), of a list of parts side by side, or of what `first_layer` made of either.

    `drop`: rate, seed, name and counters of the dropout of the hidden numbers. With `copies`, out (copies n, K) is that
    of so many copies of x one below the other, which differ by their dropout alone.
    """
    mean, var = (tables[name] for name in named(tower, *RUNNING))
    running = RunningStats(mean, var, norm.momentum, norm.eps, norm.unbiased)
    _, _, gamma, beta, W2, b2 = (tables[name] for name in named(tower, *LEARNED))
    h, first = first_layer(tables, tower, x)
    h, normed = batch_norm_forward(h, gamma, beta, running, train=train)
    h, tanh = tanh_forward(h)
    h, dropped = dropout_forward(h if copies == 1 else array_module(h).concatenate([h] * copies), *drop)
    out, last = linear_forward(h, W2, b2)
    return out, (tower, first, normed, tanh, dropped, last)


def tower_backward(dout: Array, cache: Any, *, need_dx: bool = True) -> tuple[Array, dict[str, Array]]:
    """dx (n, D), None if it isn't needed, and the gradients of the tower's learned tables by their names.

    Of a list of parts dx is that of the first one.
    """
    tower, first, normed, tanh, dropped, last = cache
    dh, dW2, db2 = linear_backward(dout, last)
    dh = dropout_backward(dh, dropped)
    if len(dh) != len(tanh):
        dh = dh.reshape(-1, *tanh.shape).sum(axis=0)
    dh, dgamma, dbeta = batch_norm_backward(tanh_backward(dh, tanh), normed)
    (dx, *_), dW1, db1 = parts_backward(dh, first, need_dx=need_dx)
    return dx, dict(zip(named(tower, *LEARNED), (dW1, db1, dgamma, dbeta, dW2, db2), strict=True))
