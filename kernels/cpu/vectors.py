"""What the kernels written in LLVM's representation share."""

from __future__ import annotations

from typing import Any

from llvmlite import ir


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector with `scalar` in each of its `lanes`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    single = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(single, undefined, first)
