"""A mixture of experts (Jacobs et al. 1991): parts that each row weighs by a gate of its own."""

from __future__ import annotations

from typing import Any, Literal

from milk_np.errors import SettingsError
from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.linear import linear_backward, linear_forward
from milk_np.nn.softmax import mix_backward, mix_forward, softmax_backward, softmax_forward

Gate = Literal["softmax", "tanh"]
GATES = {"softmax": (softmax_forward, softmax_backward), "tanh": (tanh_forward, tanh_backward)}


def experts_forward(
    x: Array, W_gate: Array, b_gate: Array, W: Array, b: Array, gate: Gate = "softmax"
) -> tuple[Array, Any]:
    """out (n, K) = sum over p of g_p tanh(x W_p + b_p), with g = gate(x W_gate + b_gate).

    x (n, D), W_gate (D, P), b_gate (P), W (P, D, K), b (P, K). Heater's gate (Zhu et al. 2020) is tanh, not softmax.
    """
    if gate not in GATES:
        raise SettingsError(f"gate is {gate!r}; choose one of {', '.join(GATES)}")
    logits, opened = linear_forward(x, W_gate, b_gate)
    shares, gated = GATES[gate][0](logits)
    parts, tanhs = tanh_forward(array_module(x).matmul(x, W) + b[:, None, :])
    out, mixed = mix_forward(shares, parts)
    return out, (x, W, gate, opened, gated, tanhs, mixed)


def experts_backward(dout: Array, cache: Any) -> tuple[Array, Array, Array, Array, Array]:
    """dx, dW_gate, db_gate, dW and db, in the shapes of the forward pass."""
    x, W, gate, opened, gated, tanhs, mixed = cache
    dshares, dparts = mix_backward(dout, mixed)
    dx, dW_gate, db_gate = linear_backward(GATES[gate][1](dshares, gated), opened)
    dparts = tanh_backward(dparts, tanhs)
    for p, dpart in enumerate(dparts):
        dx += dpart @ W[p].T
    return dx, dW_gate, db_gate, array_module(x).matmul(x.T, dparts), dparts.sum(axis=1)
