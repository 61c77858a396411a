"""Steps of gradient descent over whole arrays, and L2 penalties on them."""

from __future__ import annotations

from milk_np.kernels.arrays import Floats


def momentum_step(param: Floats, grad: Floats, velocity: Floats, momentum: float, lr: float) -> None:
    """velocity = momentum velocity + grad; param -= lr velocity, in place; arrays of one shape."""
    kind = param.dtype.type
    velocity *= kind(momentum)
    velocity += grad
    param -= kind(lr) * velocity


def add_penalty(param: Floats, grad: Floats, weight: float) -> float:
    """grad += 2 weight param, in place; returns the sum of squares of `param`, added up in float64, block by block."""
    grad += param.dtype.type(2 * weight) * param
    return float((param * param).sum(dtype="f8"))
