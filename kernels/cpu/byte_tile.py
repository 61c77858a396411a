"""Tiles of products of bytes, four in a lane, as VPDPBUSD has them; and scores of a few pairs, their chains in lanes.

Signed bytes of queries times unsigned bytes of items are summed in 32 bits, exactly: four times as many products an
instruction as of floats.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from milk_np.kernels.cpu.order import PARTS
from milk_np.kernels.cpu.prefetch import prefetch
from milk_np.kernels.cpu.score_tile import LANES, ROWS, VECTORS
from milk_np.kernels.cpu.vectors import VECTOR_BYTES, splat

PAIRS = 4
"""Scores that are made side by side: a chain waits for itself."""
_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS, _CHAINS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT32, LANES), ir.VectorType(_FLOAT, PARTS)
_I64 = types.int64


def _dot(module: ir.Module) -> ir.Function:
    """Sums + products of four unsigned and four signed bytes in each lane."""
    kind = ir.FunctionType(_INTS, [_INTS] * 3)
    name = f"llvm.x86.avx512.vpdpbusd.{8 * VECTOR_BYTES}"
    function: ir.Function = cgutils.get_or_insert_function(module, kind, name)
    return function


def multiplies_bytes(triple: str, cpu: str, features: str) -> bool:
    """Whether LLVM's target has the instruction; LLVM is asked to compile one."""
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(_INTS, [_INTS] * 3), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(builder.call(_dot(module), function.args))
    try:
        machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
        if "x86" not in triple and "i686" not in triple:
            return False
        flags = features.split(",")
        known = "+avx512vnni" in flags and ("+avx512vl" in flags or VECTOR_BYTES == 64)
        return known and "vpdpbusd" in str(machine.emit_assembly(llvm.parse_assembly(str(module))))
    except RuntimeError:
        return False


BYTES = multiplies_bytes(*cpu_target.target_context.codegen().magic_tuple())
"""Whether `byte_tile` can be compiled."""


@intrinsic
def byte_tile(
    typing: Any, x: Any, first: Any, panels: Any, start: Any, offsets: Any, row: Any, by_row: Any, by_column: Any,
    column: Any, out: Any, steps: Any,
) -> Any:  # fmt: skip
    """out[row + r, column + c] += by_row[row + r] by_column[column + c] (offsets[row + r] + the products' sum).

    The sum is that over k < steps of four signed bytes at x[first + k ROWS + r] times four unsigned ones at
    panels[start + k COLUMNS + c]. `x` and `panels` are int32, 1-D; `out` is float32, 2-D; all are C-contiguous.
    """

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        arrays = {a: context.make_array(sig.args[a])(context, b, args[a]) for a in (0, 2, 4, 6, 7, 9)}
        at = {a: b.gep(arrays[a].data, [args[n]]) for a, n in ((0, 1), (2, 3), (4, 5), (6, 5), (7, 8))}
        length = cgutils.unpack_tuple(b, arrays[9].shape, 2)[1]
        places = [(r, v) for r in range(ROWS) for v in range(VECTORS)]
        sums = {place: cgutils.alloca_once(b, _INTS) for place in places}
        for r, v in places:
            b.store(splat(b, b.load(b.gep(at[4], [_INT64(r)])), LANES), sums[r, v])
        dot = _dot(b.module)
        with cgutils.for_range(b, args[10]) as loop:
            panel = b.gep(at[2], [b.mul(loop.index, _INT64(VECTORS * LANES))])
            columns = [_load(b, b.gep(panel, [_INT64(v * LANES)]), _INTS) for v in range(VECTORS)]
            rows = b.gep(at[0], [b.mul(loop.index, _INT64(ROWS))])
            for r in range(ROWS):
                value = splat(b, b.load(b.gep(rows, [_INT64(r)])), LANES)
                for v in range(VECTORS):
                    b.store(b.call(dot, [b.load(sums[r, v]), columns[v], value]), sums[r, v])
        for r, v in places:
            scale = splat(b, b.load(b.gep(at[6], [_INT64(r)])), LANES)
            scale = b.fmul(scale, _load(b, b.gep(at[7], [_INT64(v * LANES)]), _FLOATS))
            to = b.add(b.mul(b.add(args[5], _INT64(r)), length), b.add(args[8], _INT64(v * LANES)))
            to = b.bitcast(b.gep(arrays[9].data, [to]), _FLOATS.as_pointer())
            value = b.fmul(scale, b.sitofp(b.load(sums[r, v]), _FLOATS))
            b.store(b.fadd(value, b.load(to, align=4)), to, align=4)
        return context.get_dummy_value()

    return types.void(x, _I64, panels, _I64, offsets, _I64, by_row, by_column, _I64, out, _I64), codegen


@intrinsic
def row_scores(typing: Any, queries: Any, row: Any, items: Any, chosen: Any, first: Any, out: Any) -> Any:
    """out[first + n] = the score of queries[row] and items[chosen[first + n]] for n < PAIRS, as tiles have it.

    `queries` and `items` are float32, 2-D, `chosen` (int64) and `out` 1-D, all C-contiguous.
    """

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        queries, items, chosen, out = (context.make_array(sig.args[a])(context, b, args[a]) for a in (0, 2, 3, 5))
        width = cgutils.unpack_tuple(b, queries.shape, 2)[1]
        query = b.gep(queries.data, [b.mul(args[1], width)])
        numbers = [b.load(b.gep(chosen.data, [b.add(args[4], _INT64(n))])) for n in range(PAIRS)]
        rows = [b.gep(items.data, [b.mul(number, width)]) for number in numbers]
        coming = [b.load(b.gep(chosen.data, [b.add(args[4], _INT64(PAIRS + n))])) for n in range(PAIRS)]
        coming = [b.gep(items.data, [b.mul(number, width)]) for number in coming]
        sums = [cgutils.alloca_once(b, _CHAINS) for _ in rows]
        for each in sums:
            b.store(ir.Constant(_CHAINS, [0.0] * PARTS), each)
        muladd = cgutils.get_or_insert_function(
            b.module, ir.FunctionType(_CHAINS, [_CHAINS] * 3), f"llvm.fmuladd.v{PARTS}f32"
        )
        whole = b.and_(width, _INT64(-PARTS))
        with cgutils.for_range_slice(b, _INT64(0), whole, _INT64(PARTS)) as (k, _):
            value = _load(b, b.gep(query, [k]), _CHAINS)
            for pointer in coming:
                prefetch(b, b.gep(pointer, [k]))
            for pointer, each in zip(rows, sums, strict=True):
                b.store(b.call(muladd, [value, _load(b, b.gep(pointer, [k]), _CHAINS), b.load(each)]), each)
        with b.if_then(b.icmp_signed("<", whole, width)):
            mask = _below(b, b.sub(width, whole))
            value = _masked(b, b.gep(query, [whole]), mask)
            for pointer, each in zip(rows, sums, strict=True):
                b.store(b.call(muladd, [value, _masked(b, b.gep(pointer, [whole]), mask), b.load(each)]), each)
        for n, each in enumerate(sums):
            chains = b.load(each)
            total = b.extract_element(chains, _INT32(0))
            for part in range(1, PARTS):
                total = b.fadd(total, b.extract_element(chains, _INT32(part)))
            b.store(total, b.gep(out.data, [b.add(args[4], _INT64(n))]))
        return context.get_dummy_value()

    return types.void(queries, _I64, items, chosen, _I64, out), codegen


def _load(b: Any, pointer: Any, kind: Any) -> Any:
    return b.load(b.bitcast(pointer, kind.as_pointer()), align=4)


def _below(b: Any, count: Any) -> Any:
    """A mask of the first `count` lanes."""
    kind = ir.VectorType(_INT32, PARTS)
    lanes = ir.Constant(kind, list(range(PARTS)))
    return b.icmp_signed("<", lanes, splat(b, b.trunc(count, _INT32), PARTS))


def _masked(b: Any, pointer: Any, mask: Any) -> Any:
    """The lanes of the mask at `pointer`, zeros elsewhere."""
    place = _CHAINS.as_pointer()
    kind = ir.FunctionType(_CHAINS, [place, _INT32, ir.VectorType(ir.IntType(1), PARTS), _CHAINS])
    load = cgutils.get_or_insert_function(b.module, kind, f"llvm.masked.load.v{PARTS}f32.p0")
    return b.call(load, [b.bitcast(pointer, place), _INT32(4), mask, ir.Constant(_CHAINS, [0.0] * PARTS)])
