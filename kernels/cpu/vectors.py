"""What the kernels written in LLVM's representation share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.registry import cpu_target


def holds_64_bytes(triple: str, cpu: str, features: str) -> bool:
    """Whether LLVM's target adds 64 bytes in one instruction, as with AVX-512; LLVM is asked to compile an addition.

    The names alone don't tell: what a processor has, `features` adds to or takes from.
    """
    vector = ir.VectorType(ir.FloatType(), 16)

    def add(builder: ir.IRBuilder, args: Any) -> None:
        builder.store(builder.fadd(*(builder.load(each) for each in args)), args[0])

    return "zmm" in _assembly(triple, cpu, features, [vector, vector], add)


def widens_half(triple: str, cpu: str, features: str) -> bool:
    """Whether LLVM's target has an instruction from half to single precision, as F16C brings.

    Elsewhere LLVM calls a function for each number, which nobody links.
    """
    half, single = (ir.VectorType(kind, 8) for kind in (ir.HalfType(), ir.FloatType()))

    def widen(builder: ir.IRBuilder, args: Any) -> None:
        builder.store(builder.fpext(builder.load(args[0]), single), args[1])

    text = _assembly(triple, cpu, features, [half, single], widen)
    return "extendhf" not in text and "gnu_h2f" not in text


def _assembly(triple: str, cpu: str, features: str, types: list[Any], body: Callable[[Any, Any], None]) -> str:
    """What LLVM makes for a target of a function of pointers to `types`."""
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [each.as_pointer() for each in types]), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    body(builder, function.args)
    builder.ret_void()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    return str(machine.emit_assembly(llvm.parse_assembly(str(module))))


WIDE = holds_64_bytes(*cpu_target.target_context.codegen().magic_tuple())
"""Whether vectors have 64 bytes and there are 32 registers of them, in place of 32 bytes and 16.

It follows the processor that Numba compiles for, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may change, and which is
the key of compiled kernels on disk: code of one width is never loaded for the other.
"""

HALF = widens_half(*cpu_target.target_context.codegen().magic_tuple())
"""Whether panels may be of half precision."""

VECTOR_BYTES = 64 if WIDE else 32
"""Bytes of a vector. Where registers are narrower, as with NEON, LLVM makes two of one."""


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector with `scalar` in each of its `lanes`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    single = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(single, undefined, first)
