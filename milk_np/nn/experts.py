"""A mixture of experts (Jacobs et al. 1991): parts that each row weighs by a gate of its own."""

from __future__ import annotations

from typing import Any, Literal

from milk_np.errors import SettingsError
from milk_np.nn.activations import tanh_backward, tanh_forward
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.linear import Rows, linear_backward, linear_forward
from milk_np.nn.softmax import mix_backward, mix_forward, softmax_backward, softmax_forward

Gate = Literal["softmax", "tanh"]
GATES = {"softmax": (softmax_forward, softmax_backward), "tanh": (tanh_forward, tanh_backward)}


def experts_forward(
    x: Array | Rows, W_gate: Array, b_gate: Array, W: Array, b: Array, gate: Gate = "softmax"
) -> tuple[Array, Any]:
    """out (n, K) = sum over p of g_p tanh(x W_p + b_p), with g = gate(x W_gate + b_gate).

    x (n, D), W_gate (D, P), b_gate (P), W (P, D, K), b (P, K). Heater's gate (Zhu et al. 2020) is tanh, not softmax.
    """
    if gate not in GATES:
        raise SettingsError(f"gate is {gate!r}; choose one of {', '.join(GATES)}")
    logits, for_gate = linear_forward(x, W_gate, b_gate)
    gates, gated = GATES[gate][0](logits)
    hidden, for_parts = zip(*(linear_forward(x, *part) for part in zip(W, b, strict=True)), strict=True)
    values, tanhs = tanh_forward(array_module(W).stack(hidden))
    out, mixed = mix_forward(gates, values)
    return out, (gate, for_gate, gated, for_parts, tanhs, mixed)


def experts_backward(dout: Array, cache: Any, *, need_dx: bool = True) -> tuple[Array, Array, Array, Array, Array]:
    """dx, None if it isn't needed, dW_gate, db_gate, dW and db, in the shapes of the forward pass."""
    gate, for_gate, gated, for_parts, tanhs, mixed = cache
    dgates, dparts = mix_backward(dout, mixed)
    dx, dW_gate, db_gate = linear_backward(GATES[gate][1](dgates, gated), for_gate, need_dx=need_dx)
    each = zip(tanh_backward(dparts, tanhs), for_parts, strict=True)
    dx_parts, dW, db = zip(*(linear_backward(dhidden, of, need_dx=need_dx) for dhidden, of in each), strict=True)
    dx = dx + sum(dx_parts) if need_dx else None
    stack = array_module(dout).stack
    return dx, dW_gate, db_gate, stack(dW), stack(db)
