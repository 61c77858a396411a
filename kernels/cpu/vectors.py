"""What the kernels written in LLVM's representation share."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

WIDE = bool(llvm.get_host_cpu_features().get("avx512f"))
"""Whether vectors have 64 bytes and there are 32 registers of them, in place of 32 bytes and 16."""


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector with `scalar` in each of its `lanes`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    single = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(single, undefined, first)
