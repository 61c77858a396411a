"""What the kernels written in LLVM's representation share."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.registry import cpu_target


def holds_64_bytes(triple: str, cpu: str, features: str) -> bool:
    """Whether LLVM's target adds 64 bytes in one instruction, as with AVX-512; LLVM is asked to compile an addition.

    The names alone don't tell: what a processor has, `features` adds to or takes from.
    """
    module = ir.Module()
    module.triple = triple
    pointer = ir.VectorType(ir.FloatType(), 16).as_pointer()
    add = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer]), "add")
    builder = ir.IRBuilder(add.append_basic_block())
    total = builder.fadd(*(builder.load(each) for each in add.args))
    builder.store(total, add.args[0])
    builder.ret_void()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    return "zmm" in machine.emit_assembly(llvm.parse_assembly(str(module)))


WIDE = holds_64_bytes(*cpu_target.target_context.codegen().magic_tuple())
"""Whether vectors have 64 bytes and there are 32 registers of them, in place of 32 bytes and 16.

It follows the processor that Numba compiles for, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may change, and which is
the key of compiled kernels on disk: code of one width is never loaded for the other.
"""

VECTOR_BYTES = 64 if WIDE else 32
"""Bytes of a vector. Where registers are narrower, as with NEON, LLVM makes two of one."""


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector with `scalar` in each of its `lanes`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    single = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(single, undefined, first)
