"""Every block of the library on small random inputs: what the proofs on both devices run.

A case is a list of variables (float64, on the host) and a call, which takes them as arrays of a device and gives
the output and a function from its gradient to those of the variables, in their order.
"""

from __future__ import annotations

import nn_layers  # noqa: F401
import nn_losses  # noqa: F401
import numpy as np
from nn_sizes import BLOCKS

from milk_np.nn.gradcheck import EPS, TOLERANCE, check_direction, check_elements


def of_module(module):
    return [name for name in BLOCKS if name.startswith(f"{module}.")]


def home(x):
    return x.get() if hasattr(x, "get") else np.asarray(x)


def run(name, sizes, nn, change=lambda x: x):
    """Output, gradient of the output, gradients of the variables of a block, as the device has them."""
    variables, call = BLOCKS[name](nn, sizes)
    out, back = call(*(sizes.put(change(x.astype(sizes.dtype))) for x in variables))
    dout = np.random.default_rng(sizes.seed + 1).standard_normal(out.shape).astype(sizes.dtype)
    gradients = back(sizes.put(change(dout)))
    return out, dout, gradients if isinstance(gradients, tuple | list) else (gradients,)


def disagreements(name, sizes, nn):
    """What finite differences of a block say against its gradients: along two directions, and for every number."""
    variables, call = BLOCKS[name](nn, sizes)

    def evaluate():
        return call(*map(sizes.put, variables))

    out, back = evaluate()
    dout = np.random.default_rng(sizes.seed + 1).standard_normal(out.shape)
    gradients = back(sizes.put(dout))
    gradients = [home(g) for g in (gradients if isinstance(gradients, tuple | list) else (gradients,))]
    assert [g.shape for g in gradients] == [x.shape for x in variables]

    def loss():
        return float((home(evaluate()[0]) * dout).sum())

    wrong = []
    for eps in STEPS:
        checks = [check_direction(loss, variables, gradients, seed=sizes.seed + k, eps=eps) for k in range(2)]
        checks += check_elements(loss, variables, gradients, eps=eps)
        floor = SMALL * max(1.0, float(abs(home(out) * dout).sum()), max(abs(check.claimed) for check in checks))
        wrong = [str(check) for check in checks if not _agrees(check, floor)]
        if not wrong:
            break
    return wrong


STEPS = (EPS, EPS / 4)
"""A central difference is off by the square of its step times the third derivative, as where a variance is small: the
smaller step tells that from a wrong gradient, which differs at both."""
SMALL = 1e-2
"""Differences can't tell a slope from 0 to the tolerance if it is below this share of the output, or of the largest."""


def _agrees(check, floor):
    return abs(check.claimed - check.measured) < TOLERANCE * max(abs(check.claimed), abs(check.measured), floor)
